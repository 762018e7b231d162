/**
 * `get`: fetches a URL over MPTCP.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers";
import { createMptcpClient, type MptcpClientOptions } from "../../http/mod.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { StatusError } from "../ui/status_error.ts";
import type { Terminal } from "../ui/terminal.ts";
import { readRequest, shownUrl } from "./request.ts";
import { Run } from "./run.ts";
import { STATUSES } from "./status.ts";

/** The command. */
export const get: Command = {
  name: "get",
  summary: "Fetch a URL over MPTCP",
  operands: "URL",
  count: { min: 1, max: 1 },
  details:
    `The options are curl's. The body goes to standard output, or to a file, all else to standard
error. A file has its name once it is whole; until then it is FILE.part, from which -C - goes on if
the file on the server is still the same. With -o the bar shows the rate of every path, and a path
that goes is told of.

A certificate that the system does not trust can be trusted by --cacert; there is no -k.`,
  options: [
    {
      name: "output",
      short: "o",
      value: "FILE",
      summary: 'Write to a file; "-" for standard output',
    },
    {
      name: "remote-name",
      short: "O",
      summary: "Write to a file of the name that the URL ends with",
    },
    {
      name: "continue-at",
      short: "C",
      value: "-",
      choices: ["-"],
      summary: "Go on with FILE.part",
    },
    { name: "verbose", short: "v", summary: "Tell of the connection, the request and the answer" },
    { name: "include", short: "i", summary: "Put the head of the answer before the body" },
    { name: "head", short: "I", summary: "Ask for the head alone" },
    { name: "request", short: "X", value: "METHOD", summary: "The method" },
    {
      name: "data",
      short: "d",
      value: "DATA",
      many: true,
      summary: "Send this, or @FILE, by POST; several are joined by &",
    },
    {
      name: "header",
      short: "H",
      value: "LINE",
      many: true,
      summary: 'Send a header "Name: value"',
    },
    { name: "location", short: "L", summary: "Follow redirects, at most 20" },
    { name: "silent", short: "s", summary: "Print no progress and no errors" },
    { name: "show-error", short: "S", summary: "Print errors, with --silent" },
    {
      name: "fail",
      short: "f",
      summary: "Fail, with status 22, where the answer's is 400 or more",
    },
    { name: "max-time", short: "m", value: "SECONDS", summary: "Give up after that time" },
    { name: "mptcp", summary: "MPTCP where it can be had (default)" },
    { name: "no-mptcp", summary: "TCP" },
    { name: "require-mptcp", summary: "Fail where the server or the path has no MPTCP, too" },
    { name: "cacert", value: "FILE", summary: "Trust these authorities too (PEM)" },
  ],
  examples: [
    { line: "get -O https://example.org/image.iso", summary: "Fetch a file" },
    { line: "get -C - -O https://example.org/image.iso", summary: "Go on with it" },
    { line: "get -v example.org", summary: "Is MPTCP used, and if not, why" },
    { line: "get --require-mptcp -fsS http://10.0.0.1/", summary: "For scripts" },
    { line: "get --json -o /dev/null example.org", summary: "The figures of a transfer" },
  ],
  statuses: STATUSES,
  run: runGet,
};

async function runGet(args: Arguments, terminal: Terminal): Promise<number> {
  try {
    return await fetchUrl(args, terminal);
  } catch (error) {
    const isQuiet = args.has("silent") && !args.has("show-error");
    if (isQuiet && error instanceof StatusError) return error.status;
    throw error;
  }
}

async function fetchUrl(args: Arguments, terminal: Terminal): Promise<number> {
  const seconds = args.number("max-time", { integer: false });
  const path = outputOf(args);
  if (args.has("json") && path === null && !args.has("head")) {
    throw new UsageError("--json prints on standard output, where the body goes: add -o FILE");
  }
  if (args.has("continue-at") && (path === null || args.has("include"))) {
    throw new UsageError("--continue-at needs a file to go on with: add -o FILE or -O");
  }
  const asked = readRequest(args);
  await using client = createMptcpClient(clientOptions(args));
  const late = new AbortController();
  const timer = seconds === undefined ? undefined : setTimeout(() => {
    late.abort(new StatusError(28, `${shownUrl(asked.url)}: not done after ${seconds} s`));
  }, seconds * 1000);
  const signal = AbortSignal.any([terminal.signal, late.signal]);
  try {
    return await new Run(args, terminal, client, path, signal).run(asked);
  } finally {
    clearTimeout(timer);
  }
}

/** The file to write to; `null` for standard output. */
function outputOf(args: Arguments): string | null {
  const path = args.text("output");
  if (!args.has("remote-name")) return path === undefined || path === "-" ? null : path;
  if (path !== undefined) throw new UsageError("--output and --remote-name exclude each other");
  const name = /([^/?#]*)([?#].*)?$/.exec(args.operands[0]!.replace(/^[^:/]+:\/\/[^/]*/, ""))![1]!;
  if (name === "" || /^\.{1,2}$/.test(name)) {
    throw new UsageError(`"${args.operands[0]}" ends with no name for a file: use -o FILE`);
  }
  return name;
}

function clientOptions(args: Arguments): MptcpClientOptions {
  const modes = ["mptcp", "no-mptcp", "require-mptcp"].filter((name) => args.has(name));
  if (modes.length > 1) throw new UsageError(`--${modes[0]} and --${modes[1]} exclude each other`);
  const file = args.text("cacert");
  return {
    ...(args.has("no-mptcp") && { mptcp: "off" }),
    ...(args.has("require-mptcp") && { mptcp: "require", requirePeer: true }),
    ...(file !== undefined && { caCerts: [readAuthorities(file)] }),
  };
}

function readAuthorities(file: string): string {
  try {
    const text = readFileSync(file, "utf8");
    if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  } catch (error) {
    throw new StatusError(77, `--cacert: ${file} cannot be read: ${(error as Error).message}`);
  }
  throw new StatusError(77, `--cacert: there is no certificate (PEM) in ${file}`);
}
