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

/** One or more of something. */
export type OneOrMore<T> = T | readonly T[];

/** Which header of the PROXY protocol: the line of text, or the binary one. */
export type ProxyHeaderVersion = "v1" | "v2";

/** How the header of the PROXY protocol is taken from clients. */
export interface AcceptProxyOptions {
  /**
   * Milliseconds that a client has for the whole header.
   * @default {3000}
   */
  timeout?: number;
  /**
   * The longest header that is taken, in bytes; one of version 2 can have 65 551.
   * @default {4096}
   */
  maxLength?: number;
}

/** What `proxyMptcp` takes. */
export interface ProxyMptcpOptions {
  /**
   * Where to listen: addresses as "mptcp@*:8000-8010", or what `listenMptcp` takes. Of several, and of
   * a range of ports, all are listened on, or none and an error is thrown.
   */
  front: OneOrMore<string | ListenMptcpOptions>;
  /**
   * Where connections go, in turn: addresses as "tcp@10.0.0.1:80", or what `connectMptcp` takes, but
   * for `signal`.
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
  /** Kernel options of both sides; those of a single front or back come before them. */
  socketOptions?: SocketOptions;
  /**
   * How many connections are served at once. While there are as many, no other is accepted: the rest
   * wait in the backlog of the kernel.
   * @default {Infinity}
   */
  maxConnections?: number;
  /**
   * Milliseconds to connect to one backend.
   * @default {5000}
   */
  connectTimeout?: number;
  /**
   * Milliseconds without a byte in either direction after which a connection is reset; 0 for none.
   * @default {3600000}
   */
  idleTimeout?: number;
  /**
   * Expect the header of the PROXY protocol, of either version, from every client, and take from it
   * who the client is. Only for clients that are trusted to say so. One that sends no such header is
   * reset.
   * @default {false}
   */
  acceptProxy?: boolean | AcceptProxyOptions;
  /** Tell backends who the client is, by the header of the PROXY protocol. */
  sendProxy?: ProxyHeaderVersion;
  /** Ends the proxy and resets its connections. `shutdown` is the gentle way. */
  signal?: AbortSignal;
  /** Called when a connection is about to be served. */
  onOpen?: (connection: ProxyConnection) => void;
  /** Called when a connection is over, however it ended: what an access log has a line for. */
  onClose?: (report: ProxyReport) => void;
  /** Called when a backend is given up for the time being, and when it is back. */
  onBackend?: (backend: ProxyBackend) => void;
  /**
   * Called when something failed that is no connection's: a front that could not accept, a hook that
   * threw. By default it is printed.
   */
  onError?: (error: unknown) => void;
}

/** An address that the proxy listens on. */
export interface ProxyFront {
  /** The address and port. */
  readonly addr: NetAddr;
  /** What kind of socket listens. An MPTCP one takes TCP clients too. */
  readonly protocol: Protocol;
  /** Why it is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
}

/** One side of a connection through the proxy. */
export interface ProxySide {
  /** This end, of the proxy. */
  readonly localAddr: NetAddr;
  /** The other end. */
  readonly remoteAddr: NetAddr;
  /** What it speaks. */
  readonly protocol: Protocol | "unknown";
  /** Why it is TCP; `null` while it is not. */
  readonly fallback: Fallback | null;
  /** How many paths were seen in use at once. */
  readonly subflows: number;
}

/** A connection through the proxy. */
export interface ProxyConnection {
  /** Numbers the connections of a proxy from 1. */
  readonly id: number;
  /** The client: the other end of the front, or who the PROXY protocol says. */
  readonly client: NetAddr;
  /** The side of the client. */
  readonly front: ProxySide;
  /** The side of the backend; `null` until there is one. */
  readonly back: ProxySide | null;
  /** The backend by its address; `null` until there is one. */
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
 * - `"closed"`: both ends have ended their streams, and all bytes went on.
 * - `"client-reset"`, `"backend-reset"`: that end broke off, and so did the proxy with the other. The
 *   same when an MPTCP peer has ended its stream and takes no data for 10 s, 2 s during a shutdown:
 *   its process is gone. The code of the error is `ERR_PEER_GONE` then.
 * - `"idle"`: no byte came for `idleTimeout`.
 * - `"no-backend"`: no backend could be reached.
 * - `"bad-header"`: the header of the PROXY protocol was none, too long, or late.
 * - `"stopped"`: the proxy was closed, or its time to finish was over.
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

/** A connection that is over. */
export interface ProxyReport extends ProxyConnection {
  /** How it ended. */
  readonly end: ProxyEnd;
  /** What made it end, where that is no end of a stream. */
  readonly error: unknown;
  /** How long it was open. */
  readonly milliseconds: number;
}

/** A backend, as it is now. */
export interface ProxyBackend {
  /** Its address. */
  readonly address: string;
  /** False after a failure, until a connection is established. */
  readonly isUp: boolean;
  /** Connections that it serves now. */
  readonly active: number;
  /** Connections established so far. */
  readonly total: number;
  /** Connections that have not, and went to the next backend. */
  readonly failures: number;
  /** The last failure; `null` while it is up. */
  readonly error: unknown;
  /** Milliseconds until it is tried again; 0 while it is up. */
  readonly retryIn: number;
}

/** Counters of a proxy. */
export interface ProxyStats {
  /** When the proxy began. */
  readonly startedAt: Date;
  /** Connections that are served now. */
  readonly active: number;
  /** Connections that were accepted. */
  readonly total: number;
  /** Most connections at once. */
  readonly peak: number;
  /** How many may be served at once. */
  readonly maxConnections: number;
  /** Times that accepting stopped because there were so many. */
  readonly limited: number;
  /** Times that accepting stopped because this machine had no descriptor or memory left. */
  readonly exhausted: number;
  /** Bytes from clients. */
  readonly bytesIn: number;
  /** Bytes from backends. */
  readonly bytesOut: number;
  /** Connections by how they ended. */
  readonly ends: Readonly<Record<ProxyEnd, number>>;
  /** Where it listens. */
  readonly fronts: readonly ProxyFront[];
  /** Where connections go. */
  readonly backends: readonly ProxyBackend[];
}

/**
 * A proxy that listens. Disposing of it closes it at once: its connections have no end that could be
 * waited for.
 */
export interface MptcpProxy extends AsyncDisposable {
  /** Where it listens, in the order of the addresses and ports. */
  readonly fronts: readonly ProxyFront[];
  /** Resolves when the proxy has ended. Never rejects. */
  readonly finished: Promise<void>;
  /** Counters, as they are now. */
  stats(): ProxyStats;
  /** The connections that are served now. */
  connections(): ProxyConnection[];
  /**
   * Takes the connections that wait in the backlog, stops listening, lets connections finish, and
   * resolves when they have, or were reset because `timeout` had passed.
   *
   * @returns How many connections were reset.
   * @throws {RangeError} when `timeout` is not at least 0.
   */
  shutdown(options?: ShutdownOptions): Promise<number>;
  /** Stops listening and resets the connections. `finished` resolves when that is done. */
  close(): void;
}
