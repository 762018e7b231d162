/**
 * The server that `serveMptcp` gives: one of the engines, and another where that breaks down.
 *
 * @module
 */

import { PROBE_TIMEOUT, probeAccept } from "../../ffi/guest/accept_probe.ts";
import type { TlsOptions } from "../../ffi/http.ts";
import { F_DUPFD_CLOEXEC } from "../../ffi/linux/abi.ts";
import { libc, unsupportedPlatform } from "../../ffi/runtime.ts";
import { check, isShortage, MptcpError } from "../error.ts";
import { connectMptcp } from "../net/connect.ts";
import type { GonePeers } from "../net/gone_peers.ts";
import { listenMptcp } from "../net/listen.ts";
import { formatHostPort } from "../show.ts";
import { toTimeout, within } from "../net/shutdown.ts";
import type {
  Fallback,
  MptcpConn,
  MptcpListener,
  NetAddr,
  Protocol,
  ShutdownOptions,
} from "../types.ts";
import { ConnectionTable } from "./connections.ts";
import { type Engine, EngineRefusal, type Job } from "./engine.ts";
import { watchGoneClients } from "./gone_clients.ts";
import { type NativeEngine, startNative } from "./native_engine.ts";
import { startNode } from "./node_engine.ts";
import { type ServeRequest, toTls } from "./serve_options.ts";
import type {
  MptcpServer,
  MptcpServerEngine,
  ReloadOptions,
  ServeMptcpHandler,
  ServeMptcpOptions,
} from "./types.ts";

const DEFAULT_PORT = 8000;

/** How many milliseconds a failed server pauses before it listens again. */
const SHORTEST_PAUSE = 10;
const LONGEST_PAUSE = 1000;

/** What is said where nobody else answers for an error, by Deno.serve too. */
function internalServerError(error: unknown): Response {
  console.error(error);
  return new Response("Internal Server Error", { status: 500 });
}

/** An `onError` that always has an answer. */
function guard(onError: ServeMptcpOptions["onError"]): Job["onError"] {
  if (onError === undefined) return internalServerError;
  return async (error) => {
    try {
      const response: unknown = await onError(error);
      if (response instanceof Response) return response;
      throw new TypeError(`Expected a Response from onError, got ${typeof response}`);
    } catch (error) {
      return internalServerError(error);
    }
  };
}

/** {@linkcode MptcpServer} on one of the engines. */
export class Server implements MptcpServer {
  readonly addr: NetAddr;
  readonly protocol: Protocol;
  readonly fallback: Fallback | null;
  readonly finished: Promise<void>;
  #job: Job;
  /** Engines that finish what they have accepted. */
  readonly #retired = new Set<Engine>();
  readonly #goneClients: GonePeers | null;
  #engine: Engine;
  #detail: string | null = null;
  #isOver = false;
  #refed = true;

  #handler: ServeMptcpHandler;
  #onError: Job["onError"];

  constructor({ options, handler, tls, native }: ServeRequest) {
    this.#handler = handler;
    this.#onError = guard(options.onError);
    const { fd, port = DEFAULT_PORT } = options;
    const listener = listenMptcp(fd === undefined ? { ...options, port } : options);
    const { addr, protocol, fallback } = listener;
    this.addr = addr;
    this.protocol = protocol;
    this.fallback = fallback;
    const hasLibc = unsupportedPlatform() === null;
    this.#job = {
      fd: takeDescriptor(listener),
      addr,
      connections: hasLibc ? new ConnectionTable(addr) : null,
      fallback,
      // Both can be replaced while the server runs.
      handler: (request, info) => this.#handler(request, info),
      onError: (error) => this.#onError(error),
      tls,
      native,
      options,
    };
    try {
      this.#engine = this.#start(this.#job);
    } catch (error) {
      discard(this.#job.fd);
      throw error;
    }
    const { connections } = this.#job;
    this.#goneClients = protocol === "mptcp" && connections !== null
      ? watchGoneClients(connections)
      : null;
    this.finished = this.#run().finally(() => this.#goneClients?.stop());
  }

  get engine(): MptcpServerEngine {
    return { name: this.#engine.name, detail: this.#detail };
  }

  get server(): object {
    return this.#engine.server;
  }

  reload({ handler, onError, tls }: ReloadOptions): void {
    if (tls !== undefined) this.#setTls(toTls(tls));
    if (handler !== undefined) this.#handler = handler;
    if (onError !== undefined) this.#onError = guard(onError);
  }

  async shutdown(options?: ShutdownOptions): Promise<void> {
    const timeout = toTimeout(options);
    if (!this.#isOver) this.#engine.shutdown();
    this.#isOver = true;
    this.#goneClients?.hurry();
    await within(timeout, this.finished, () => this.close());
  }

  close(): void {
    this.#isOver = true;
    for (const engine of this.#retired) engine.abort();
    this.#engine.abort();
  }

  #setTls(tls: TlsOptions): void {
    if (this.#job.tls === null) {
      throw new TypeError("Invalid tls: this server serves HTTP and cannot switch to HTTPS");
    }
    if (this.#isOver) throw new TypeError("Invalid tls: this server has been shut down");
    const { setTls } = this.#engine;
    if (setTls === null) this.#succeed({ ...this.#job, tls });
    else setTls(tls);
    this.#job = { ...this.#job, tls };
  }

  /** Has another native engine accept from here on. The one before finishes what it has accepted. */
  #succeed(job: Job): void {
    const last = this.#engine as NativeEngine;
    if (last.fd < 0) {
      throw new MptcpError(
        "reload: the runtime's own TCP cannot change its certificate while listening",
        { code: "ERR_UNSUPPORTED" },
      );
    }
    const fd = check("fcntl", libc().fcntl(last.fd, F_DUPFD_CLOEXEC, 0), { operation: "reload" });
    try {
      this.#engine = startNative({ ...job, fd });
    } catch (error) {
      discard(fd);
      throw error instanceof EngineRefusal
        ? new MptcpError(`reload: ${error.message}`, { code: "ERR_HTTP_ENGINE" })
        : error;
    }
    if (!this.#refed) this.#engine.unref();
    this.#retired.add(last);
    void last.finished.then(() => this.#retired.delete(last));
    last.shutdown();
  }

  /** Aborts when the signal does. */
  follow(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    if (signal.aborted) return this.close();
    const onAbort = () => this.close();
    signal.addEventListener("abort", onAbort, { once: true });
    const forget = () => signal.removeEventListener("abort", onAbort);
    this.finished.then(forget, forget);
  }

  ref(): void {
    this.#refed = true;
    this.#engine.ref();
  }

  unref(): void {
    this.#refed = false;
    this.#engine.unref();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  #start(job: Job): Engine {
    const { engine: wanted = "auto" } = job.options;
    const refusals: string[] = [];
    for (const start of wanted === "auto" ? [startNative, startNode] : [STARTS[wanted]]) {
      try {
        const engine = start(job);
        this.#detail = refusals[0] ?? null;
        return engine;
      } catch (error) {
        if (!(error instanceof EngineRefusal)) throw error;
        refusals.push(error.message);
      }
    }
    throw noEngineError(wanted, this.addr, refusals);
  }

  /** To the end of the server, and of each engine that had to take over. */
  async #run(): Promise<void> {
    const first = this.#engine;
    const isSilent = first.name === "native" && this.#job.fd >= 0 &&
      !await this.#accepts(first as NativeEngine);
    if (isSilent && this.#engine === first) {
      this.#replace();
      await first.finished;
    }
    for (;;) {
      const engine = this.#engine;
      const failure = await engine.finished;
      if (engine !== this.#engine) continue;
      if (failure === null || this.#isOver) {
        await Promise.all([...this.#retired].map(({ finished }) => finished));
        return;
      }
      console.error(failure);
      await this.#revive(failure);
    }
  }

  /** Listens again after the runtime's server failed, as Deno's does without a free descriptor. */
  async #revive(failure: unknown): Promise<void> {
    const job = this.#job;
    const options = { ...job.options, port: this.addr.port };
    for (let pause = SHORTEST_PAUSE;; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (this.#isOver) return;
      let fd = -1;
      try {
        fd = takeDescriptor(listenMptcp(options));
        // The other engine is for good, so it has to wait until this one has had its chances.
        const isPatient = pause < LONGEST_PAUSE || options.engine === "native";
        this.#engine = isPatient ? startNative({ ...job, fd }) : this.#start({ ...job, fd });
        if (!this.#refed) this.#engine.unref();
        return;
      } catch (error) {
        discard(fd);
        if (!(error instanceof EngineRefusal) && !isShortage(error)) throw failure;
      }
    }
  }

  #accepts({ fd }: NativeEngine): Promise<boolean> {
    const { netns } = this.#job.options;
    const connect = () => connectTo(this.addr, netns);
    return probeAccept(libc(), { fd, connect, isOver: () => this.#isOver });
  }

  /** Takes the socket from a native engine that does not accept and gives it to the other engine. */
  #replace(): void {
    const native = this.#engine as NativeEngine;
    const fd = libc().fcntl(native.fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return;
    try {
      this.#engine = startNode({ ...this.#job, fd });
    } catch {
      libc().close(fd);
      return;
    }
    this.#detail = "the runtime's server did not accept what connected";
    if (!this.#refed) this.#engine.unref();
    native.abort();
  }
}

/** The empty line that HTTP allows before a request: with `TCP_DEFER_ACCEPT` something has to come. */
const EMPTY_LINE = new TextEncoder().encode("\r\n");

/** A connection to a server of this process; `null` where that fails. */
async function connectTo(addr: NetAddr, netns: string | undefined): Promise<MptcpConn | null> {
  const loopback: Record<string, string> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  try {
    const conn = await connectMptcp({
      hostname: loopback[addr.hostname] ?? addr.hostname,
      port: addr.port,
      mptcp: "off",
      signal: AbortSignal.timeout(PROBE_TIMEOUT),
      ...(netns !== undefined && { netns }),
    });
    // A new connection has room: this does not wait.
    await conn.write(EMPTY_LINE);
    return conn;
  } catch {
    // A firewall, an address that is not here yet, a full backlog.
    return null;
  }
}

/** The listener's descriptor, now ours; -1 where there is none, and the listener is closed. */
function takeDescriptor(listener: MptcpListener): number {
  if (unsupportedPlatform() === null) return listener.detach();
  // The runtime's own TCP cannot detach its descriptor: its server listens again on the same port.
  listener.close();
  return -1;
}

function discard(fd: number): void {
  if (fd >= 0) libc().close(fd);
}

const STARTS = { native: startNative, node: startNode } as const;

function noEngineError(wanted: string, addr: NetAddr, refusals: string[]): MptcpError {
  const { hostname, port } = addr;
  return new MptcpError(
    `serve ${formatHostPort(hostname, port)}: no HTTP engine is available (engine: "${wanted}"): ` +
      refusals.join("; "),
    { code: "ERR_HTTP_ENGINE", address: hostname, port },
  );
}
