/**
 * One connection through the proxy, from its client to its backend and to its end.
 *
 * @module
 */

import { clearTimeout, now, setTimeout, type Timer } from "../../ffi/event_loop.ts";
import { Conn } from "../net/conn.ts";
import { goneError } from "../net/gone_peers.ts";
import { MptcpError } from "../error.ts";
import { resetOnClose } from "../poll/socket.ts";
import type { MptcpConn, NetAddr } from "../types.ts";
import { type Backend, type Backends, isConnectShortage } from "./backends.ts";
import { flush } from "./flush.ts";
import {
  formatProxyHeader,
  type HeaderAddresses,
  headerError,
  parseProxyHeader,
} from "./header.ts";
import { PortableRelay } from "./portable_relay.ts";
import { KernelRelay, type Outcome, type Relay, type RelayJob, type SideName } from "./relay.ts";
import type {
  AcceptProxyOptions,
  ProxyConnection,
  ProxyEnd,
  ProxyHeaderVersion,
  ProxyReport,
  ProxySide,
} from "./types.ts";

/** What all connections of a proxy share. */
export interface SessionContext {
  readonly backends: Backends;
  readonly idleTimeout: number;
  readonly acceptProxy: Required<AcceptProxyOptions> | null;
  readonly sendProxy: ProxyHeaderVersion | null;
  /** Called when bytes have been read from a side. */
  onBytes(side: SideName, count: number): void;
}

/** Why a connection ended before its time. */
interface Verdict {
  readonly end: ProxyEnd;
  readonly error: unknown;
}

const NOTHING = new Uint8Array(0);

/** One side: the connection, and the report on it. */
class Side implements ProxySide {
  readonly conn: MptcpConn;
  readonly remoteAddr: NetAddr;
  readonly localAddr: NetAddr;
  #subflows = 0;

  constructor(conn: MptcpConn) {
    this.conn = conn;
    this.remoteAddr = conn.remoteAddr;
    this.localAddr = conn.localAddr;
  }

  get protocol(): ProxySide["protocol"] {
    return this.conn.protocol;
  }

  get fallback(): ProxySide["fallback"] {
    return this.conn.fallback;
  }

  get subflows(): number {
    this.count();
    return this.#subflows;
  }

  /** Counts the paths: at the end of a connection they may be gone. */
  count(): void {
    const info = this.conn.info();
    const found = info === null ? 1 : info.subflowsTotal ?? (info.subflows ?? 0) + 1;
    this.#subflows = Math.max(this.#subflows, found);
  }

  close(isReset: boolean): void {
    if (isReset && this.conn.fd >= 0) resetOnClose(this.conn.fd);
    this.conn[Symbol.dispose]();
  }
}

/** A connection through the proxy. */
export class Session implements ProxyConnection {
  readonly id: number;
  readonly startedAt: Date = new Date();
  bytesIn = 0;
  bytesOut = 0;
  readonly #context: SessionContext;
  readonly #front: Side;
  readonly #stopping = new AbortController();
  readonly #began = now();
  #back: Side | null = null;
  #backend: Backend | null = null;
  #addresses: HeaderAddresses | null = null;
  #relay: Relay | null = null;
  #verdict: Verdict | null = null;
  #activeAt = 0;
  #isCarried = false;
  #delivery: Promise<void> | null = null;
  #idleTimer: Timer | undefined;

  constructor(id: number, conn: MptcpConn, context: SessionContext) {
    this.id = id;
    this.#context = context;
    this.#front = new Side(conn);
  }

  get client(): NetAddr {
    return this.#addresses?.source ?? this.#front.remoteAddr;
  }

  get front(): ProxySide {
    return describe(this.#front);
  }

  get back(): ProxySide | null {
    return this.#back && describe(this.#back);
  }

  get backend(): string | null {
    return this.#backend?.address ?? null;
  }

  /** Serves the connection to its end. Never rejects. */
  async run(): Promise<ProxyReport> {
    try {
      const head = await this.#readHeader();
      await this.#connect();
      const outcome = await this.#carry(head);
      this.#isCarried = true;
      if (outcome !== null) {
        void this.#deliver(outcome);
        this.#settle(outcome.side === "client" ? "client-reset" : "backend-reset", outcome.error);
      }
      await this.#delivery;
    } catch (error) {
      this.#settle("failed", error);
    }
    return this.#finish();
  }

  /** Ends the connection by resetting both sides. */
  stop(end: ProxyEnd, error: unknown): void {
    this.#settle(end, error);
    this.#stopping.abort(error);
    this.#relay?.stop(null);
  }

  /** The sides whose peer has ended its stream and may get data, by their descriptors. */
  *ended(): Iterable<[fd: number, side: SideName]> {
    if (this.#relay === null || this.#isCarried) return;
    if (hasEnded(this.#front)) yield [this.#front.conn.fd, "client"];
    if (hasEnded(this.#back!)) yield [this.#back!.conn.fd, "backend"];
  }

  /** A side takes no more data, and never will. */
  giveUp(side: SideName): void {
    this.#relay?.giveUp({ side, error: goneError() });
  }

  /** The first reason counts. */
  #settle(end: ProxyEnd, error: unknown): void {
    this.#verdict ??= { end, error };
  }

  /** What the client has sent behind its header of the PROXY protocol. */
  async #readHeader(): Promise<Uint8Array> {
    const { acceptProxy } = this.#context;
    if (acceptProxy === null) return NOTHING;
    const { timeout, maxLength } = acceptProxy;
    const late = () => this.stop("bad-header", headerError(`not complete after ${timeout} ms`));
    const timer = setTimeout(late, timeout);
    const close = () => this.#front.close(true);
    this.#stopping.signal.addEventListener("abort", close, { once: true });
    try {
      const [addresses, rest] = await receiveHeader(this.#front.conn, maxLength);
      this.#addresses = addresses;
      if (rest.byteLength > 0) this.#count("client", rest.byteLength);
      return rest;
    } catch (error) {
      this.#settle("bad-header", error);
      throw error;
    } finally {
      clearTimeout(timer);
      this.#stopping.signal.removeEventListener("abort", close);
    }
  }

  async #connect(): Promise<void> {
    try {
      const { conn, backend } = await this.#context.backends.connect(this.#stopping.signal);
      this.#backend = backend;
      this.#back = new Side(conn);
    } catch (error) {
      this.#settle(isConnectShortage(error) ? "failed" : "no-backend", error);
      throw error;
    }
    this.#stopping.signal.throwIfAborted();
  }

  async #carry(rest: Uint8Array): Promise<Outcome> {
    const { sendProxy } = this.#context;
    const header = sendProxy === null ? NOTHING : formatProxyHeader(sendProxy, this.#ends());
    this.#relay = createRelay(this.#front.conn, this.#back!.conn, {
      head: concat(header, rest),
      onBytes: (side, count) => this.#count(side, count),
      onProgress: () => this.#activeAt = now(),
      onEnd: () => {
        this.#front.count();
        this.#back!.count();
      },
      onBreak: (outcome) => void this.#deliver(outcome).then(() => this.#relay?.stop(outcome)),
    });
    this.#activeAt = now();
    this.#watchIdle();
    return await this.#relay.run();
  }

  /** Waits until data that a side sent before its reset has arrived at the other. */
  #deliver({ side }: NonNullable<Outcome>): Promise<void> {
    const other = side === "client" ? this.#back! : this.#front;
    const pending = { isOpen: () => !this.#isCarried, progress: () => this.#activeAt };
    return this.#delivery ??= flush(other.conn, pending, this.#stopping.signal);
  }

  /** The ends of the client's connection, as a backend is told. */
  #ends(): HeaderAddresses {
    const { remoteAddr, localAddr } = this.#front;
    return this.#addresses ?? { source: remoteAddr, destination: localAddr };
  }

  #count(side: SideName, count: number): void {
    if (side === "client") this.bytesIn += count;
    else this.bytesOut += count;
    this.#context.onBytes(side, count);
  }

  #watchIdle(): void {
    const { idleTimeout } = this.#context;
    if (idleTimeout === 0) return;
    const left = this.#activeAt + idleTimeout - now();
    if (left <= 0) return this.stop("idle", idleError(idleTimeout));
    // What waits for bytes keeps the process alive, this does not.
    this.#idleTimer = setTimeout(() => this.#watchIdle(), left).unref();
  }

  #finish(): ProxyReport {
    clearTimeout(this.#idleTimer);
    const { end, error } = this.#verdict ?? { end: "closed", error: null };
    const report: ProxyReport = {
      ...this.snapshot(),
      end,
      error,
      milliseconds: now() - this.#began,
    };
    for (const side of [this.#front, this.#back]) side?.close(end !== "closed");
    if (this.#backend !== null) this.#backend.active--;
    return report;
  }

  /** What users see of it. */
  snapshot(): ProxyConnection {
    const { id, client, front, back, backend, bytesIn, bytesOut, startedAt } = this;
    return { id, client, front, back, backend, bytesIn, bytesOut, startedAt };
  }
}

function idleError(timeout: number): MptcpError {
  return new MptcpError(`No data was received for ${timeout} ms`, {
    name: "TimedOut",
    code: "ERR_IDLE_TIMEOUT",
  });
}

function describe(side: Side): ProxySide {
  const { localAddr, remoteAddr, protocol, fallback, subflows } = side;
  return { localAddr, remoteAddr, protocol, fallback, subflows };
}

/** Whether an event has reported the end of a peer's stream. */
function hasEnded({ conn }: Side): boolean {
  return conn instanceof Conn && conn.fd >= 0 && conn.stream.ended;
}

/** Reads the header, and the data behind it. */
async function receiveHeader(
  conn: MptcpConn,
  maxLength: number,
): Promise<[HeaderAddresses | null, Uint8Array]> {
  const buf = new Uint8Array(maxLength);
  for (let filled = 0;;) {
    const count = await conn.read(buf.subarray(filled));
    if (count === null) throw headerError(`the connection ended after ${filled} bytes`);
    filled += count;
    const header = parseProxyHeader(buf.subarray(0, filled), maxLength);
    if (header !== null) return [header.addresses, buf.subarray(header.length, filled)];
  }
}

function createRelay(front: MptcpConn, back: MptcpConn, job: RelayJob): Relay {
  return front instanceof Conn && back instanceof Conn
    ? new KernelRelay(front.stream, back.stream, job)
    : new PortableRelay(front, back, job);
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.byteLength === 0) return second;
  const all = new Uint8Array(first.byteLength + second.byteLength);
  all.set(first);
  all.set(second, first.byteLength);
  return all;
}
