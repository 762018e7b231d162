/**
 * Backends, a proxy before them, and clients, for tests.
 *
 * @module
 */

import { connectMptcp, listenMptcp } from "../mod.ts";
import { proxyMptcp } from "../src/proxy/mod.ts";
import type { MptcpProxy, ProxyMptcpOptions, ProxyReport } from "../src/proxy/types.ts";
import type {
  ConnectMptcpOptions,
  ListenMptcpOptions,
  MptcpConn,
  MptcpListener,
} from "../src/types.ts";

/** Every pairing of protocols: of the front with its client, and of the back with its server. */
export const PAIRINGS = [
  { front: "mptcp", back: "tcp" },
  { front: "tcp", back: "mptcp" },
  { front: "mptcp", back: "mptcp" },
  { front: "tcp", back: "tcp" },
] as const;

/** The mode that makes a socket speak a protocol, or fail. */
export function modeOf(protocol: "mptcp" | "tcp"): "require" | "off" {
  return protocol === "mptcp" ? "require" : "off";
}

/** What a backend does with a connection. */
export type Serve = (conn: MptcpConn) => Promise<void>;

/** Sends back what comes, to the end. */
export async function echo(conn: MptcpConn): Promise<void> {
  await conn.readable.pipeTo(conn.writable);
}

/** A backend that serves until it is disposed of. */
export class TestBackend implements AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** Connections that it has taken. */
  taken = 0;
  readonly #listener: MptcpListener;
  readonly #conns = new Set<MptcpConn>();
  readonly #running: Promise<void>;

  constructor(serve: Serve = echo, options: ListenMptcpOptions = {}) {
    this.#listener = listenMptcp({ hostname: "127.0.0.1", mptcp: "off", ...options });
    this.port = this.#listener.addr.port;
    const prefix = this.#listener.protocol === "tcp" ? "tcp@" : "mptcp@";
    this.address = `${prefix}127.0.0.1:${this.port}`;
    this.#running = this.#run(serve);
  }

  /** Connections that it serves. */
  get active(): number {
    return this.#conns.size;
  }

  async #run(serve: Serve): Promise<void> {
    const served: Promise<void>[] = [];
    for await (const conn of this.#listener) {
      this.taken++;
      this.#conns.add(conn);
      const end = () => {
        this.#conns.delete(conn);
        conn[Symbol.dispose]();
      };
      served.push(serve(conn).then(end, end));
    }
    await Promise.all(served);
  }

  /** Ends it as a killed process is ended: nobody listens, and its connections are gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener[Symbol.dispose]();
    for (const conn of this.#conns) conn[Symbol.dispose]();
    await this.#running;
  }
}

/** A proxy on a free port, and what it reports. */
export class TestProxy implements AsyncDisposable {
  readonly proxy: MptcpProxy;
  readonly reports: ProxyReport[] = [];
  readonly errors: unknown[] = [];
  readonly #waiting: PromiseWithResolvers<void>[] = [];

  constructor(options: Partial<ProxyMptcpOptions> & Pick<ProxyMptcpOptions, "back">) {
    this.proxy = proxyMptcp({
      front: "127.0.0.1:0",
      ...options,
      onError: (error) => this.errors.push(error),
      onClose: (report) => {
        options.onClose?.(report);
        this.reports.push(report);
        for (const { resolve } of this.#waiting.splice(0)) resolve();
      },
    });
  }

  get port(): number {
    return this.proxy.fronts[0]!.addr.port;
  }

  /** A client's connection to it. */
  connect(options: Partial<ConnectMptcpOptions> = {}): Promise<MptcpConn> {
    return connectMptcp({ hostname: "127.0.0.1", port: this.port, ...options });
  }

  /** The report of a connection, once so many are over. */
  async report(count = 1): Promise<ProxyReport> {
    while (this.reports.length < count) {
      const next = Promise.withResolvers<void>();
      this.#waiting.push(next);
      await next.promise;
    }
    return this.reports[count - 1]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
  }
}
