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
  ShutdownOptions,
  Subflow,
} from "../types.ts";

/** Answers a request. A `Deno.ServeHandler` is one, and so is the `fetch` of a framework. */
export type ServeMptcpHandler = (
  request: Request,
  info: ServeMptcpInfo,
) => Response | Promise<Response>;

/**
 * What a handler is told about the connection of its request. Nothing is asked of the kernel until
 * the handler does, and each answer is of that moment. It can be spread, and objects can be derived
 * from it; as JSON it is `remoteAddr`, `protocol` and `fallback`. A copy lacks `completed`.
 *
 * On Bun's native engine it has the members of `Bun.Server` too, as `upgrade` and `requestIP`, so that
 * handlers that were written for `Bun.serve` work as they are.
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
  info(): MptcpInfo | null;
  /** The paths in use. A TCP connection is one subflow; one that is gone has none. */
  subflows(): Subflow[];
  /**
   * Settles when the answer has been sent. It rejects when the client left before that, but not with
   * `Deno.serve`, which does not tell. Nobody has to handle the rejection. In Bun ask for it before the
   * handler gives its answer; the answer is then sent in chunks.
   */
  readonly completed: Promise<void>;
  /**
   * The runtime's own server object: `Deno.HttpServer`, `Bun.Server` (whose `upgrade` makes
   * WebSockets), or `http.Server` of `node:http`.
   */
  readonly server: object;
  /** What `JSON.stringify` takes. */
  toJSON(): Pick<ServeMptcpInfo, "remoteAddr" | "protocol" | "fallback">;
}

/** Which HTTP server does the work; see {@linkcode ServeMptcpOptions.engine}. */
export interface MptcpServerEngine {
  /** `"native"`: `Deno.serve` or `Bun.serve`. `"node"`: `node:http`. */
  readonly name: "native" | "node";
  /** Why it is not the native one, as a sentence for people; `null` where it is, or was not wanted. */
  readonly detail: string | null;
}

/** A certificate, for HTTPS. */
export interface ServeMptcpTls {
  /** The certificate chain, in PEM. */
  cert: string;
  /** The private key, in PEM. */
  key: string;
  /**
   * The name of the server that this certificate is for, where there are several: "example.org", or
   * "*.example.org" for the names directly below it.
   */
  serverName?: string;
  /** Further options of the server that does the work. */
  [option: string]: unknown;
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
  /**
   * The same as `cert` and `key`, as `Bun.serve` takes them: one certificate, or several for several
   * names, of which the first is for clients that ask for another name or none. Other members are for the server that does
   * the work: `ca`, `requestCert`, `rejectUnauthorized`, `SNICallback`, `ALPNProtocols` of `node:tls` on
   * the node engine, those of `Bun.serve` on Bun's native engine. `Deno.serve` has none.
   */
  tls?: ServeMptcpTls | readonly ServeMptcpTls[];
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
   * - `"auto"`: native where it is available, else node. `engine` of the server says which, and why.
   *
   * @default {"auto"}
   */
  engine?: "auto" | "native" | "node";
  /**
   * How many connections may be open at once; further ones are closed as they come. The node engine's
   * alone, as an option of `node:http`.
   * @default {Infinity}
   */
  maxConnections?: number;
  /**
   * Milliseconds that a connection has for the whole head of a request, from its beginning or from the
   * answer before. The node engine's alone, as an option of `node:http`.
   * @default {60000}
   */
  headersTimeout?: number;
  /**
   * Milliseconds that a client has to send all of a request, its body included. The node engine's alone,
   * as an option of `node:http`.
   * @default {300000}
   */
  requestTimeout?: number;
  /**
   * Further options for the runtime's own server, as it has them: `{ automaticCompression: true }`,
   * `{ websocket: {...}, idleTimeout: 30 }`. The native engine's alone. Those that the runtime's server
   * is known to have may also be given beside the others.
   */
  nativeOptions?: Readonly<Record<string, unknown>>;
}

/** What a running server is to replace. */
export interface ReloadOptions {
  /** Answers requests. */
  handler?: ServeMptcpHandler;
  /** Answers for a handler that threw. */
  onError?: (error: unknown) => Response | Promise<Response>;
  /** The certificate of new connections. */
  tls?: ServeMptcpTls | readonly ServeMptcpTls[];
}

/** Options with a handler among them, as `Deno.serve` takes them. */
export interface ServeMptcpHandlerOptions extends ServeMptcpOptions {
  /** Answers requests. */
  handler: ServeMptcpHandler;
  /** Compresses answers. Deno's native engine alone. */
  automaticCompression?: boolean;
}

/** What `Bun.serve` takes beside a handler. Those without another note are of Bun's native engine alone. */
export interface BunServeOptions extends Omit<ServeMptcpOptions, "port"> {
  /**
   * 0 to 65535, as text too, so that an environment variable will do; 0 lets the kernel choose. On every
   * engine.
   * @default {8000}
   */
  port?: number | string | undefined;
  /** The same as `onError`, on every engine. */
  error?: (error: never) => Response | Promise<Response>;
  /** What to do with WebSockets that `upgrade` of the server has made. */
  websocket?: object;
  /** Handlers by path. */
  routes?: object;
  /** Seconds without a byte until a connection is closed. */
  idleTimeout?: number;
  /** Bytes that the body of a request may have. */
  maxRequestBodySize?: number;
  /** Whether to show errors in the browser. */
  development?: boolean | object;
  /** Tells servers apart when they are reloaded. */
  id?: string | null;
  /** Whether to speak HTTP/1.1. */
  http1?: boolean;
  /** Whether to speak HTTP/2. */
  http2?: boolean;
}

/** Options with a handler among them, as `Bun.serve` and `export default` of a server have them. */
export interface ServeMptcpFetchOptions extends BunServeOptions {
  /** Answers requests. */
  fetch: ServeMptcpHandler;
}

/**
 * Options with a handler that was written for `Bun.serve`: its second argument is declared as
 * `Bun.Server`, whose members are there on Bun's native engine alone.
 */
export interface ServeMptcpBunOptions extends BunServeOptions {
  /** Answers requests; nothing where `upgrade` of the server has made a WebSocket of one. */
  fetch: (
    request: Request,
    server: never,
  ) => Response | undefined | void | Promise<Response | undefined | void>;
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
  /** Resolves when the server has ended: after `shutdown` or `close`, or the signal. */
  readonly finished: Promise<void>;
  /**
   * Replaces the handler, `onError` or the certificate while the server runs: requests that come from
   * then on get the new handlers, and connections the new certificate. Those that are open keep theirs;
   * on the native engine they are closed once their requests are answered, and `server` is another
   * object.
   *
   * @throws {TypeError} when `tls` has no certificate and key, or the server speaks HTTP.
   * @throws {MptcpError} code "ERR_HTTP_ENGINE" when the runtime's server cannot be started again.
   */
  reload(options: ReloadOptions): void;
  /** Closes the server and all its connections at once; running requests are cut off. */
  close(): void;
  /**
   * Takes no more connections, lets running requests finish, and resolves when they have, or when
   * `timeout` has cut them off. Disposing of the server does the same, without a time limit.
   *
   * With `Deno.serve`, `timeout` cuts nothing off when another server of this process shares the port.
   *
   * Over MPTCP a client that has ended its stream and takes nothing more of its answer is cut off after
   * 2 seconds; after 10 seconds while the server is not shutting down. The kernel does not report that
   * such a client has closed its socket.
   *
   * @throws {RangeError} when `timeout` is not at least 0.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
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
  /** Whether it was reset, or broke for another reason, before the server ended it. */
  readonly isBroken: boolean;
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
   * @throws {TypeError} as the runtime's `fetch` does. Where a connection failed its `cause` is the
   * `MptcpError`: what `connectMptcp` throws, code "ERR_MPTCP_PEER" where "require-peer" is not met.
   * Also for `client`, `proxy`, `unix`, `tls` in `init`, which would lead past this client.
   * @throws {MptcpError} name "BadResource" once the client is closed.
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /**
   * The connections that are open, and the last 1000 that are closed, in the order in which they were
   * made. A request takes an open one to its server where it can.
   */
  connections(): MptcpClientConnection[];
  /** Closes every connection at once; requests under way fail. */
  close(): void;
  /**
   * Takes no more requests, lets those under way finish, and closes the connections. A request is under
   * way until its answer has begun and no connection has carried anything for a second.
   *
   * @throws {RangeError} when `timeout` is not at least 0.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /** Resolves when the client is closed. */
  readonly finished: Promise<void>;
}
