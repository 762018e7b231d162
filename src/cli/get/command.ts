/**
 * `get`: fetches a URL over MPTCP.
 *
 * @module
 */

import { setTimeout } from "node:timers";
import { createMptcpClient, type MptcpClient, type MptcpClientOptions } from "../../http/mod.ts";
import type { Command } from "../args/command.ts";
import { withPolicy } from "../args/policy.ts";
import { CONNECT_TIMEOUT, FAMILY_OPTIONS } from "../args/connecting.ts";
import { MODE_OPTIONS } from "../args/modes.ts";
import { StatusError } from "../ui/status_error.ts";
import type { Terminal } from "../ui/terminal.ts";
import { type GetOptions, readGetOptions } from "./options.ts";
import { shownUrl } from "./request.ts";
import { isTransient, waitToRetry } from "./retry.ts";
import { Run } from "./run.ts";
import { STATUSES } from "./status.ts";

/** The command. */
export const get: Command = withPolicy({
  name: "get",
  summary: "Fetch a URL over MPTCP",
  operands: "URL",
  count: { min: 1, max: 1 },
  details:
    `The options are curl's. The body goes to standard output, or to a file, all else to standard
error. A file has its name once it is whole; until then it is FILE.part, from which -C - goes on if
the file on the server is still the same. With -o the bar shows the rate of every path, and the
loss of a path is reported.

A FILE that exists gets its new content once all of it has come, and keeps its mode and its links;
a device or a pipe is written to directly. -C - goes on only with the same version of a file, by the
server's ETag or Last-Modified: anything else fails and leaves what there is.

What comes is verified by the digest that the server gives (Repr-Digest, Content-Digest, Content-MD5)
or --checksum. A warning tells when the kernel saw contradicting data in the time of the transfer
(MPTcpExtDSSNotMatching): Linux can then have delivered wrong bytes.

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
    { name: "verbose", short: "v", summary: "Report the connection, the request and the response" },
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
      name: "data-binary",
      value: "DATA",
      many: true,
      summary: "As --data, with the line ends of a file kept",
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
    CONNECT_TIMEOUT,
    { name: "user", short: "u", value: "NAME:PASSWORD", summary: "Log in (Basic)" },
    { name: "range", short: "r", value: "RANGE", summary: "Ask for these bytes, as 0-499 or -500" },
    {
      name: "retry",
      value: "COUNT",
      summary:
        "Try again when that may help: after 408, 429 and 5xx, time-outs and broken connections",
    },
    {
      name: "checksum",
      value: "ALGORITHM=VALUE",
      summary: "Fail, with status 111, unless the body has this digest, as sha-256=2c26b4...",
    },
    { name: "compressed", summary: "Ask for a compressed answer, and unpack it" },
    ...FAMILY_OPTIONS,
    ...MODE_OPTIONS,
    { name: "cacert", value: "FILE", summary: "Trust these authorities too (PEM)" },
  ],
  examples: [
    { line: "get -O https://example.org/image.iso", summary: "Fetch a file" },
    { line: "get -C - -O https://example.org/image.iso", summary: "Go on with it" },
    { line: "get -v example.org", summary: "Is MPTCP used, and if not, why" },
    { line: "get --require-mptcp -fsS http://10.0.0.1/", summary: "For scripts" },
    {
      line: "get --retry 5 -C - -O --checksum sha-256=2c26b4... https://example.org/image.iso",
      summary: "Go on after a broken connection, and verify",
    },
    { line: "get --json -o /dev/null example.org", summary: "The figures of a transfer" },
  ],
  statuses: STATUSES,
  run: (args, terminal) => runGet(readGetOptions(args), terminal),
}, "client");

async function runGet(options: GetOptions, terminal: Terminal): Promise<number> {
  try {
    return await fetchUrl(options, terminal);
  } catch (error) {
    if (options.quiet && error instanceof StatusError) return error.status;
    throw error;
  }
}

async function fetchUrl(options: GetOptions, terminal: Terminal): Promise<number> {
  const { maxTime, request } = options;
  await using client = createMptcpClient(clientOptions(options));
  const late = new AbortController();
  const timer = maxTime === undefined ? undefined : setTimeout(() => {
    late.abort(new StatusError(28, `${shownUrl(request.url)}: not done after ${maxTime} s`));
  }, maxTime * 1000);
  const signal = AbortSignal.any([terminal.signal, late.signal]);
  try {
    return await attempts(options, terminal, client, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Tries until it succeeds, fails for good, or has been tried often enough. */
async function attempts(
  options: GetOptions,
  terminal: Terminal,
  client: MptcpClient,
  signal: AbortSignal,
): Promise<number> {
  for (let attempt = 0;; attempt++) {
    const isLast = attempt === options.retries;
    const run = new Run(options, terminal, client, signal);
    try {
      await run.run(isLast);
      return 0;
    } catch (error) {
      // What has been printed cannot be taken back.
      if (isLast || signal.aborted || run.hasPrinted || !isTransient(error)) throw error;
      await waitToRetry(error as Error, attempt, options.silent, terminal, signal);
    }
  }
}

function clientOptions({ mptcp, family, caCerts }: GetOptions): MptcpClientOptions {
  const options = {
    mptcp,
    ...(family !== undefined && { family }),
    ...(caCerts.length > 0 && { caCerts: [...caCerts] }),
  };
  return options;
}
