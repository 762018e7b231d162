/**
 * The public types of `@multipath/mptcp/proxy`.
 *
 * @module
 */

import type {
  ConnectMptcpOptions,
  Fallback,
  ListenMptcpOptions,
  NetAddr,
  Protocol,
  ShutdownOptions,
  SocketOptions,
} from "../types.ts";

/** One value or several. */
export type OneOrMore<T> = T | readonly T[];

/** The version of the PROXY protocol header: "v1" is text, "v2" is binary. */
export type ProxyHeaderVersion = "v1" | "v2";

/** How PROXY protocol headers of clients are read. */
export interface AcceptProxyOptions {
  /**
   * Milliseconds for a client to send the whole header.
   * @default {3000}
   */
  timeout?: number;
  /**
   * The maximum size of a header in bytes. Version 2 allows up to 65,551.
   * @default {4096}
   */
  maxLength?: number;
}

/** Options of `proxyMptcp`. */
export interface ProxyMptcpOptions {
  /**
   * Where to listen: addresses such as "mptcp@*:8000-8010", or options of `listenMptcp`. If one of
   * several addresses or ports is unavailable, an error is thrown and none is used.
   */
  front: OneOrMore<string | ListenMptcpOptions>;
  /**
   * The backends, used round-robin: addresses such as "tcp@10.0.0.1:80", or options of `connectMptcp`
   * except `signal`.
   */
  back: OneOrMore<string | Omit<ConnectMptcpOptions, "signal">>;
  /**
   * `SO_REUSEPORT` on every front: several processes share the ports.
   * @default {false}
   */
  reusePort?: boolean;
  /**
   * How many connections may wait on each front; the kernel caps it at `net.core.somaxconn`.
   * @default {511}
   */
  tcpBacklog?: number;
  /** Kernel options of both sides; those of a single front or back override them. */
  socketOptions?: SocketOptions;
  /**
   * How many connections are served at once. Further connections wait in the kernel's backlog.
   * @default {Infinity}
   */
  maxConnections?: number;
  /**
   * Milliseconds allowed to connect to one backend.
   * @default {5000}
   */
  connectTimeout?: number;
  /**
   * Milliseconds without data in either direction after which a connection is reset; 0 for never.
   * @default {3600000}
   */
  idleTimeout?: number;
  /**
   * Require a PROXY protocol header, of either version, from every client, and use the client address
   * in it. Only use this with trusted clients. A client that sends no header is reset.
   * @default {false}
   */
  acceptProxy?: boolean | AcceptProxyOptions;
  /** Send the client's address to backends in a PROXY protocol header. */
  sendProxy?: ProxyHeaderVersion;
  /** Closes the proxy and resets its connections. To let them finish, use `shutdown`. */
  signal?: AbortSignal;
  /** Called when a connection is about to be served. */
  onOpen?: (connection: ProxyConnection) => void;
  /** Called when a connection has ended, for example to write an access log. */
  onClose?: (report: ProxyReport) => void;
  /** Called when a backend becomes unreachable, and when it is reachable again. */
  onBackend?: (backend: ProxyBackend) => void;
  /**
   * Called on errors that do not belong to a connection: a front could not accept, or a hook threw. By
   * default they are printed.
   */
  onError?: (error: unknown) => void;
}

/** An address that the proxy listens on. */
export interface ProxyFront {
  /** The address and port. */
  readonly addr: NetAddr;
  /** The kind of socket. An MPTCP socket accepts TCP clients too. */
  readonly protocol: Protocol;
  /** Why it is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
}

/** One side of a connection through the proxy. */
export interface ProxySide {
  /** The end of the proxy. */
  readonly localAddr: NetAddr;
  /** The other end. */
  readonly remoteAddr: NetAddr;
  /** The protocol in use. */
  readonly protocol: Protocol | "unknown";
  /** Why it is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
  /** The highest number of paths seen in use at once. */
  readonly subflows: number;
}

/** A connection through the proxy. */
export interface ProxyConnection {
  /** The number of the connection, counted from 1. */
  readonly id: number;
  /** The client's address: the other end of the front, or the address in the PROXY protocol header. */
  readonly client: NetAddr;
  /** The side of the client. */
  readonly front: ProxySide;
  /** The side of the backend; `null` until there is one. */
  readonly back: ProxySide | null;
  /** The address of the backend; `null` until there is one. */
  readonly backend: string | null;
  /** Bytes from the client. */
  readonly bytesIn: number;
  /** Bytes from the backend. */
  readonly bytesOut: number;
  /** When it was accepted. */
  readonly startedAt: Date;
}

/**
 * How a connection ended:
 *
 * - `"closed"`: both ends ended their streams, and all bytes were forwarded.
 * - `"client-reset"`, `"backend-reset"`: that end reset the connection, and the proxy reset the other.
 *   Also if an MPTCP peer has ended its stream and accepts no data for 10 s (2 s during a shutdown),
 *   because its process is gone. The error then has the code `ERR_PEER_GONE`.
 * - `"idle"`: no data was received for `idleTimeout`.
 * - `"no-backend"`: no backend could be reached.
 * - `"bad-header"`: the PROXY protocol header was missing, invalid, too long or late.
 * - `"stopped"`: the proxy was closed, or the timeout of `shutdown` expired.
 * - `"failed"`: something failed on this machine.
 */
export type ProxyEnd =
  | "closed"
  | "client-reset"
  | "backend-reset"
  | "idle"
  | "no-backend"
  | "bad-header"
  | "stopped"
  | "failed";

/** A connection that has ended. */
export interface ProxyReport extends ProxyConnection {
  /** How it ended. */
  readonly end: ProxyEnd;
  /** The error that ended it, unless both streams ended. */
  readonly error: unknown;
  /** How long it was open. */
  readonly milliseconds: number;
}

/** The current state of a backend. */
export interface ProxyBackend {
  /** Its address. */
  readonly address: string;
  /** False after a failure, until a connection is established. */
  readonly isUp: boolean;
  /** Connections in use now. */
  readonly active: number;
  /** Connections established so far. */
  readonly total: number;
  /** Failed attempts to connect; the connection went to the next backend. */
  readonly failures: number;
  /** The last failure; `null` while it is up. */
  readonly error: unknown;
  /** Milliseconds until it is tried again; 0 while it is up. */
  readonly retryIn: number;
}

/** Counters of a proxy. */
export interface ProxyStats {
  /** When the proxy started. */
  readonly startedAt: Date;
  /** Connections that are served now. */
  readonly active: number;
  /** Connections accepted so far. */
  readonly total: number;
  /** The highest number of connections at once. */
  readonly peak: number;
  /** The maximum number of connections at once. */
  readonly maxConnections: number;
  /** How often accepting paused because of `maxConnections`. */
  readonly limited: number;
  /** How often accepting paused because this machine had no descriptor or memory left. */
  readonly exhausted: number;
  /** Bytes from clients. */
  readonly bytesIn: number;
  /** Bytes from backends. */
  readonly bytesOut: number;
  /** Connections by how they ended. */
  readonly ends: Readonly<Record<ProxyEnd, number>>;
  /** The address it listens on. */
  readonly fronts: readonly ProxyFront[];
  /** The backends. */
  readonly backends: readonly ProxyBackend[];
}

/**
 * A running proxy. Disposing of it resets its connections at once; to let them finish, call `shutdown`.
 */
export interface MptcpProxy extends AsyncDisposable {
  /** The addresses it listens on, in the order of the options. */
  readonly fronts: readonly ProxyFront[];
  /** Resolves when the proxy has ended. Never rejects. */
  readonly finished: Promise<void>;
  /** The current counters. */
  stats(): ProxyStats;
  /** The connections that are served now. */
  connections(): ProxyConnection[];
  /**
   * Accepts the connections that wait in the backlog, stops listening, lets connections finish, and
   * resolves when they have finished or were reset after `timeout`.
   *
   * @returns How many connections were reset.
   * @throws {RangeError} if `timeout` is less than 0.
   */
  shutdown(options?: ShutdownOptions): Promise<number>;
  /** Stops listening and resets the connections. `finished` resolves when that is done. */
  close(): void;
}
