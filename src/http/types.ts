/**
 * The public types of HTTP over MPTCP.
 *
 * @module
 */

import type { MptcpInfo } from "../kernel/info_types.ts";
import type {
  ConnectMptcpOptions,
  Fallback,
  ListenMptcpOptions,
  NetAddr,
  Protocol,
  Subflow,
} from "../types.ts";

/** Answers a request. */
export type ServeMptcpHandler = (
  request: Request,
  info: ServeMptcpInfo,
) => Response | Promise<Response>;

/**
 * What a handler is told about the connection of its request. Nothing is asked of the kernel until
 * the handler does, and each answer is of that moment.
 */
export interface ServeMptcpInfo {
  /** The other end. */
  readonly remoteAddr: NetAddr;
  /**
   * What the connection speaks. `"unknown"` on kernels before 5.16, and when the connection was gone
   * before this was first asked.
   */
  readonly protocol: Protocol | "unknown";
  /** Why it is TCP; `null` while it is not. */
  readonly fallback: Fallback | null;
  /** The kernel's figures about an MPTCP connection; `null` when it is TCP, or gone. */
  mptcp(): MptcpInfo | null;
  /** The paths in use. A TCP connection is one subflow; one that is gone has none. */
  subflows(): Subflow[];
  /**
   * The runtime's own server object: `Deno.HttpServer`, `Bun.Server` (whose `upgrade` makes
   * WebSockets), or `http.Server` of `node:http`.
   */
  readonly server: object;
}

/** Which HTTP server does the work; see {@linkcode ServeMptcpOptions.engine}. */
export interface MptcpServerEngine {
  /** `"native"`: `Deno.serve` or `Bun.serve`. `"node"`: `node:http`. */
  readonly name: "native" | "node";
  /** Why it is not the native one, as a sentence for people; `null` where it is, or was not wanted. */
  readonly detail: string | null;
}

/** What `serveMptcp` takes: what `listenMptcp` takes, and what `Deno.serve` takes. */
export interface ServeMptcpOptions extends ListenMptcpOptions {
  /**
   * 0 to 65535; 0 lets the kernel choose.
   * @default {8000}
   */
  port?: number;
  /** The certificate chain for HTTPS, in PEM; with `key`. */
  cert?: string;
  /** The private key for HTTPS, in PEM; with `cert`. */
  key?: string;
  /** Closes the server and all its connections. */
  signal?: AbortSignal;
  /** Called once the server listens, before `serveMptcp` returns. */
  onListen?: (addr: NetAddr) => void;
  /**
   * Answers for a handler that threw. By default the error is printed and the answer is a 500.
   */
  onError?: (error: unknown) => Response | Promise<Response>;
  /**
   * Which HTTP server does the work:
   *
   * - `"native"`: `Deno.serve` or `Bun.serve`, with our socket grafted under it: HTTP/1.1 and in Deno
   *   HTTP/2, WebSockets, the runtime's speed. Deno needs `--allow-net`.
   * - `"node"`: `node:http`, on our connections: HTTP/1.1, a sixth of the speed. Deno needs
   *   `--allow-ffi` alone.
   * - `"auto"`: native where it can be had, else node. `engine` of the server says which, and why.
   *
   * @default {"auto"}
   */
  engine?: "auto" | "native" | "node";
  /**
   * Further options for the runtime's own server, as it has them: `{ automaticCompression: true }`,
   * `{ websocket: {...}, idleTimeout: 30 }`. The native engine's alone.
   */
  nativeOptions?: Readonly<Record<string, unknown>>;
}

/** A server that listens. */
export interface MptcpServer extends AsyncDisposable {
  /** Where it listens. */
  readonly addr: NetAddr;
  /** What kind of socket listens. An MPTCP one takes TCP clients too. */
  readonly protocol: Protocol;
  /** Why it is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
  /** Which HTTP server does the work. */
  readonly engine: MptcpServerEngine;
  /** The runtime's own server object, as in {@linkcode ServeMptcpInfo}. */
  readonly server: object;
  /** Resolves when the server has ended: after `shutdown`, or the signal. */
  readonly finished: Promise<void>;
  /** Takes no more connections, lets running requests finish, and resolves when they have. */
  shutdown(): Promise<void>;
  /** Makes the server keep the process alive: how it begins. */
  ref(): void;
  /** Lets the process end though the server listens. */
  unref(): void;
}

/** Options of `upgradeWebSocket`. */
export interface UpgradeWebSocketOptions {
  /** The subprotocol to agree on: one of those that the client offers. */
  protocol?: string;
}

/** A connection that is becoming a WebSocket. */
export interface WebSocketUpgrade {
  /** The WebSocket; it opens once the response is on its way. */
  readonly socket: WebSocket;
  /** What the handler has to return. */
  readonly response: Response;
}

/** What `createMptcpClient` takes: what `connectMptcp` takes, but for where to. */
export interface MptcpClientOptions
  extends Omit<ConnectMptcpOptions, "hostname" | "port" | "localPort" | "signal"> {
  /**
   * Fail where a connection is TCP, whoever is to blame: this kernel, the server, or something
   * between. `mptcp: "require"` is about this kernel alone.
   * @default {false}
   */
  requirePeer?: boolean;
  /** Certificates of authorities to trust beside those of the system, in PEM. */
  caCerts?: string[];
  /** The client's own certificate chain, in PEM; with `key`. */
  cert?: string;
  /** The private key of `cert`, in PEM. */
  key?: string;
}

/** A connection that a client has made. */
export interface MptcpClientConnection {
  /** The server's name, or address, as the URL has it. */
  readonly hostname: string;
  /** The server's port. */
  readonly port: number;
  /** This end. */
  readonly localAddr: NetAddr;
  /** The other end. */
  readonly remoteAddr: NetAddr;
  /** What it speaks now, or spoke when it was closed. */
  readonly protocol: Protocol | "unknown";
  /** Why it is TCP; `null` while it is not. */
  readonly fallback: Fallback | null;
  /** False once it is closed. */
  readonly isOpen: boolean;
  /** The kernel's figures about an MPTCP connection, the last ones if it is closed; `null` when TCP. */
  info(): MptcpInfo | null;
  /** The paths in use, the last ones if it is closed. */
  subflows(): Subflow[];
}

/** `fetch` over MPTCP. */
export interface MptcpClient extends AsyncDisposable {
  /**
   * The standard's `fetch`, with keep-alive: the runtime's own, led over connections of this module.
   *
   * @throws {MptcpError} what `connectMptcp` throws; code "ERR_MPTCP_PEER" where `requirePeer` is not
   * met; name "BadResource" once the client is closed.
   * @throws {TypeError} what the runtime's `fetch` throws: certificates, malformed answers...
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /**
   * The connections that are open, and the last 1000 that are closed, in the order in which they were
   * made. A request takes an open one to its server where it can.
   */
  connections(): MptcpClientConnection[];
  /** Closes every connection; requests under way fail. */
  close(): void;
}
