/**
 * Bun's own TCP, by `node:net`. The twin of `deno/tcp.ts`.
 *
 * `node:net` accepts by itself and tells by events; here both wait until somebody asks. Modules are
 * loaded on first use: Deno loads this file too.
 *
 * @module
 */

import type { Server, Socket } from "node:net";
import process from "node:process";
import {
  stateError,
  type Tcp,
  type TcpAddr,
  type TcpConn,
  type TcpConnectOptions,
  type TcpListener,
  type TcpListenOptions,
  type Waiter,
} from "../tcp.ts";
import { Conn } from "./tcp_conn.ts";

type NodeNet = typeof import("node:net");

/** The part of `Bun` that this file uses, so that Deno's type checker needs no Bun types. */
interface BunNet {
  listen(options: {
    hostname: string;
    port: number;
    ipv6Only: boolean;
    reusePort: boolean;
    socket: { data(): void };
  }): { stop(closeActive: boolean): void };
}

/** Bun's TCP; nothing happens before it is used. */
export function runtimeTcp(): Tcp {
  const net = process.getBuiltinModule("node:net") as NodeNet;
  return {
    runtime: "Bun",
    lacks: [],
    listen: (options) => new Listener(net, options),
    connect: (options) => connect(net, options),
  };
}

/** A server that accepts no more connections than its backlog before somebody asks for them. */
class Listener implements TcpListener {
  readonly addr: TcpAddr;
  readonly #server: Server;
  readonly #backlog: number;
  #queue: Conn[] = [];
  #waiter: Waiter<TcpConn> | null = null;
  #closed = false;
  #refed = true;

  constructor(net: NodeNet, options: TcpListenOptions) {
    const { hostname: host, port, tcpBacklog: backlog, reusePort, ipv6Only } = options;
    this.#backlog = backlog;
    this.#server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, this.#onSocket);
    this.#server.on("error", this.#onError);
    this.#server.listen({ host, port, backlog, reusePort, ipv6Only });
    if (!this.#server.listening) throw listenError(options);
    this.#server.unref();
    const { address: hostname, port: bound } = this.#server.address() as {
      address: string;
      port: number;
    };
    this.addr = { hostname, port: bound };
  }

  accept(): Promise<TcpConn> {
    if (this.#closed) return Promise.reject(listenerClosedError());
    if (this.#waiter !== null) {
      return Promise.reject(stateError("Busy", "EBUSY", "Another accept task is ongoing"));
    }
    const conn = this.#queue.shift();
    if (conn !== undefined) return Promise.resolve(conn);
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.#follow();
    });
  }

  close(): void {
    this.#closed = true;
    this.#server.close();
    for (const conn of this.#queue) conn.reset();
    this.#queue = [];
    this.#takeWaiter()?.reject(listenerClosedError());
  }

  ref(): void {
    this.#refed = true;
    this.#follow();
  }

  unref(): void {
    this.#refed = false;
    this.#follow();
  }

  readonly #onSocket = (socket: Socket): void => {
    const waiter = this.#takeWaiter();
    if (waiter !== null) waiter.resolve(new Conn(socket));
    else if (!this.#closed && this.#queue.length <= this.#backlog) {
      this.#queue.push(new Conn(socket));
    } else socket.resetAndDestroy();
  };

  readonly #onError = (error: Error): void => {
    this.#takeWaiter()?.reject(error);
  };

  #takeWaiter(): Waiter<TcpConn> | null {
    const waiter = this.#waiter;
    this.#waiter = null;
    this.#follow();
    return waiter;
  }

  #follow(): void {
    if (this.#refed && this.#waiter !== null) this.#server.ref();
    else this.#server.unref();
  }
}

/** `node:net` tells why by an event; `Bun.listen` throws at once. */
function listenError({ hostname, port, reusePort, ipv6Only }: TcpListenOptions): Error {
  const { Bun } = globalThis as unknown as { Bun: BunNet };
  try {
    Bun.listen({ hostname, port, reusePort, ipv6Only, socket: { data() {} } }).stop(true);
  } catch (error) {
    if ("code" in (error as Error)) return error as Error;
    // Without a code it is the name that it could not look up.
    return Object.assign(error as Error, { code: "ENOTFOUND" });
  }
  return stateError("AddrInUse", "EADDRINUSE", "The port was in use");
}

function listenerClosedError(): Error {
  return stateError("BadResource", "EBADF", "Listener has been closed");
}

function connect(net: NodeNet, options: TcpConnectOptions): Promise<TcpConn> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    const socket = net.connect({
      host: options.hostname,
      port: options.port,
      allowHalfOpen: true,
      ...(options.family !== undefined && { family: options.family }),
      ...(options.localAddress !== undefined && { localAddress: options.localAddress }),
      ...(options.localPort !== undefined && { localPort: options.localPort }),
      ...(options.autoSelectFamily !== undefined && { autoSelectFamily: options.autoSelectFamily }),
      ...(options.autoSelectFamilyAttemptDelay !== undefined && {
        autoSelectFamilyAttemptDelay: options.autoSelectFamilyAttemptDelay,
      }),
    });
    const settle = (action: () => void) => {
      socket.off("connect", onConnect);
      socket.off("error", onError);
      signal?.removeEventListener("abort", onAbort);
      action();
    };
    const onConnect = () => settle(() => resolve(new Conn(socket)));
    const onError = (error: Error) => settle(() => reject(error));
    const onAbort = () =>
      settle(() => {
        // What fails now has nobody to tell.
        socket.on("error", () => {});
        socket.destroy();
        reject(signal!.reason);
      });
    socket.on("connect", onConnect);
    socket.on("error", onError);
    signal?.addEventListener("abort", onAbort);
  });
}
