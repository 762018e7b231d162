/**
 * `createServer`: a `net.Server` on a listener of this module.
 *
 * @module
 */

import { EventEmitter } from "node:events";
import { nextTick } from "node:process";
import { setTimeout } from "../../ffi/event_loop.ts";
import { isShortage, MptcpError } from "../error.ts";
import { listenMptcp } from "../net/listen.ts";
import type { Fallback, ListenMptcpOptions, MptcpConn, MptcpListener, Protocol } from "../types.ts";
import { toAddressInfo } from "./addresses.ts";
import { listenOptions } from "./arguments.ts";
import { alreadyListening, invalidType, notRunning, toNodeError } from "./errors.ts";
import { MptcpSocket } from "./socket.ts";
import type {
  DroppedConnection,
  MptcpServerListenOptions,
  MptcpSocketServerOptions,
  SocketAddressInfo,
} from "./types.ts";

/** Milliseconds until the next try where no descriptor or memory is left to accept with. */
const ACCEPT_PAUSE = 100;

/** Gets each connection. */
export type ConnectionListener = (socket: MptcpSocket) => void;

/**
 * A server with the members of `net.Server` that accepts MPTCP and TCP connections. Each connection is
 * an {@linkcode MptcpSocket}. Create it with `createServer`.
 */
export class MptcpSocketServer extends EventEmitter {
  /** How many connections may be open at once. Others are closed, with a "drop" event. */
  maxConnections?: number;
  /** Ignored: connections above `maxConnections` are always dropped. */
  dropMaxConnection: boolean = false;
  readonly #options: MptcpSocketServerOptions;
  #listener: MptcpListener | null = null;
  #last: MptcpListener | null = null;
  #isRefed = true;
  #connections = 0;

  // With `captureRejections`: what an async listener of "connection" throws ends its socket.
  static {
    const onRejection = function (
      this: MptcpSocketServer,
      error: Error,
      event: string,
      socket?: MptcpSocket,
    ): void {
      if (event === "connection" && socket !== undefined) socket.destroy(error);
      else this.emit("error", error);
    };
    Object.defineProperty(this.prototype, EventEmitter.captureRejectionSymbol, {
      value: onRejection,
    });
  }

  /** Creates a server that is not listening yet. */
  constructor(
    options: MptcpSocketServerOptions | ConnectionListener | null = {},
    onConnection?: ConnectionListener,
  ) {
    super();
    const listener = typeof options === "function" ? options : onConnection;
    if (typeof options !== "function" && (typeof options !== "object")) {
      throw invalidType("options", "of type object", options);
    }
    this.#options = typeof options === "object" && options !== null ? options : {};
    if (listener !== undefined) this.on("connection", listener);
  }

  /**
   * Starts listening. See `net.Server.listen` for the signatures. Unix sockets and handles are refused,
   * and a descriptor must be listening already.
   */
  listen(options: MptcpServerListenOptions, onListening?: () => void): this;
  /** Listens on a port of an address, with a backlog. */
  listen(port?: number | string, host?: string, backlog?: number, onListening?: () => void): this;
  /** Listens on a port of an address. */
  listen(port?: number | string, host?: string, onListening?: () => void): this;
  /** Listens on a port of every address, with a backlog. */
  listen(port?: number | string, backlog?: number, onListening?: () => void): this;
  /** Listens on a port of every address. */
  listen(port?: number | string, onListening?: () => void): this;
  /** Listens on a port that the kernel chooses. */
  listen(onListening?: () => void): this;
  listen(...args: unknown[]): this {
    const [options, onListening] = listenOptions(args);
    if (this.#listener !== null) throw alreadyListening();
    if (onListening !== null) this.once("listening", onListening);
    const { signal } = options;
    if (signal?.aborted) {
      nextTick(() => this.close());
      return this;
    }
    signal?.addEventListener("abort", () => this.close(), { once: true });
    try {
      this.#start(this.#listen(options));
    } catch (error) {
      if (error instanceof TypeError || error instanceof RangeError) throw error;
      nextTick(() => this.emit("error", toNodeError(error, "listen")));
    }
    return this;
  }

  #listen(options: MptcpServerListenOptions): MptcpListener {
    const { fd, host, port = 0, backlog, ipv6Only, reusePort } = options;
    const { mptcp, netns, socketOptions, noDelay } = this.#options;
    const request: ListenMptcpOptions = {
      port: Number(port),
      ...(mptcp !== undefined && { mptcp }),
      ...(netns !== undefined && { netns }),
      ...(backlog && { tcpBacklog: backlog }),
      ...(ipv6Only !== undefined && { ipv6Only }),
      ...(reusePort !== undefined && { reusePort }),
      socketOptions: { ...socketOptions, ...(noDelay !== undefined && { noDelay }) },
    };
    if (fd !== undefined) {
      return listenMptcp({ fd, ...(mptcp !== undefined && { mptcp }) });
    }
    if (host) return listenMptcp({ ...request, hostname: host });
    try {
      return listenMptcp({ ...request, hostname: "::" });
    } catch (error) {
      if (!(error instanceof MptcpError) || !NO_IPV6.includes(error.code)) throw error;
      return listenMptcp({ ...request, hostname: "0.0.0.0" });
    }
  }

  #start(listener: MptcpListener): void {
    this.#listener = this.#last = listener;
    if (!this.#isRefed) listener.unref();
    nextTick(() => {
      if (this.#listener === listener) this.emit("listening");
    });
    void this.#accept(listener);
  }

  async #accept(listener: MptcpListener): Promise<void> {
    while (this.#listener === listener) {
      let conn: MptcpConn;
      try {
        conn = await listener.accept();
      } catch (error) {
        if (this.#listener !== listener) return;
        if (!isShortage(error)) {
          this.emit("error", toNodeError(error, "accept"));
          return;
        }
        await new Promise<void>((resolve) => setTimeout(resolve, ACCEPT_PAUSE));
        continue;
      }
      // What a listener of "connection" throws is uncaught, as everywhere in Node, and accepting continues.
      nextTick(() => this.#onConnection(conn));
    }
  }

  #onConnection(conn: MptcpConn): void {
    if (this.maxConnections !== undefined && this.#connections >= this.maxConnections) {
      const dropped = describeDropped(conn);
      conn.close();
      this.emit("drop", dropped);
      return;
    }
    const { allowHalfOpen, highWaterMark, pauseOnConnect } = this.#options;
    const { keepAlive, keepAliveInitialDelay } = this.#options;
    const socket = MptcpSocket.adopt(conn, {
      ...(allowHalfOpen !== undefined && { allowHalfOpen }),
      ...(highWaterMark !== undefined && { highWaterMark }),
    });
    if (keepAlive) socket.setKeepAlive(true, keepAliveInitialDelay);
    this.#connections++;
    socket.once("close", () => {
      this.#connections--;
      this.#emitCloseIfDone();
    });
    if (pauseOnConnect) socket.pause();
    else socket.read(0);
    this.emit("connection", socket);
  }

  /**
   * Passes the connections to a server of `node:http` or `node:tls`, which then needs no port of its
   * own. It emits "connection" there and mirrors `listening`, because Deno's `http.Server` closes
   * connections after one response unless it is listening.
   */
  serve(server: EventEmitter): this {
    Object.defineProperty(server, "listening", { configurable: true, get: () => this.listening });
    return this.on("connection", (socket) => void server.emit("connection", socket));
  }

  /** Stops listening; "close" is emitted when the last connection has ended. */
  close(onClose?: (error?: Error) => void): this {
    if (typeof onClose === "function") {
      const wasListening = this.#listener !== null;
      this.once("close", () => wasListening ? onClose() : onClose(notRunning()));
    }
    this.#listener?.[Symbol.dispose]();
    this.#listener = null;
    this.#emitCloseIfDone();
    return this;
  }

  #emitCloseIfDone(): void {
    if (this.#listener !== null || this.#connections > 0) return;
    nextTick(() => this.emit("close"));
  }

  /** The address it listens on; `null` if it is not listening. */
  address(): SocketAddressInfo | null {
    return this.#listener === null ? null : toAddressInfo(this.#listener.addr);
  }

  /** Calls back with the number of open connections. */
  getConnections(callback: (error: Error | null, count: number) => void): this {
    nextTick(callback, null, this.#connections);
    return this;
  }

  /** Makes the server keep the process alive, which is the default. */
  ref(): this {
    this.#isRefed = true;
    this.#listener?.ref();
    return this;
  }

  /** Allows the process to exit while the server is listening. */
  unref(): this {
    this.#isRefed = false;
    this.#listener?.unref();
    return this;
  }

  /** Whether it is listening. */
  get listening(): boolean {
    return this.#listener !== null;
  }

  /** The kind of socket, also after closing. An MPTCP socket accepts TCP clients too. */
  get protocol(): Protocol | "unknown" {
    return this.#last?.protocol ?? "unknown";
  }

  /** Why it is TCP; `null` while it is MPTCP. */
  get fallback(): Fallback | null {
    return this.#last?.fallback ?? null;
  }

  /** Closes the server and resolves when the last connection has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#listener === null) return;
    await new Promise<void>((resolve) => this.close(() => resolve()));
  }
}

/** What a machine without IPv6 says. */
const NO_IPV6: readonly string[] = ["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"];

function describeDropped({ localAddr, remoteAddr }: MptcpConn): DroppedConnection {
  const [local, remote] = [toAddressInfo(localAddr), toAddressInfo(remoteAddr)];
  return {
    localAddress: local.address,
    localPort: local.port,
    localFamily: local.family,
    remoteAddress: remote.address,
    remotePort: remote.port,
    remoteFamily: remote.family,
  };
}

/**
 * Creates a server like `net.createServer`, whose connections are {@linkcode MptcpSocket}s. Servers of
 * other protocols accept them through their "connection" event.
 *
 * @param options Options of the server; may be omitted.
 * @param onConnection Called with each connection.
 * @returns The server, which is not listening yet.
 *
 * @example
 * ```ts
 * import { createConnection, createServer } from "@multipath/mptcp/node";
 *
 * const server = createServer((socket) => socket.pipe(socket));
 * server.listen(0, "127.0.0.1", () => {
 *   const socket = createConnection(server.address()!.port, "127.0.0.1");
 *   socket.end("hello");
 *   socket.on("data", (data) => console.log(String(data), socket.protocol));
 *   socket.on("close", () => server.close());
 * });
 * ```
 */
export function createServer(
  options?: MptcpSocketServerOptions | ConnectionListener | null,
  onConnection?: ConnectionListener,
): MptcpSocketServer {
  return new MptcpSocketServer(options, onConnection);
}
