/**
 * `MptcpSocket`: a `net.Socket` on a connection of this module.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { addAbortSignal, Duplex } from "node:stream";
import { nextTurn } from "../../ffi/event_loop.ts";
import type { MptcpInfo } from "../kernel/info_types.ts";
import { adoptMptcp } from "../net/adopt.ts";
import { resetOnClose } from "../poll/socket.ts";
import type { Fallback, MptcpConn, Protocol, Subflow } from "../types.ts";
import { familyOf, toAddressInfo } from "./addresses.ts";
import {
  checkConnectOptions,
  checkFd,
  checkTimeout,
  normalizeArguments,
  refuseObjectMode,
} from "./arguments.ts";
import { Dialer } from "./dialer.ts";
import { alreadyConnecting, closedBeforeConnection, socketClosed, toNodeError } from "./errors.ts";
import { IdleTimer } from "./idle_timer.ts";
import { modeOf, streamOptions } from "./mode.ts";
import { SocketReader } from "./reader.ts";
import type {
  CreateConnectionOptions,
  KeepAliveOptions,
  MptcpSocketConnectOptions,
  MptcpSocketMode,
  MptcpSocketOptions,
  SocketAddressInfo,
  UnixSocketOptions,
} from "./types.ts";
import { SocketSettings } from "./settings.ts";
import { type Done, endOutgoing, sendAll, type Write, writeAfterEnd } from "./writer.ts";

/** What a socket is made of for `MptcpSocket.adopt`. */
let adopted: MptcpConn | null = null;

/**
 * A socket with the members of `net.Socket`. Its connection uses MPTCP if both ends and the path allow
 * it, and TCP otherwise; see `protocol`, `fallback`, `info()` and `subflows()`. It is a `Duplex` and
 * connects when `connect` is called. Use it wherever a library takes a socket or a function that creates
 * one.
 *
 * It behaves like `net.Socket`, with these differences: `TCP_NODELAY` is on by default; it is not an
 * `instanceof net.Socket`; Unix sockets are refused. Errors have Node's `code`, `errno`, `syscall`,
 * `address` and `port`, and an `MptcpError` as `cause`.
 *
 * @example
 * ```ts
 * import { listenMptcp } from "@multipath/mptcp";
 * import { MptcpSocket } from "@multipath/mptcp/node";
 *
 * using listener = listenMptcp({ hostname: "127.0.0.1" });
 * const socket = new MptcpSocket({ mptcp: "prefer" });
 * socket.connect(listener.addr.port, "127.0.0.1", () => {
 *   console.log(socket.protocol, socket.remoteAddress, socket.subflows().length);
 *   socket.end("hello");
 * });
 * using conn = await listener.accept();
 * console.log(await conn.read(new Uint8Array(16))); // 5
 * ```
 */
export class MptcpSocket extends Duplex {
  /** Whether it is connecting. */
  connecting: boolean = false;
  /** The milliseconds given to `setTimeout`. */
  timeout?: number;
  /** Always `null`. A server gets its sockets from the "connection" event. */
  readonly server: null = null;

  /** The address of this end; undefined before there is a connection. */
  declare readonly localAddress?: string;
  /** The port of this end. */
  declare readonly localPort?: number;
  /** `"IPv4"` or `"IPv6"`. */
  declare readonly localFamily?: string;

  readonly #mode: MptcpSocketMode;
  readonly #settings: SocketSettings = new SocketSettings();
  readonly #dialer: Dialer = new Dialer(this);
  readonly #idle: IdleTimer = new IdleTimer(() => this.emit("timeout"));
  readonly #reader: SocketReader;
  #conn: MptcpConn | null = null;
  #isRefed = true;
  #bytesRead = 0;
  #bytesSent = 0;

  // Getters that are optional, as in the types of Node, cannot be written down.
  static {
    const define = (name: string, get: (this: MptcpSocket) => unknown) =>
      Object.defineProperty(this.prototype, name, { configurable: true, get });
    define("localAddress", function () {
      return this.#conn?.localAddr.hostname;
    });
    define("localPort", function () {
      return this.#conn?.localAddr.port;
    });
    define("localFamily", function () {
      return this.#conn === null ? undefined : familyOf(this.#conn.localAddr);
    });
  }

  /** Creates a socket that is not connected yet. */
  constructor(options: MptcpSocketOptions = {}) {
    refuseObjectMode(options);
    const { signal, onread } = options;
    super(streamOptions(options));
    this.#mode = modeOf(options);
    this.#reader = new SocketReader(onread ?? null, this, {
      onBytes: (count) => {
        this.#bytesRead += count;
        this.#idle.touch();
      },
      push: (chunk) => this.push(chunk),
      pause: () => void this.pause(),
      onEnd: () => {
        this.push(null);
        this.read(0);
      },
      onError: (error) => {
        // Closing rejects a read that waits.
        if (!this.destroyed) this.destroy(toNodeError(error, "read"));
      },
    });
    this.once("end", () => {
      if (!this.allowHalfOpen) this.write = writeAfterEnd as Write;
    });
    // Behind the fields: one that is aborted already destroys the socket at once.
    if (signal) addAbortSignal(signal, this);
    if (adopted !== null) this.#conn = adopted;
    else if (options.fd !== undefined) this.#conn = adoptMptcp(checkFd(options.fd));
  }

  /** Creates a socket from an existing connection, which the socket then owns. */
  static adopt(conn: MptcpConn, options: MptcpSocketOptions = {}): MptcpSocket {
    adopted = conn;
    try {
      return new MptcpSocket(options);
    } finally {
      adopted = null;
    }
  }

  /** Connects. See `createConnection` for the signatures. The path of a Unix socket is refused. */
  connect(options: MptcpSocketConnectOptions | UnixSocketOptions, onConnect?: () => void): this;
  /** Connects to a port of a host. */
  connect(port: number, host: string, onConnect?: () => void): this;
  /** Connects to a port of this machine. */
  connect(port: number, onConnect?: () => void): this;
  /** Connects to a port of this machine, as text; the path of a Unix socket is refused. */
  connect(port: string, onConnect?: () => void): this;
  connect(...args: unknown[]): this {
    const [given, onConnect] = normalizeArguments(args);
    const options = checkConnectOptions({ ...this.#mode, ...given });
    if (onConnect !== null) this.once("connect", onConnect);
    if (this.connecting) return this.destroy(alreadyConnecting());
    this.#reopen();
    this.connecting = true;
    this.#idle.touch();
    void this.#dialer.start(
      options,
      (conn) => this.#onConnected(conn, options),
      (error) => this.destroy(error),
    );
    return this;
  }

  /** Makes a closed socket usable again. */
  #reopen(): void {
    if (!this.destroyed && this.#conn === null) return;
    this.write = Duplex.prototype.write;
    (this as unknown as { _undestroy(): void })._undestroy();
    this.#conn = null;
    this.#bytesRead = this.#bytesSent = 0;
  }

  #onConnected(conn: MptcpConn, options: CreateConnectionOptions): void {
    this.#conn = conn;
    this.connecting = false;
    if (!this.#isRefed) conn.unref();
    try {
      this.#settings.apply(conn, options.keepAlive, options.keepAliveInitialDelay);
    } catch (error) {
      this.destroy(toNodeError(error));
      return;
    }
    this.#idle.touch();
    this.emit("connect");
    this.emit("ready");
    if (!this.destroyed && !this.isPaused()) this.read(0);
  }

  /** Reads; called by the stream. */
  override _read(): void {
    const conn = this.#conn;
    if (conn !== null && !this.connecting) this.#reader.start(conn);
    else if (this.connecting) this.once("connect", () => this._read());
  }

  /** Resumes reading, also into the buffer of `onread`. */
  override resume(): this {
    super.resume();
    if (this.#reader.hasOwnBuffer && this.#openConn !== null && !this.connecting) this._read();
    return this;
  }

  /** Writes a chunk; called by the stream. */
  override _write(
    chunk: Uint8Array,
    _encoding: string,
    done: (error?: Error | null) => void,
  ): void {
    this.#whenConnected((conn) => this.#send(conn, chunk, done), done);
  }

  /** Writes several chunks; called by the stream. */
  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    const bytes = Buffer.concat(chunks.map(({ chunk }) => chunk));
    this.#whenConnected((conn) => this.#send(conn, bytes, done), done);
  }

  /** Closes the outgoing direction; called by the stream. */
  override _final(done: (error?: Error | null) => void): void {
    if (this.#conn === null && !this.connecting) return done();
    this.#whenConnected((conn) => {
      endOutgoing(conn).then(() => done(), done);
    }, done);
  }

  /** Closes the connection; called by the stream. */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.connecting = false;
    this.#idle.stop();
    this.#dialer.stop();
    this.#conn?.[Symbol.dispose]();
    done(error);
    // Behind "error", which the stream emits in the next tick.
    const close = () => void this.emit("close", error !== null && error !== undefined);
    nextTurn(close);
  }

  /** Calls `action` with the connection, once there is one. */
  #whenConnected(action: (conn: MptcpConn) => void, done: (error?: Error | null) => void): void {
    if (!this.connecting) {
      if (this.#conn === null) done(socketClosed());
      else action(this.#conn);
      return;
    }
    const onClose = () => {
      this.off("connect", onConnect);
      done(closedBeforeConnection());
    };
    const onConnect = () => {
      this.off("close", onClose);
      action(this.#conn!);
    };
    this.once("connect", onConnect).once("close", onClose);
  }

  #send(conn: MptcpConn, bytes: Uint8Array, done: Done): void {
    sendAll(conn, bytes, () => this.#idle.touch()).then(() => {
      this.#bytesSent += bytes.byteLength;
      done();
    }, done);
  }

  /** Ends the socket when all data has been written, and then destroys it. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  /** Resets the connection: the peer gets "ECONNRESET". */
  resetAndDestroy(): this {
    if (this.connecting) return this.once("connect", () => this.resetAndDestroy());
    if (this.#conn === null || this.destroyed) return this.destroy(socketClosed());
    if (this.#conn.fd >= 0) resetOnClose(this.#conn.fd);
    return this.destroy();
  }

  /** Emits "timeout" if no data was read or written for this many milliseconds; 0 for never. */
  setTimeout(milliseconds: number, onTimeout?: () => void): this {
    if (this.destroyed) return this;
    const checked = checkTimeout(milliseconds, onTimeout);
    this.timeout = milliseconds;
    this.#idle.start(checked);
    if (onTimeout === undefined) return this;
    return checked === 0 ? this.off("timeout", onTimeout) : this.once("timeout", onTimeout);
  }

  /** Turns `TCP_NODELAY` on or off; it is on by default. */
  setNoDelay(noDelay: boolean = true): this {
    this.#settings.setNoDelay(Boolean(noDelay), this.#openConn);
    return this;
  }

  /** Turns keep-alive probes on or off, with milliseconds of silence before the first. */
  setKeepAlive(
    enable: boolean | KeepAliveOptions = false,
    initialDelay: number = 0,
    interval: number = 0,
    count: number = 0,
  ): this {
    const given = typeof enable === "object" ? enable : { enable, initialDelay, interval, count };
    this.#settings.setKeepAlive(given, this.#openConn);
    return this;
  }

  /** The value set by `setTypeOfService`; 0 by default. */
  getTypeOfService(): number {
    return this.#settings.tos;
  }

  /**
   * `IP_TOS`, or `IPV6_TCLASS` over IPv6, 0 to 255.
   *
   * @throws {MptcpError} code "EOPNOTSUPP" for MPTCP over IPv6, which Linux does not support up to 6.18.
   */
  setTypeOfService(tos: number): this {
    this.#settings.setTos(tos, this.#openConn);
    return this;
  }

  /** Makes the socket keep the process alive, which is the default. */
  ref(): this {
    this.#isRefed = true;
    this.#openConn?.ref();
    return this;
  }

  /** Allows the process to exit while the socket is open. */
  unref(): this {
    this.#isRefed = false;
    this.#openConn?.unref();
    return this;
  }

  /** The connection while it is open. */
  get #openConn(): MptcpConn | null {
    return this.destroyed ? null : this.#conn;
  }

  /** This end; `{}` before there is a connection. */
  address(): SocketAddressInfo | Record<never, never> {
    const addr = this.#conn?.localAddr;
    return addr === undefined ? {} : toAddressInfo(addr);
  }

  /** The address of the other end; undefined before there is a connection. */
  get remoteAddress(): string | undefined {
    return this.#conn?.remoteAddr.hostname;
  }

  /** `"IPv4"` or `"IPv6"`. */
  get remoteFamily(): string | undefined {
    return this.#conn === null ? undefined : familyOf(this.#conn.remoteAddr);
  }

  /** The port of the other end. */
  get remotePort(): number | undefined {
    return this.#conn?.remoteAddr.port;
  }

  /** The addresses that were tried, such as "127.0.0.1:80". */
  get autoSelectFamilyAttemptedAddresses(): string[] {
    return this.#dialer.attempted;
  }

  /** Bytes that have been received. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** Bytes written, including those that wait to be sent. */
  get bytesWritten(): number {
    // Node's is read from prototypes too.
    return #bytesSent in this ? this.#bytesSent + this.writableLength : undefined as never;
  }

  /** Bytes that wait to be sent. */
  get bufferSize(): number {
    return this.writableLength;
  }

  /** Whether it is not connected yet, or no longer. */
  get pending(): boolean {
    return this.#conn === null || this.connecting || this.destroyed;
  }

  /** `"opening"`, `"open"`, `"readOnly"`, `"writeOnly"` or `"closed"`. */
  get readyState(): "opening" | "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.connecting) return "opening";
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  /** The protocol in use now; `"unknown"` before it is connected. */
  get protocol(): Protocol | "unknown" {
    return this.#conn?.protocol ?? "unknown";
  }

  /** Why it is TCP; `null` while it is MPTCP. */
  get fallback(): Fallback | null {
    return this.#conn?.fallback ?? null;
  }

  /** The kernel's figures about an MPTCP connection; `null` if it is TCP, closed or not connected. */
  info(): MptcpInfo | null {
    return this.#conn?.info() ?? null;
  }

  /** The paths in use. A TCP connection has one subflow; without a connection there are none. */
  subflows(): Subflow[] {
    return this.#conn?.subflows() ?? [];
  }
}
