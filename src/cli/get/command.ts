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
    `Options have the same names and meanings as in curl. The response body is written to standard
output or to a file; everything else goes to standard error. With -o or -O on a terminal, a progress
bar shows the rate of every path, and lost paths are reported.

A download is written to FILE.part and moved to FILE when it is complete. An existing FILE keeps its
old content until then, and keeps its mode and hard links. Devices and pipes are written to directly.

-C - resumes a download from FILE.part, provided that the file on the server has not changed. The
ETag or Last-Modified header must prove that; otherwise the command fails and keeps FILE.part.

The body is verified against --checksum and against the digest that the server sends (Repr-Digest,
Content-Digest or Content-MD5). A warning is printed if the kernel counted contradicting data during
the transfer (MPTcpExtDSSNotMatching), because Linux may then have delivered wrong bytes.

To trust a certificate that the system does not trust, use --cacert; there is no -k.`,
  options: [
    {
      name: "output",
      short: "o",
      value: "FILE",
      summary: 'Write to FILE instead of standard output; "-" for standard output',
    },
    {
      name: "remote-name",
      short: "O",
      summary: "Write to a file named like the last part of the URL",
    },
    {
      name: "continue-at",
      short: "C",
      value: "-",
      choices: ["-"],
      summary: "Resume a download from FILE.part",
    },
    {
      name: "verbose",
      short: "v",
      summary: "Print the connection, the request and the response headers",
    },
    { name: "include", short: "i", summary: "Print the response headers before the body" },
    { name: "head", short: "I", summary: "Fetch the headers only (HEAD)" },
    { name: "request", short: "X", value: "METHOD", summary: "Use this request method" },
    {
      name: "data",
      short: "d",
      value: "DATA",
      many: true,
      summary: "Send DATA, or the content of @FILE, with POST; repeated values are joined with &",
    },
    {
      name: "data-binary",
      value: "DATA",
      many: true,
      summary: "Like --data, but keep the line breaks of a file",
    },
    {
      name: "header",
      short: "H",
      value: "LINE",
      many: true,
      summary: 'Send this header, written as "Name: value"',
    },
    { name: "location", short: "L", summary: "Follow redirects, at most 20" },
    { name: "silent", short: "s", summary: "Print no progress and no errors" },
    { name: "show-error", short: "S", summary: "With --silent, still print errors" },
    {
      name: "fail",
      short: "f",
      summary: "Fail with exit status 22 if the HTTP status is 400 or higher",
    },
    { name: "max-time", short: "m", value: "SECONDS", summary: "Give up after this many seconds" },
    CONNECT_TIMEOUT,
    {
      name: "user",
      short: "u",
      value: "NAME:PASSWORD",
      summary: "Authenticate with this user (Basic)",
    },
    {
      name: "range",
      short: "r",
      value: "RANGE",
      summary: "Fetch only these bytes, such as 0-499 or -500",
    },
    {
      name: "retry",
      value: "COUNT",
      summary: "Retry after transient errors: status 408, 429 or 5xx, timeouts, broken connections",
    },
    {
      name: "checksum",
      value: "ALGORITHM=VALUE",
      summary:
        "Fail with exit status 111 unless the body has this digest, such as sha-256=2c26b4...",
    },
    { name: "compressed", summary: "Request a compressed response, and decompress it" },
    ...FAMILY_OPTIONS,
    ...MODE_OPTIONS,
    {
      name: "cacert",
      value: "FILE",
      summary: "Also trust the certificate authorities in FILE (PEM)",
    },
  ],
  examples: [
    { line: "get -O https://example.org/image.iso", summary: "Download a file" },
    { line: "get -C - -O https://example.org/image.iso", summary: "Resume the download" },
    { line: "get -v example.org", summary: "See whether MPTCP is used, and if not, why" },
    {
      line: "get --require-mptcp -fsS http://10.0.0.1/",
      summary: "Fail in a script unless MPTCP is used",
    },
    {
      line: "get --retry 5 -C - -O --checksum sha-256=2c26b4... https://example.org/image.iso",
      summary: "Resume after broken connections, and verify",
    },
    {
      line: "get --json -o /dev/null example.org",
      summary: "Print the figures of a transfer as JSON",
    },
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
    late.abort(
      new StatusError(28, `${shownUrl(request.url)}: not complete after ${maxTime} s (--max-time)`),
    );
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
