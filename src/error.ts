/**
 * The error that this module throws, and how its parts make one.
 *
 * @module
 */

import { ERRNO, errnoClass, errnoName, errnoText } from "../ffi/linux/errno.ts";
import { formatHostPort } from "./show.ts";
import type { Fallback } from "./types.ts";

/** The properties of an {@linkcode MptcpError}. */
export interface MptcpErrorOptions extends ErrorOptions {
  /** The name of the class of `Deno.errors` that the runtime's own socket would have thrown. */
  name?: string;
  /** "ECONNREFUSED". */
  code: string;
  /** 111. */
  errno?: number;
  /** "connect". */
  syscall?: string;
  /** The IP address or host name that the operation was about. */
  address?: string;
  /** The port that the operation was about. */
  port?: number;
  /** Why MPTCP is unavailable. */
  fallback?: Fallback;
}

/**
 * A network operation that failed. The message says what failed, on what, and, if useful, what to do
 * about it.
 *
 * `code` is what programs should test. `name` is the name that `Deno.listen` and `Deno.connect`
 * give the same failure ("ConnectionRefused", "AddrInUse", "BadResource"...), and "MptcpError" if they
 * have none, so that code that checks `error.name` works with both.
 *
 * @example
 * ```ts
 * import { connectMptcp, MptcpError } from "@multipath/mptcp";
 *
 * try {
 *   await connectMptcp({ hostname: "127.0.0.1", port: 1 });
 * } catch (error) {
 *   if (!(error instanceof MptcpError)) throw error;
 *   console.log(error.code, error.syscall, error.address, error.port);
 *   // ECONNREFUSED connect 127.0.0.1 1
 * }
 * ```
 */
export class MptcpError extends Error {
  /**
   * The C name of the errno ("ECONNREFUSED", "EMFILE"), Node's name for a failed look-up
   * ("ENOTFOUND", "EAI_AGAIN"), or "ERR_..." for an error of this module itself.
   */
  readonly code: string;
  /** The errno as a positive number, where a system call failed. */
  readonly errno?: number;
  /** The system call that failed. */
  readonly syscall?: string;
  /** The IP address or host name that the operation was about. */
  readonly address?: string;
  /** The port that the operation was about. */
  readonly port?: number;
  /** Why MPTCP is unavailable, if it was required. */
  readonly fallback?: Fallback;

  /** Creates an error; the options become its properties. */
  constructor(message: string, options: MptcpErrorOptions) {
    super(message, options);
    this.name = options.name ?? "MptcpError";
    this.code = options.code;
    if (options.errno !== undefined) this.errno = options.errno;
    if (options.syscall !== undefined) this.syscall = options.syscall;
    if (options.address !== undefined) this.address = options.address;
    if (options.port !== undefined) this.port = options.port;
    if (options.fallback !== undefined) this.fallback = options.fallback;
  }
}

/** What a failed call was about, and what to do. */
export interface ErrorContext {
  address?: string;
  port?: number;
  /** What the call was for, as "listen"; the name of the call where left out. */
  operation?: string;
  /** A sentence that says what to do. */
  advice?: string;
  cause?: unknown;
}

/** The error for a negative result of a system call: "connect 127.0.0.1:1: Connection refused (os error 111)". */
export function systemError(
  syscall: string,
  result: number,
  context: ErrorContext = {},
): MptcpError {
  const errno = -result;
  const { address, port, operation = syscall, advice, cause } = context;
  const code = errnoName(errno);
  const where = address === undefined ? "" : ` ${formatHostPort(address, port)}`;
  const via = operation === syscall ? "" : `${syscall}: `;
  const hint = advice === undefined ? "" : `. ${advice}`;
  return new MptcpError(`${operation}${where}: ${via}${errnoText(errno)}${hint}`, {
    name: errnoClass(code),
    code,
    errno,
    syscall,
    ...(address !== undefined && { address }),
    ...(port !== undefined && { port }),
    ...(cause !== undefined && { cause }),
  });
}

/** Throws unless the result of a call is its success. */
export function check(syscall: string, result: number, context?: ErrorContext): number {
  if (result < 0) throw systemError(syscall, result, context);
  return result;
}

/** "Bad resource ID", as Deno says of what is closed. */
export function closedError(message = "Bad resource ID"): MptcpError {
  return new MptcpError(message, { name: "BadResource", code: "EBADF", errno: ERRNO.EBADF });
}

/** Rejects operations that wait while their connection is closed. */
export function interruptedError(): MptcpError {
  return new MptcpError("operation canceled", {
    name: "Interrupted",
    code: "EINTR",
    errno: ERRNO.EINTR,
  });
}

/** Rejects an accept while another waits. */
export function busyError(): MptcpError {
  return new MptcpError("Another accept task is ongoing", { name: "Busy", code: "EBUSY" });
}

/** For what exists, and not here. */
export function unsupportedError(message: string): MptcpError {
  return new MptcpError(message, { name: "NotSupported", code: "ERR_UNSUPPORTED" });
}

/** Failures after which there is no connection any more. The kernel tells each of them once. */
const BREAKS: ReadonlySet<number> = new Set([
  ERRNO.ECONNRESET,
  ERRNO.ECONNABORTED,
  ERRNO.ETIMEDOUT,
  ERRNO.EHOSTUNREACH,
  ERRNO.ENETUNREACH,
  ERRNO.EHOSTDOWN,
  ERRNO.ENETDOWN,
  ERRNO.EPROTO,
  ERRNO.ENOTCONN,
]);

/** Whether a read or write that failed with this errno says that its connection is no more. */
export function breaksConnection(errno: number): boolean {
  return BREAKS.has(errno);
}

/** What this machine is short of, and may have again soon. */
const SHORTAGES: ReadonlySet<number | undefined> = new Set([
  ERRNO.EMFILE,
  ERRNO.ENFILE,
  ERRNO.ENOBUFS,
  ERRNO.ENOMEM,
]);

/** Whether an error is about this machine's descriptors or memory. */
export function isShortage(error: unknown): boolean {
  return error instanceof MptcpError && SHORTAGES.has(error.errno);
}
