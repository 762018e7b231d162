/**
 * The exit statuses of `get`, which are curl's, and the failures that lead to them.
 *
 * @module
 */

import { MptcpError } from "../../error.ts";
import { StatusError } from "../ui/status_error.ts";

/** What curl has no number for: MPTCP is required but unavailable. */
export const NOT_MPTCP = 110;

/** What curl has no number for: the digest of what came is another than it should be. */
export const WRONG_DIGEST = 111;

/** The statuses for the help. */
export const STATUSES: Readonly<Record<number, string>> = {
  3: "the URL is none of HTTP",
  6: "the server's name is not known",
  7: "the server cannot be connected to",
  8: "what the server says is not HTTP",
  18: "less came than was to come",
  22: "with --fail or -C -: the answer's status is 400 or more",
  23: "what came cannot be written",
  26: "what is to be sent cannot be read",
  28: "it took longer than --max-time or --connect-timeout",
  33: "the server sent another part than the one asked for, or of another version",
  35: "TLS failed",
  47: "too many redirects",
  52: "the server closed the connection without an answer",
  56: "the connection broke before an answer",
  60: "the server's certificate is not trusted",
  77: "the file of --cacert cannot be used",
  [NOT_MPTCP]: "with --mptcp require or require-peer: the connection is TCP",
  [WRONG_DIGEST]: "what came has another digest than --checksum or the server says",
};

const NAME_CODES = /^(ENOTFOUND|ENODATA|EAI_)/;

/** Words of the runtimes' own errors, which have no codes that both share. */
const WORDS: readonly (readonly [pattern: RegExp, status: number])[] = [
  [/more than \d+ redirects/, 47],
  [/certificate|_CERT\b|CERT_|ALTNAME|UNABLE_TO_/i, 60],
  [/\btls\b|handshake|corrupt message|EPROTO|fatal alert/i, 35],
  [/invalid HTTP|Malformed_HTTP|parsed/i, 8],
  [/reset by peer/i, 56],
  [/closed before message|closed unexpectedly|connection closed|ECONNRESET/i, 52],
  [/blocked/i, 7],
];

/** What was said in vain about a request: an error with curl's status. */
export function requestFailure(error: unknown, url: URL): StatusError {
  if (error instanceof StatusError) return error;
  // `fetch` has it as the cause of its TypeError.
  const failure = error instanceof Error && error.cause instanceof MptcpError ? error.cause : error;
  if (failure instanceof MptcpError) {
    return new StatusError(statusOf(failure), failure.message, { cause: failure });
  }
  const text = messageOf(error);
  const status = WORDS.find(([pattern]) => pattern.test(text))?.[1] ?? 1;
  return new StatusError(status, `${url.host}: ${HINTS[status] ?? text}`, { cause: error });
}

const HINTS: Readonly<Record<number, string>> = {
  8: "what the server says is not HTTP",
  47: "too many redirects",
  52: "the server closed the connection without an answer",
  56: "the server broke the connection off before an answer",
};

function statusOf({ code, syscall }: MptcpError): number {
  if (NAME_CODES.test(code)) return 6;
  if (/^ERR_MPTCP/.test(code) || syscall === "socket") return NOT_MPTCP;
  if (code === "ETIMEDOUT") return 28;
  return code === "ECONNRESET" && syscall !== "connect" ? 56 : 7;
}

/** The runtimes' messages without what is said of the request already, or is about their own API. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  const message = cause instanceof Error ? cause.message : error.message;
  return message
    .replace(/^error sending request .*?: client error \(\w+\): /, "")
    .replace(/ fetching "[^"]*"/, "")
    .replace(/\.? For more information, pass `verbose.*$/s, "")
    .replace(/^[\w]+: (?=[A-Z])/, "");
}
