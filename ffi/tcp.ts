/**
 * The contract of the runtime's own TCP, which is used if this module has no usable libc. The twins
 * `deno/tcp.ts` and `bun/tcp.ts` fill it in.
 *
 * **Behaviour** is that of `Deno.listen` and `Deno.connect`. A caller does not read, write or
 * half-close what it has closed: it knows that it has.
 *
 * **Errors** are the runtime's own; {@linkcode describeFailure} says what they mean.
 *
 * **Life.** A wait keeps the process alive, of what is not unref'ed, and nothing else does.
 *
 * @module
 */

import { codeOfClass, errnoClass, errorText } from "./linux/errno.ts";

/** An IP address and a port. */
export interface TcpAddr {
  readonly hostname: string;
  readonly port: number;
}

/** A connection. */
export interface TcpConn {
  readonly localAddr: TcpAddr;
  readonly remoteAddr: TcpAddr;
  /**
   * At least one byte, or `null` at the end of the stream. A view that loses memory meanwhile is a
   * {@linkcode ChangedBufferError} where the runtime does not keep that memory.
   */
  read(buf: Uint8Array): Promise<number | null>;
  /** At least one byte, waiting for room. */
  write(buf: Uint8Array): Promise<number>;
  /** Ends the outgoing direction behind the writes that wait. */
  closeWrite(): Promise<void>;
  /** Closes both directions; what waits is rejected as interrupted. */
  close(): void;
  ref(): void;
  unref(): void;
  setNoDelay(on: boolean): void;
  setKeepAlive(on: boolean): void;
}

/** A socket that listens. */
export interface TcpListener {
  readonly addr: TcpAddr;
  accept(): Promise<TcpConn>;
  /** Stops listening; an accept that waits is rejected, what nobody accepted is closed. */
  close(): void;
  ref(): void;
  unref(): void;
}

/** What `listen` takes. */
export interface TcpListenOptions {
  readonly hostname: string;
  readonly port: number;
  readonly tcpBacklog: number;
  readonly reusePort: boolean;
  readonly ipv6Only: boolean;
}

/** What `connect` takes. */
export interface TcpConnectOptions {
  readonly hostname: string;
  readonly port: number;
  readonly family?: 4 | 6 | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly autoSelectFamily?: boolean | undefined;
  readonly autoSelectFamilyAttemptDelay?: number | undefined;
}

/** An option that not every runtime has; "family" is the family of a name. */
export type TcpOption = "reusePort" | "ipv6Only" | "localAddress" | "localPort" | "family";

/** The runtime's own TCP. */
export interface Tcp {
  /** Whose it is, for error messages. */
  readonly runtime: string;
  /** The options that it cannot do, and must not be given. */
  readonly lacks: readonly TcpOption[];
  listen(options: TcpListenOptions): TcpListener;
  connect(options: TcpConnectOptions): Promise<TcpConn>;
}

/** What waits, and how to settle its promise. */
export interface Waiter<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** What an error of the runtime says. */
export interface Failure {
  /** The name of the class of `Deno.errors`. */
  readonly name: string;
  readonly code: string;
  readonly errno?: number;
  /** "Connection refused (os error 111)". */
  readonly text: string;
}

/** Reads an error of either runtime; `null` if it is not about the network. */
export function describeFailure(error: unknown): Failure | null {
  if (!(error instanceof Error)) return null;
  const { message, ...given } = fieldsOf(error);
  // Deno's error of a look-up has neither a code nor a class.
  const isLookup = message.startsWith("failed to lookup address information");
  const code = given.code ?? (isLookup ? "ENOTFOUND" : codeOfClass(error.name));
  if (code === null) return null;
  const isClass = error.name !== "Error" && error.name !== "DNSException";
  const name = isClass ? error.name : errnoClass(code);
  const number = /\(os error (\d+)\)/.exec(message)?.[1] ?? given.errno;
  if (number === undefined) return { name, code, text: message };
  const errno = Math.abs(Number(number));
  return { name, code, errno, text: errorText(code, errno) ?? message };
}

/** What an error has beside its name; Bun has its errno below zero. */
function fieldsOf(error: Error): { message: string; code?: string; errno?: number } {
  const { message, code, errno } = error as Error & { code?: unknown; errno?: unknown };
  return {
    message,
    ...(typeof code === "string" && { code }),
    ...(typeof errno === "number" && { errno }),
  };
}

/** A view had less memory when its turn came than when its operation began. Nothing was read or written. */
export class ChangedBufferError extends Error {}

/** An error of a twin's own, as Deno words it. */
export function stateError(name: string, code: string, message: string): Error {
  return Object.assign(new Error(message), { name, code });
}
