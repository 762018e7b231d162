/**
 * `createMptcpClient` and `fetchMptcp`.
 *
 * @module
 */

import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";
import { unsupportedPlatform } from "../../ffi/runtime.ts";
import { runtimeHttp } from "../../ffi/runtime_http.ts";
import { connectMptcp } from "../net/connect.ts";
import { closedError, MptcpError } from "../error.ts";
import { checkCommonOptions } from "../net/options.ts";
import { runtimeFallback } from "../policy/fallback.ts";
import { formatHostPort } from "../show.ts";
import { toTimeout, within } from "../net/shutdown.ts";
import type { MptcpConn, ShutdownOptions } from "../types.ts";
import { ClientConnection } from "./client_connection.ts";
import { LEAVE_TIMEOUT, type Remote } from "./relay.ts";
import type { Dialer, Route } from "./route.ts";
import { SocksRoute } from "./socks_route.ts";
import type { MptcpClient, MptcpClientConnection, MptcpClientOptions } from "./types.ts";
import { portOf, UnixRoute } from "./unix_route.ts";

/** Closed connections that `connections` lists. */
const CLOSED_LIMIT = 1000;

/** Milliseconds without a byte after which an answer no longer keeps the process alive by itself. */
const QUIET_INTERVAL = 100;

/** Milliseconds without a byte after which a client that shuts down takes an answer for read. */
const SILENCE = 1000;

/**
 * Creates a client whose `fetch` uses MPTCP if this kernel and the server support it.
 *
 * It uses the runtime's own `fetch`, TLS and certificates over connections of this module, which
 * `connections()` lists. Requires `--allow-ffi` in Deno, and `--allow-net` for the servers and for
 * 127.0.0.1. Proxies from the environment (`HTTP_PROXY`) are not used.
 *
 * @param options How to connect.
 * @returns The client, which connects on the first request.
 * @throws {TypeError} if an option has the wrong type.
 *
 * @example
 * ```ts
 * import { createMptcpClient, serveMptcp } from "@multipath/mptcp/http";
 *
 * await using server = serveMptcp({ port: 0 }, () => new Response("hello"));
 * await using client = createMptcpClient();
 * const response = await client.fetch(`http://localhost:${server.addr.port}/`);
 * console.log(await response.text());
 * for (const { protocol, fallback } of client.connections()) console.log(protocol, fallback?.detail);
 * ```
 */
export function createMptcpClient(options: MptcpClientOptions = {}): MptcpClient {
  checkOptions(options);
  return new Client(options);
}

let shared: MptcpClient | undefined;

/**
 * `fetch` over MPTCP if this kernel and the server support it. All calls share one client; to inspect
 * connections, create your own with {@linkcode createMptcpClient}.
 *
 * @param input The URL or request to fetch.
 * @param init As for `fetch`.
 * @returns The response.
 * @throws {TypeError} as the runtime's `fetch` does; if a connection failed, its `cause` is the
 * `MptcpError` of `connectMptcp`.
 *
 * @example
 * ```ts ignore
 * import { fetchMptcp, serveMptcp } from "@multipath/mptcp/http";
 *
 * await using server = serveMptcp({ port: 0 }, (_request, info) => new Response(info.protocol));
 * const response = await fetchMptcp(`http://localhost:${server.addr.port}/`);
 * console.log(await response.text());
 * ```
 */
export function fetchMptcp(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  shared ??= createMptcpClient();
  return shared.fetch(input, init);
}

function checkOptions(options: MptcpClientOptions): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError("Invalid options: expected an object");
  }
  checkCommonOptions(options, "connect");
  const { caCerts, cert, key } = options;
  if (caCerts !== undefined && !(Array.isArray(caCerts) && caCerts.every(isString))) {
    throw new TypeError("Invalid caCerts: expected an array of PEM texts");
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError("Invalid cert and key: a client certificate needs both");
  }
}

function isString(value: unknown): boolean {
  return typeof value === "string";
}

/** A connection that failed, of which the runtime tells `fetch` little. */
interface Failure {
  readonly host: string;
  readonly error: unknown;
}

class Client implements MptcpClient {
  readonly #options: MptcpClientOptions;
  readonly #dialer: Dialer = { dial: (hostname, port) => this.#dial(hostname, port) };
  readonly #connections: ClientConnection[] = [];
  #route: Route | null = null;
  #isClosed = false;
  /** Settled when the servers have been told. */
  #closing: Promise<void> = Promise.resolve();
  readonly finished: Promise<void>;
  readonly #finish: () => void;
  #isEnding = false;
  /** Requests whose answers have not begun. */
  #waiting = 0;
  /** Ends the attempts to connect that no request waits for any more. */
  #dialing = new AbortController();
  /** Since a request began when none was waiting. */
  #failures: Failure[] = [];
  /** Runs while the connections keep the process alive. */
  #timer: ReturnType<typeof setInterval> | null = null;
  /** Times that bytes have gone either way, and how many `#onQuiet` has seen. */
  #moves = 0;
  #seenMoves = 0;
  /** Since when there have been no more moves. */
  #silence = { moves: -1, since: 0 };

  constructor(options: MptcpClientOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#finish = resolve;
  }

  /** A property, so that it can be handed on without the client. */
  readonly fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    if (this.#isClosed || this.#isEnding) throw closedError("The client has been closed");
    checkInit(init);
    const url = urlOf(input);
    // What is no HTTP is no matter of ours, and neither is what is no URL.
    if (url === null || !/^https?:$/.test(url.protocol)) return await fetch(input, init);
    const route = this.#route ??= this.#makeRoute();
    const failures = this.#failures;
    const known = failures.length;
    this.#begin();
    try {
      return await route.fetch(input, init);
    } catch (error) {
      throw explain(error, hostOf(url.hostname, portOf(url)), failures.slice(known));
    } finally {
      this.#end();
    }
  };

  connections(): MptcpClientConnection[] {
    return [...this.#connections];
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#dialing.abort(closedError("The client has been closed"));
    this.#closing = this.#route?.close() ?? this.#closing;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#closing.then(this.#finish, this.#finish);
  }

  async shutdown(options?: ShutdownOptions): Promise<void> {
    const timeout = toTimeout(options);
    this.#isEnding = true;
    this.#closeWhenSilent();
    const timer = setInterval(() => this.#closeWhenSilent(), QUIET_INTERVAL);
    try {
      await within(timeout, this.finished, () => this.close());
    } finally {
      clearInterval(timer);
    }
  }

  /** This is the only sign that a body has been read: the runtime keeps the connection open. */
  #closeWhenSilent(): void {
    const isOpen = this.#connections.some(({ isOpen }) => isOpen);
    if (this.#waiting === 0 && !isOpen) return this.close();
    if (this.#waiting > 0 || this.#moves !== this.#silence.moves) {
      this.#silence = { moves: this.#moves, since: performance.now() };
    } else if (performance.now() - this.#silence.since >= SILENCE) {
      this.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    // What is waited for does not keep the process alive by itself.
    const timer = setTimeout(() => {}, 2 * LEAVE_TIMEOUT);
    await this.#closing;
    clearTimeout(timer);
  }

  #makeRoute(): Route {
    const platform = unsupportedPlatform();
    if (platform !== null) return this.#runtimeRoute(platform);
    const { caCerts, cert, key } = this.#options;
    const tls = {
      ...(caCerts !== undefined && { caCerts }),
      ...(cert !== undefined && { cert, key }),
    };
    const Route = runtimeHttp.tunnel === "socks" ? SocksRoute : UnixRoute;
    return new Route(this.#dialer, tls);
  }

  #begin(): void {
    this.#waiting++;
    if (this.#timer !== null) return;
    this.#route!.setRef(true);
    this.#timer = setInterval(this.#onQuiet, QUIET_INTERVAL).unref();
  }

  #end(): void {
    if (--this.#waiting > 0) return;
    this.#failures = [];
    this.#dialing.abort(new DOMException("No request is waiting for the connection", "AbortError"));
    this.#dialing = new AbortController();
  }

  /** Answers keep the process alive by what they are read with, idle connections do not. */
  readonly #onQuiet = (): void => {
    const isQuiet = this.#waiting === 0 && this.#moves === this.#seenMoves;
    this.#seenMoves = this.#moves;
    if (!isQuiet) return;
    clearInterval(this.#timer!);
    this.#timer = null;
    this.#route!.setRef(false);
  };

  async #dial(hostname: string, port: number): Promise<Remote> {
    const failures = this.#failures;
    try {
      const conn = await this.#connect(hostname, port);
      const connection = new ClientConnection(hostname, port, conn);
      this.#keep(connection);
      return {
        conn,
        onBytes: () => void this.#moves++,
        isAwaited: () => this.#waiting > 0,
        isAcceptable: () => this.#isAcceptable(connection, failures),
        onClose: (isBroken) => connection.remember(isBroken),
      };
    } catch (error) {
      failures.push({ host: hostOf(hostname, port), error });
      throw error;
    }
  }

  async #connect(hostname: string, port: number): Promise<MptcpConn> {
    const { caCerts: _c, cert: _d, key: _k, ...options } = this.#options;
    return await connectMptcp({ ...options, hostname, port, signal: this.#dialing.signal });
  }

  /** A connection can fall back until its first data has been acknowledged. */
  #isAcceptable(connection: ClientConnection, failures: Failure[]): boolean {
    if (this.#options.mptcp !== "require-peer" || connection.protocol === "mptcp") return true;
    const { hostname, port } = connection;
    failures.push({ host: hostOf(hostname, port), error: peerError(hostname, port, connection) });
    return false;
  }

  #keep(connection: ClientConnection): void {
    this.#connections.push(connection);
    if (this.#connections.length <= CLOSED_LIMIT) return;
    const closed = this.#connections.filter(({ isOpen }) => !isOpen);
    if (closed.length <= CLOSED_LIMIT) return;
    this.#connections.splice(this.#connections.indexOf(closed[0]!), 1);
  }

  /** `fetch` as it is, where there is nothing to lead it over. */
  #runtimeRoute(platform: string): Route {
    const { mptcp, caCerts, cert, key } = this.#options;
    runtimeFallback(platform, mptcp);
    const { fetch, close } = runtimeHttp.createFetch({ caCerts, cert, key }, null);
    return { fetch, close: () => Promise.resolve(close()), setRef() {} };
  }
}

/** Members of `init` by which the runtimes' own `fetch` would go another way. */
const FOREIGN = ["client", "proxy", "unix", "tls", "dispatcher", "agent"] as const;

function checkInit(init: RequestInit | undefined): void {
  const name = FOREIGN.find((name) =>
    (init as Record<string, unknown> | undefined)?.[name] !== undefined
  );
  if (name === undefined) return;
  throw new TypeError(
    `Invalid init.${name}: this fetch uses its own connections. Pass options to createMptcpClient`,
  );
}

/** The URL that is fetched; `null` if it is none. */
function urlOf(input: RequestInfo | URL): URL | null {
  const text = input instanceof Request ? input.url : String(input);
  return URL.canParse(text) ? new URL(text) : null;
}

/** A server as URLs and as tunnels name it. */
function hostOf(hostname: string, port: number): string {
  return formatHostPort(hostname.replace(/^\[|\]$/g, ""), port);
}

function peerError(
  hostname: string,
  port: number,
  { protocol, fallback }: Pick<MptcpConn, "protocol" | "fallback">,
): MptcpError {
  const why = protocol === "unknown"
    ? "this kernel does not report whether the connection uses it"
    : `the connection fell back to TCP. ${fallback?.detail}`;
  return new MptcpError(`${hostOf(hostname, port)}: MPTCP is required but ${why}`, {
    code: "ERR_MPTCP_PEER",
    address: hostname,
    port,
  });
}

/**
 * Why a request failed: the `TypeError` of `fetch`, whose cause is an error of the connection to its
 * server, or of the only one that failed meanwhile, after a redirect; else what the runtime says.
 */
function explain(error: unknown, host: string, failures: Failure[]): unknown {
  if (error instanceof DOMException && error.name === "AbortError") return error;
  const failure = failures.findLast((failure) => failure.host === host) ??
    (failures.length === 1 ? failures[0] : undefined);
  const cause = failure?.error;
  return cause instanceof MptcpError
    ? new TypeError(`fetch failed: ${cause.message}`, { cause })
    : error;
}
