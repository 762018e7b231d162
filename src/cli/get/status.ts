/**
 * The exit statuses of `get`, which are curl's, and the failures that lead to them.
 *
 * @module
 */

import { MptcpError } from "../../error.ts";
import { StatusError } from "../ui/status_error.ts";

/** MPTCP is required but unavailable. curl has no number for it. */
export const NOT_MPTCP = 110;

/** The body has a wrong digest. curl has no number for it. */
export const WRONG_DIGEST = 111;

/** The statuses for the help. */
export const STATUSES: Readonly<Record<number, string>> = {
  3: "the URL is malformed, or not HTTP or HTTPS",
  6: "the host name could not be resolved",
  7: "could not connect to the server",
  8: "the response is not valid HTTP",
  18: "the response ended early",
  22: "with --fail or -C -: the HTTP status is 400 or higher",
  23: "the output could not be written",
  26: "the file to send could not be read",
  28: "--max-time or --connect-timeout was exceeded",
  33: "the server sent a different range than requested, or a different version of the file",
  35: "the TLS handshake failed",
  47: "too many redirects",
  52: "the server closed the connection without a response",
  56: "the connection broke before the response",
  60: "the server's certificate is not trusted",
  77: "the file given with --cacert could not be used",
  [NOT_MPTCP]: "with --mptcp require or require-peer: the connection would be TCP",
  [WRONG_DIGEST]: "the body does not match --checksum or the digest that the server sent",
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

/** Turns an error of a request into one with curl's status. */
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
  8: "the response is not valid HTTP",
  47: "too many redirects",
  52: "the server closed the connection without a response",
  56: "the server reset the connection before the response",
};

function statusOf({ code, syscall }: MptcpError): number {
  if (NAME_CODES.test(code)) return 6;
  if (/^ERR_MPTCP/.test(code) || syscall === "socket") return NOT_MPTCP;
  if (code === "ETIMEDOUT") return 28;
  return code === "ECONNRESET" && syscall !== "connect" ? 56 : 7;
}

/** The runtime's message, without the URL and hints about the runtime's own API. */
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
