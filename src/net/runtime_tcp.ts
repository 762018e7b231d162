/**
 * The runtime's own TCP behind the interfaces of this module, for systems without Linux or libc.
 *
 * @module
 */

import { runtimeTcp } from "../../ffi/runtime.ts";
import { parseIp } from "../../ffi/linux/sockaddr.ts";
import {
  ChangedBufferError,
  describeFailure,
  type TcpAddr,
  type TcpConn,
  type TcpListener,
} from "../../ffi/tcp.ts";
import { changedError, isDetached } from "../poll/buffer.ts";
import { AcceptIterator } from "./accept_iterator.ts";
import { breaksConnection, closedError, MptcpError, unsupportedError } from "../error.ts";
import type { ConnectRequest, ListenRequest } from "./request.ts";
import { ConnStreams, notBytes } from "./streams.ts";
import { formatHostPort } from "../show.ts";
import type { MptcpInfo } from "../kernel/info_types.ts";
import type {
  Fallback,
  MptcpConn,
  MptcpListener,
  NetAddr,
  SocketOptions,
  Subflow,
} from "../types.ts";

/** What is said of a failed operation beside the runtime's own error. */
interface Context {
  readonly operation: string;
  readonly address?: string;
  readonly port?: number;
}

/** Listens by the runtime's own TCP. The options have been checked. */
export function listenByRuntime(request: ListenRequest, fallback: Fallback): MptcpListener {
  const { hostname: address, port, family, reusePort, ipv6Only, socketOptions } = request;
  refuseOptions(request, [
    ["reusePort", reusePort],
    ["ipv6Only", ipv6Only],
    ["family", family !== undefined && parseIp(address) === null],
  ]);
  try {
    return new RuntimeListener(runtimeTcp().listen(request), socketOptions, fallback);
  } catch (error) {
    throw toMptcpError(error, { operation: "listen", address, port });
  }
}

/** Connects by the runtime's own TCP, its Happy Eyeballs included. The options have been checked. */
export async function connectByRuntime(
  request: ConnectRequest,
  fallback: Fallback,
): Promise<MptcpConn> {
  const { hostname: address, port, family, localAddress, localPort } = request;
  refuseOptions(request, [
    ["localAddress", localAddress !== undefined],
    ["localPort", localPort !== undefined],
    ["family", family !== undefined && parseIp(address) === null],
  ]);
  try {
    const conn = await runtimeTcp().connect(request);
    return new RuntimeConn(conn, request.socketOptions, fallback);
  } catch (error) {
    if (error === request.signal?.reason) throw error;
    throw toMptcpError(error, { operation: "connect", address, port });
  }
}

type Wish = readonly [option: ReturnType<typeof runtimeTcp>["lacks"][number], wished: boolean];

/** Throws for what no TCP of a runtime does, and for wishes that this one does not fulfil. */
function refuseOptions(
  { netns, socketOptions }: ListenRequest | ConnectRequest,
  wishes: readonly Wish[],
): void {
  if (netns !== undefined) throw refusedError("netns");
  for (const [key, value] of Object.entries(socketOptions)) {
    const done = key === "noDelay" || (key === "keepAlive" && typeof value === "boolean");
    if (value !== undefined && !done) throw refusedError(`socketOptions.${key}`);
  }
  for (const [option, wished] of wishes) {
    if (wished && runtimeTcp().lacks.includes(option)) throw refusedError(option);
  }
}

function refusedError(option: string): MptcpError {
  const { runtime } = runtimeTcp();
  const message = option === "family"
    ? `${runtime}'s own TCP cannot choose the address family of a name: give an IP address`
    : `${runtime}'s own TCP, which is used here instead of MPTCP, does not support ${option}: leave it out`;
  return unsupportedError(message);
}

/** The runtime's error as this module's; what is not about the network stays as it is. */
function toMptcpError(error: unknown, { operation, address, port }: Context): unknown {
  if (error instanceof MptcpError) return error;
  const failure = describeFailure(error);
  if (failure === null) return error;
  const { name, code, errno, text } = failure;
  const where = address === undefined ? "" : ` ${formatHostPort(address, port)}`;
  // Without an errno it is about the state of the object, not about the network.
  const message = errno === undefined && where === "" ? text : `${operation}${where}: ${text}`;
  return new MptcpError(message, {
    name,
    code,
    ...(errno !== undefined && { errno, syscall: operation }),
    ...(address !== undefined && { address }),
    ...(port !== undefined && { port }),
    cause: error,
  });
}

/** An address as users of this module see it. */
function toNetAddr({ hostname, port }: TcpAddr): NetAddr {
  return { transport: "tcp", hostname: hostname.replace(/^::ffff:(?=\d+\.)/i, ""), port };
}

function detachRefused(): MptcpError {
  return unsupportedError(
    `${runtimeTcp().runtime}'s own TCP, which is used here instead of MPTCP, cannot detach its descriptor`,
  );
}

/** The result of reading into, or writing, no bytes. */
function zeroOf(p: Uint8Array, syscall: string): 0 {
  if (isDetached(p)) throw changedError(syscall, 0);
  return 0;
}

class RuntimeListener extends AcceptIterator implements MptcpListener {
  readonly addr: NetAddr;
  readonly fd = -1;
  readonly protocol = "tcp";
  readonly fallback: Fallback;
  readonly #tcp: TcpListener;
  readonly #options: SocketOptions;
  #closed = false;

  constructor(tcp: TcpListener, options: SocketOptions, fallback: Fallback) {
    super();
    this.#tcp = tcp;
    this.#options = options;
    this.addr = toNetAddr(tcp.addr);
    this.fallback = fallback;
  }

  override async accept(): Promise<MptcpConn> {
    for (;;) {
      try {
        return new RuntimeConn(await this.#tcp.accept(), this.#options, this.fallback);
      } catch (error) {
        // Deno fails so for a connection that was reset before; the next may be alive.
        if (describeFailure(error)?.code === "ENOTCONN") continue;
        throw toMptcpError(error, { operation: "accept" });
      }
    }
  }

  close(): void {
    if (this.#closed) throw closedError();
    this.#closed = true;
    this.#tcp.close();
  }

  detach(): number {
    throw detachRefused();
  }

  override [Symbol.dispose](): void {
    if (!this.#closed) this.close();
  }

  ref(): void {
    this.#tcp.ref();
  }

  unref(): void {
    this.#tcp.unref();
  }
}

class RuntimeConn implements MptcpConn {
  readonly localAddr: NetAddr;
  readonly remoteAddr: NetAddr;
  readonly fd = -1;
  readonly protocol = "tcp";
  readonly fallback: Fallback;
  readonly #tcp: TcpConn;
  #closed = false;
  /** What broke the connection. */
  #failure: Error | null = null;
  /** The peer's end of the stream has been read. */
  #hasEnded = false;
  #streams: ConnStreams | null = null;

  constructor(tcp: TcpConn, { noDelay = true, keepAlive }: SocketOptions, fallback: Fallback) {
    this.#tcp = tcp;
    this.localAddr = toNetAddr(tcp.localAddr);
    this.remoteAddr = toNetAddr(tcp.remoteAddr);
    this.fallback = fallback;
    try {
      tcp.setNoDelay(noDelay);
      if (keepAlive !== undefined) tcp.setKeepAlive(keepAlive !== false);
    } catch {
      // The peer may have reset it already, which the first read tells.
    }
  }

  async read(p: Uint8Array): Promise<number | null> {
    if (!(p instanceof Uint8Array)) throw notBytes(p);
    this.#assertOpen();
    const { byteLength: length } = p;
    if (length === 0) return zeroOf(p, "recv");
    try {
      const count = await this.#tcp.read(p);
      if (count === null) this.#end();
      return count;
    } catch (error) {
      if (error instanceof ChangedBufferError) throw changedError("recv", 0, length);
      throw this.#judge(error, "read");
    }
  }

  async write(p: Uint8Array): Promise<number> {
    if (!(p instanceof Uint8Array)) throw notBytes(p);
    this.#assertOpen();
    const { byteLength: length } = p;
    if (length === 0) return zeroOf(p, "send");
    try {
      return await this.#tcp.write(p);
    } catch (error) {
      if (error instanceof ChangedBufferError) throw changedError("send", 0, length);
      throw this.#judge(error, "write");
    }
  }

  async closeWrite(): Promise<void> {
    this.#assertOpen();
    try {
      await this.#tcp.closeWrite();
    } catch (error) {
      throw toMptcpError(error, { operation: "shutdown" });
    }
  }

  close(): void {
    this.#assertOpen();
    this.#closed = true;
    this.#tcp.close();
  }

  detach(): number {
    throw detachRefused();
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.close();
  }

  ref(): void {
    this.#tcp.ref();
  }

  unref(): void {
    this.#tcp.unref();
  }

  setNoDelay(noDelay: boolean = true): void {
    this.#assertOpen();
    this.#tcp.setNoDelay(noDelay);
  }

  setKeepAlive(keepAlive: boolean = true): void {
    this.#assertOpen();
    this.#tcp.setKeepAlive(keepAlive);
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#asStreams().readable;
  }

  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    return this.#asStreams().writable;
  }

  info(): MptcpInfo | null {
    return null;
  }

  subflows(): Subflow[] {
    const { localAddr, remoteAddr } = this;
    return this.#closed ? [] : [{ localAddr, remoteAddr, tcp: {} }];
  }

  #assertOpen(): void {
    if (this.#closed) throw closedError();
  }

  /** After a failure that a write reported, this is not the end of the stream. */
  #end(): void {
    if (this.#failure !== null && !this.#hasEnded) throw this.#failure;
    this.#hasEnded = true;
  }

  /** Remembers what broke the connection, and tells it ever after. */
  #judge(error: unknown, operation: string): unknown {
    const failure = toMptcpError(error, { operation });
    if (failure instanceof MptcpError && breaksConnection(failure.errno ?? 0)) {
      this.#failure ??= failure;
    }
    return this.#failure ?? failure;
  }

  #asStreams(): ConnStreams {
    return this.#streams ??= new ConnStreams({
      io: this,
      finish: () => this[Symbol.dispose](),
    });
  }
}
