/**
 * `proxyMptcp`.
 *
 * @module
 */

import { nextTurn, setTimeout } from "../../ffi/event_loop.ts";
import { isShortage, MptcpError } from "../error.ts";
import { formatHostPort } from "../show.ts";
import { GonePeers } from "../net/gone_peers.ts";
import { toTimeout, within } from "../net/shutdown.ts";
import type { MptcpConn, MptcpListener, ShutdownOptions } from "../types.ts";
import { type Backend, Backends } from "./backends.ts";
import { listenOnAll } from "./fronts.ts";
import { type CheckedProxyOptions, checkProxyOptions } from "./options.ts";
import type { SideName } from "./relay.ts";
import { Session, type SessionContext } from "./session.ts";
import type {
  MptcpProxy,
  ProxyConnection,
  ProxyEnd,
  ProxyFront,
  ProxyMptcpOptions,
  ProxyStats,
} from "./types.ts";

/** Milliseconds until the next try where accepting failed. */
const ACCEPT_PAUSE = 100;

/**
 * Turns of the event loop between the wish to stop and the end of listening: closing a listener
 * resets the connections that wait in its backlog, so these are taken first.
 */
const LAST_ROUNDS = 4;

/**
 * Listens, and forwards every connection to a backend. The addresses select MPTCP or TCP on each side.
 * Backends are used round-robin; an unreachable one is skipped for a while, and the connection goes to
 * the next. The end of each stream is forwarded separately, so half-closed connections work, and a
 * reset is forwarded as a reset.
 *
 * Requires `--allow-ffi` in Deno, as `listenMptcp` and `connectMptcp`.
 *
 * @param options Where to listen, the backends, and further options.
 * @returns The proxy, which is listening.
 * @throws {MptcpError} as `listenMptcp` does; then no front stays open.
 * @throws {TypeError} if an option has the wrong type.
 * @throws {RangeError} if a number is out of range.
 *
 * @example
 * ```ts
 * import { connectMptcp, listenMptcp } from "@multipath/mptcp";
 * import { proxyMptcp } from "@multipath/mptcp/proxy";
 *
 * using backend = listenMptcp({ hostname: "127.0.0.1", mptcp: "off" });
 * await using proxy = proxyMptcp({
 *   front: "127.0.0.1:0",
 *   back: `tcp@127.0.0.1:${backend.addr.port}`,
 *   onClose: ({ front, back, bytesIn, bytesOut, end }) =>
 *     console.log(front.protocol, back?.protocol, bytesIn, bytesOut, end),
 * });
 * using client = await connectMptcp({ port: proxy.fronts[0]!.addr.port });
 * using served = await backend.accept();
 * await client.write(new TextEncoder().encode("hello"));
 * console.log(await served.read(new Uint8Array(10))); // 5
 * ```
 */
export function proxyMptcp(options: ProxyMptcpOptions): MptcpProxy {
  return new Proxy(checkProxyOptions(options));
}

const NO_ENDS: Readonly<Record<ProxyEnd, number>> = {
  "closed": 0,
  "client-reset": 0,
  "backend-reset": 0,
  "idle": 0,
  "no-backend": 0,
  "bad-header": 0,
  "stopped": 0,
  "failed": 0,
};

/** {@linkcode MptcpProxy}. */
class Proxy implements MptcpProxy {
  readonly fronts: readonly ProxyFront[];
  readonly finished: Promise<void>;
  readonly #options: CheckedProxyOptions;
  readonly #backends: Backends;
  readonly #listeners: readonly MptcpListener[];
  readonly #context: SessionContext;
  readonly #sessions = new Map<Session, Promise<void>>();
  /** The sides of connections whose peer has ended its stream, by their descriptors. */
  readonly #ended = new Map<number, [session: Session, side: SideName]>();
  readonly #gonePeers: GonePeers;
  readonly #startedAt = new Date();
  readonly #ends = { ...NO_ENDS };
  #total = 0;
  #peak = 0;
  #limited = 0;
  #exhausted = 0;
  #isExhausted = false;
  #bytesIn = 0;
  #bytesOut = 0;
  #isClosing = false;
  #room: PromiseWithResolvers<void> | null = null;

  constructor(options: CheckedProxyOptions) {
    this.#options = options;
    this.#backends = new Backends(options, (backend) => this.#onBackend(backend));
    this.#context = {
      backends: this.#backends,
      idleTimeout: options.idleTimeout,
      acceptProxy: options.acceptProxy,
      sendProxy: options.sendProxy ?? null,
      onBytes: (side, count) => {
        if (side === "client") this.#bytesIn += count;
        else this.#bytesOut += count;
      },
    };
    this.#listeners = listenOnAll(options);
    this.fronts = this.#listeners.map(({ addr, protocol, fallback }) => ({
      addr,
      protocol,
      fallback,
    }));
    this.#gonePeers = new GonePeers({
      list: () => this.#listEnded(),
      giveUp: (fd) => this.#giveUp(fd),
    });
    this.finished = this.#run().finally(() => this.#gonePeers.stop());
    this.#follow(options.signal);
  }

  stats(): ProxyStats {
    return {
      startedAt: this.#startedAt,
      active: this.#sessions.size,
      total: this.#total,
      peak: this.#peak,
      maxConnections: this.#options.maxConnections,
      limited: this.#limited,
      exhausted: this.#exhausted,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      ends: { ...this.#ends },
      fronts: this.fronts,
      backends: this.#backends.all.map((backend) => backend.snapshot()),
    };
  }

  connections(): ProxyConnection[] {
    return [...this.#sessions.keys()].map((session) => session.snapshot());
  }

  async shutdown(options?: ShutdownOptions): Promise<number> {
    const timeout = toTimeout(options);
    for (let i = 0; i < LAST_ROUNDS; i++) await new Promise<void>(nextTurn);
    this.#stopListening();
    this.#gonePeers.hurry();
    let cut = 0;
    await within(timeout, this.finished, () => {
      cut = this.#sessions.size;
      this.#stopAll(`The proxy was shut down, and the timeout of ${timeout} ms expired`);
    });
    return cut;
  }

  close(): void {
    this.#stopListening();
    this.#stopAll("The proxy was closed");
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return this.finished;
  }

  async #run(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => this.#accept(listener)));
    await Promise.all(this.#sessions.values());
  }

  /** Takes connections until the listener is closed. */
  async #accept(listener: MptcpListener): Promise<void> {
    for (;;) {
      while (this.#isFull) await this.#nextRoom();
      if (this.#isClosing) return;
      let conn;
      try {
        conn = await listener.accept();
      } catch (error) {
        if (this.#isClosing) return;
        await this.#onAcceptError(error, listener);
        continue;
      }
      this.#isExhausted = false;
      // Another front may have been quicker to take the last place.
      while (this.#isFull) await this.#nextRoom();
      if (this.#isClosing) conn[Symbol.dispose]();
      else this.#serve(conn);
    }
  }

  get #isFull(): boolean {
    return this.#sessions.size >= this.#options.maxConnections && !this.#isClosing;
  }

  /** Settled when a connection is over, or the proxy. Then another may have been quicker. */
  #nextRoom(): Promise<void> {
    return (this.#room ??= Promise.withResolvers()).promise;
  }

  /** Waits, because the next try would fail as well: there is no event for a free descriptor. */
  async #onAcceptError(error: unknown, { addr }: MptcpListener): Promise<void> {
    if (!isShortage(error) || !this.#isExhausted) {
      this.#report(acceptError(error, formatHostPort(addr.hostname, addr.port)));
    }
    if (isShortage(error)) {
      if (!this.#isExhausted) this.#exhausted++;
      this.#isExhausted = true;
    }
    await new Promise<void>((resolve) => setTimeout(resolve, ACCEPT_PAUSE));
  }

  #serve(conn: MptcpConn): void {
    let session;
    try {
      session = new Session(++this.#total, conn, this.#context);
    } catch (error) {
      // Not even its addresses could be had.
      conn[Symbol.dispose]();
      return this.#report(error);
    }
    this.#sessions.set(session, this.#see(session));
    this.#peak = Math.max(this.#peak, this.#sessions.size);
    if (this.#sessions.size === this.#options.maxConnections) this.#limited++;
  }

  /** Sees a connection to its end. */
  async #see(session: Session): Promise<void> {
    const { onOpen, onClose } = this.#options;
    if (onOpen !== undefined) this.#call(() => onOpen(session.snapshot()));
    const report = await session.run();
    this.#ends[report.end]++;
    this.#sessions.delete(session);
    this.#makeRoom();
    if (onClose !== undefined) this.#call(() => onClose(report));
  }

  #listEnded(): Iterable<number> {
    this.#ended.clear();
    for (const session of this.#sessions.keys()) {
      for (const [fd, side] of session.ended()) this.#ended.set(fd, [session, side]);
    }
    return this.#ended.keys();
  }

  #giveUp(fd: number): void {
    const [session, side] = this.#ended.get(fd)!;
    session.giveUp(side);
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = null;
  }

  #stopListening(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    for (const listener of this.#listeners) listener.close();
    this.#makeRoom();
  }

  #stopAll(reason: string): void {
    const error = new MptcpError(reason, { name: "Interrupted", code: "ERR_PROXY_CLOSED" });
    for (const session of this.#sessions.keys()) session.stop("stopped", error);
  }

  /** Closes when the signal is aborted. */
  #follow(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const close = () => this.close();
    if (signal.aborted) return close();
    signal.addEventListener("abort", close, { once: true });
    this.finished.then(() => signal.removeEventListener("abort", close));
  }

  #onBackend(backend: Backend): void {
    const { onBackend } = this.#options;
    if (onBackend !== undefined) this.#call(() => onBackend(backend.snapshot()));
  }

  /** Calls a hook of the user, whose failure is no connection's. */
  #call(hook: () => void): void {
    try {
      hook();
    } catch (error) {
      this.#report(error);
    }
  }

  #report(error: unknown): void {
    const { onError = console.error } = this.#options;
    try {
      onError(error);
    } catch (error) {
      console.error(error);
    }
  }
}

function acceptError(error: unknown, where: string): unknown {
  if (!(error instanceof MptcpError)) return error;
  const { name, code, errno, syscall } = error;
  return new MptcpError(`front ${where}: ${error.message}`, {
    name,
    code,
    ...(errno !== undefined && { errno }),
    ...(syscall !== undefined && { syscall }),
    cause: error,
  });
}
