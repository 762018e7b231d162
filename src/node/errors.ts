/**
 * Errors as `node:net` makes them: libraries look at `code`, `errno`, `syscall`, `address` and `port`.
 *
 * @module
 */

import { ERRNO } from "../../ffi/linux/errno.ts";
import { MptcpError } from "../error.ts";
import { formatHostPort, show } from "../show.ts";

/** What Node puts on an error of a system call. */
export interface NodeError extends Error {
  code: string;
  errno?: number;
  syscall?: string;
  address?: string;
  port?: number;
  hostname?: string;
  localAddress?: string;
  localPort?: number;
}

/** Node's names of calls that this module makes by others. */
const SYSCALLS: Readonly<Record<string, string>> = {
  recv: "read",
  send: "write",
  bind: "bind",
  accept4: "accept",
};

/** libuv's number for a name that has no address. */
const ENOTFOUND = -3008;

/**
 * A failure as Node's own socket would have reported it, with the error itself as `cause`; what is not a
 * failure of the network stays as it is.
 */
export function toNodeError(error: unknown, syscall?: string): Error {
  if (!(error instanceof MptcpError)) {
    return error instanceof Error ? error : new Error(String(error), { cause: error });
  }
  const { cause } = error;
  if (cause instanceof AggregateError) return aggregate(error, cause);
  if (error.syscall === "getaddrinfo") return lookupError(error);
  if (error.errno === undefined || error.code === "ERR_MPTCP_PEER") return error;
  return systemError(error, syscall);
}

/** What Node says behind the code of a `listen` that failed. */
const LISTEN_FAILURES: Readonly<Record<string, string>> = {
  EACCES: ": permission denied",
  EADDRINUSE: ": address already in use",
  EADDRNOTAVAIL: ": address not available",
};

function systemError(error: MptcpError, given?: string): NodeError {
  const syscall = given ?? SYSCALLS[error.syscall ?? ""] ?? error.syscall ?? "read";
  const { code, errno, address } = error;
  // Node leaves out port 0.
  const port = error.port || undefined;
  const why = syscall === "listen" ? LISTEN_FAILURES[code] ?? "" : "";
  const where = address === undefined
    ? ""
    : ` ${port === undefined ? address : formatHostPort(address, port).replace(/[[\]]/g, "")}`;
  return Object.assign(new Error(`${syscall} ${code}${why}${where}`, { cause: error }), {
    errno: -errno!,
    code,
    syscall,
    ...(address !== undefined && { address }),
    ...(port !== undefined && { port }),
  });
}

function lookupError(error: MptcpError): NodeError {
  const { code, address: hostname = "" } = error;
  return Object.assign(new Error(`getaddrinfo ${code} ${hostname}`, { cause: error }), {
    errno: code === "ENOTFOUND" ? ENOTFOUND : -3000,
    code,
    syscall: "getaddrinfo",
    hostname,
  });
}

/** The error of several addresses that all failed. */
function aggregate(error: MptcpError, { errors }: AggregateError): Error {
  const all = errors.map((one) => toNodeError(one, "connect"));
  return Object.assign(new AggregateError(all, "", { cause: error }), { code: error.code });
}

/** An error of Node's own: `name [code]`, with `code`. */
function coded<T extends Error>(error: T, code: string): T & { code: string } {
  return Object.assign(error, { code });
}

/** `ERR_INVALID_ARG_TYPE`. */
export function invalidType(name: string, expected: string, value: unknown): TypeError {
  const kind = name.includes(".") ? "property" : "argument";
  const message = `The "${name}" ${kind} must be ${expected}. Received ${show(value)}`;
  return coded(new TypeError(message), "ERR_INVALID_ARG_TYPE");
}

/** `ERR_INVALID_ARG_VALUE`. */
export function invalidValue(name: string, reason: string, value: unknown): TypeError {
  const kind = name.includes(".") ? "property" : "argument";
  const message = `The ${kind} '${name}' ${reason}. Received ${show(value)}`;
  return coded(new TypeError(message), "ERR_INVALID_ARG_VALUE");
}

/** `ERR_OUT_OF_RANGE`. */
export function outOfRange(name: string, range: string, value: unknown): RangeError {
  const message = `The value of "${name}" is out of range. It must be ${range}. Received ${
    show(value)
  }`;
  return coded(new RangeError(message), "ERR_OUT_OF_RANGE");
}

/** `ERR_MISSING_ARGS`. */
export function missingArguments(names: string): TypeError {
  return coded(new TypeError(`The ${names} argument must be specified`), "ERR_MISSING_ARGS");
}

/** `ERR_SOCKET_BAD_PORT`. */
export function badPort(name: string, value: unknown): RangeError {
  const message = `${name} should be >= 0 and < 65536. Received ${show(value)}.`;
  return coded(new RangeError(message), "ERR_SOCKET_BAD_PORT");
}

/** `ERR_INVALID_IP_ADDRESS`. */
export function badAddress(value: unknown): TypeError {
  return coded(new TypeError(`Invalid IP address: ${value}`), "ERR_INVALID_IP_ADDRESS");
}

/** `ERR_INVALID_ADDRESS_FAMILY`. */
export function badFamily(family: unknown, host: string, port: number): RangeError {
  const message = `Invalid address family: ${family} ${host}:${port}`;
  return Object.assign(coded(new RangeError(message), "ERR_INVALID_ADDRESS_FAMILY"), {
    host,
    port,
  });
}

/** For a name that a look-up finds no address of. */
export function noAddress(hostname: string): NodeError {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), {
    errno: ENOTFOUND,
    code: "ENOTFOUND",
    syscall: "getaddrinfo",
    hostname,
  });
}

/** For a second `connect` while the first one connects. */
export function alreadyConnecting(): NodeError {
  return Object.assign(new Error("connect EALREADY"), {
    errno: -ERRNO.EALREADY,
    code: "EALREADY",
    syscall: "connect",
  });
}

/** `ERR_SOCKET_CLOSED`. */
export function socketClosed(): Error {
  return coded(new Error("Socket is closed"), "ERR_SOCKET_CLOSED");
}

/** `ERR_SOCKET_CLOSED_BEFORE_CONNECTION`. */
export function closedBeforeConnection(): Error {
  const message = "Socket closed before the connection was established";
  return coded(new Error(message), "ERR_SOCKET_CLOSED_BEFORE_CONNECTION");
}

/** For a write after the peer has ended a connection that is not half-open. */
export function endedByPeer(): Error {
  return coded(new Error("This socket has been ended by the other party"), "EPIPE");
}

/** `ERR_SERVER_NOT_RUNNING`. */
export function notRunning(): Error {
  return coded(new Error("Server is not running."), "ERR_SERVER_NOT_RUNNING");
}

/** `ERR_SERVER_ALREADY_LISTEN`. */
export function alreadyListening(): Error {
  const message = "Listen method has been called more than once without closing.";
  return coded(new Error(message), "ERR_SERVER_ALREADY_LISTEN");
}

/** For Unix sockets and handles, which are no TCP. */
export function notTcp(what: string): MptcpError {
  return new MptcpError(`MPTCP has no ${what}: use node:net for it`, {
    name: "NotSupported",
    code: "ERR_UNSUPPORTED",
  });
}
