/**
 * The error that this module throws.
 *
 * @module
 */

import type { Fallback } from "./types.ts";

/** What an {@linkcode MptcpError} carries beside its message. */
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
  /** Why there is no MPTCP. */
  fallback?: Fallback;
}

/**
 * A network operation that failed. The message says what failed, on what, and where it helps, what
 * to do about it.
 *
 * `code` is what programs should test. `name` is the name that `Deno.listen` and `Deno.connect`
 * give the same failure ("ConnectionRefused", "AddrInUse", "BadResource"...), and "MptcpError" where
 * they have none, so that code which looks at `error.name` works with either.
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
   * ("ENOTFOUND", "EAI_AGAIN"), or "ERR_..." for a refusal of this module's own.
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
  /** Why there is no MPTCP, where it was required. */
  readonly fallback?: Fallback;

  /** Makes an error; the options become its properties. */
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
