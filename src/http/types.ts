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

/** Handles a request, like a `Deno.ServeHandler` or the `fetch` function of a framework. */
export type ServeMptcpHandler = (
  request: Request,
  info: ServeMptcpInfo,
) => Response | Promise<Response>;

/**
 * Information about the connection of a request. Members ask the kernel when they are read, so they
 * are current. The object can be spread and used as a prototype; as JSON it has `remoteAddr`,
 * `protocol` and `fallback`. A copy lacks `completed`.
 *
 * On Bun's native engine it also has the members of `Bun.Server`, such as `upgrade` and `requestIP`, so
 * handlers written for `Bun.serve` work unchanged.
 */
export interface ServeMptcpInfo {
  /** The other end. */
  readonly remoteAddr: NetAddr;
  /**
   * The protocol of the connection. `"unknown"` on kernels before 5.16, and if the connection was
   * closed before this was first read.
   */
  readonly protocol: Protocol | "unknown";
  /** Why it is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
  /** The kernel's figures about an MPTCP connection; `null` if it is TCP or closed. */
  info(): MptcpInfo | null;
  /** The paths in use. A TCP connection has one subflow, a closed one has none. */
  subflows(): Subflow[];
  /**
   * Settles when the response has been sent. It rejects if the client disconnects before that, except
   * with `Deno.serve`, which does not report it. You need not handle the rejection. In Bun, read it
   * before the handler returns the response; the response is then sent in chunks.
   */
  readonly completed: Promise<void>;
  /**
   * The runtime's own server object: `Deno.HttpServer`, `Bun.Server` (whose `upgrade` creates
   * WebSockets), or `http.Server` of `node:http`.
   */
  readonly server: object;
  /** The value that `JSON.stringify` uses. */
  toJSON(): Pick<ServeMptcpInfo, "remoteAddr" | "protocol" | "fallback">;
}

/** The HTTP server in use; see {@linkcode ServeMptcpOptions.engine}. */
export interface MptcpServerEngine {
  /** `"native"`: `Deno.serve` or `Bun.serve`. `"node"`: `node:http`. */
  readonly name: "native" | "node";
  /** Why the native engine is not used, in a sentence; `null` if it is, or was not requested. */
  readonly detail: string | null;
}

/** A certificate, for HTTPS. */
export interface ServeMptcpTls {
  /** The certificate chain, in PEM. */
  cert: string;
  /** The private key, in PEM. */
  key: string;
  /**
   * The server name of this certificate, if there are several: "example.org", or "*.example.org" for
   * the names directly below it.
   */
  serverName?: string;
  /** Further TLS options of the runtime's server. */
  [option: string]: unknown;
}

/** Options of `serveMptcp`: those of `listenMptcp` and of `Deno.serve`. */
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
   * The same as `cert` and `key`, in the format of `Bun.serve`: one certificate, or several for
   * different server names. The first is used for clients that request another name or none. Other
   * members are passed to the engine: `ca`, `requestCert`, `rejectUnauthorized`, `SNICallback` and
   * `ALPNProtocols` of `node:tls` on the node engine, those of `Bun.serve` on Bun's native engine.
   * `Deno.serve` has none.
   */
  tls?: ServeMptcpTls | readonly ServeMptcpTls[];
  /** Closes the server and all its connections. */
  signal?: AbortSignal;
  /** Called when the server is listening, before `serveMptcp` returns. */
  onListen?: (addr: NetAddr) => void;
  /**
   * Creates the response when a handler throws. By default the error is printed and the status is 500.
   */
  onError?: (error: unknown) => Response | Promise<Response>;
  /**
   * Which HTTP server to use:
   *
   * - `"native"`: `Deno.serve` or `Bun.serve` on an MPTCP socket: HTTP/1.1 and in Deno HTTP/2,
   *   WebSockets, the runtime's full speed. Deno needs `--allow-net`.
   * - `"node"`: `node:http` on connections of this module: HTTP/1.1, a sixth of the speed. Deno only
   *   needs `--allow-ffi`.
   * - `"auto"`: native if available, otherwise node. `engine` of the server says which, and why.
   *
   * @default {"auto"}
   */
  engine?: "auto" | "native" | "node";
  /**
   * How many connections may be open at once; further ones are closed immediately. An option of
   * `node:http`, for the node engine only.
   * @default {Infinity}
   */
  maxConnections?: number;
  /**
   * Milliseconds for a client to send all headers of a request, counted from the start of the connection
   * or the previous response. An option of `node:http`, for the node engine only.
   * @default {60000}
   */
  headersTimeout?: number;
  /**
   * Milliseconds for a client to send a whole request, including its body. An option of `node:http`, for
   * the node engine only.
   * @default {300000}
   */
  requestTimeout?: number;
  /**
   * Further options of the runtime's own server: `{ automaticCompression: true }`,
   * `{ websocket: {...}, idleTimeout: 30 }`. For the native engine only. Known options of the runtime's
   * server may also be given directly.
   */
  nativeOptions?: Readonly<Record<string, unknown>>;
}

/** What `reload` replaces in a running server. */
export interface ReloadOptions {
  /** Handles requests. */
  handler?: ServeMptcpHandler;
  /** Creates the response when a handler throws. */
  onError?: (error: unknown) => Response | Promise<Response>;
  /** The certificate of new connections. */
  tls?: ServeMptcpTls | readonly ServeMptcpTls[];
}

/** Options that include the handler, as for `Deno.serve`. */
export interface ServeMptcpHandlerOptions extends ServeMptcpOptions {
  /** Handles requests. */
  handler: ServeMptcpHandler;
  /** Compresses responses. For Deno's native engine only. */
  automaticCompression?: boolean;
}

/** Options of `Bun.serve`. Unless noted otherwise, they are for Bun's native engine only. */
export interface BunServeOptions extends Omit<ServeMptcpOptions, "port"> {
  /**
   * 0 to 65535, or the same as a string, as from an environment variable; 0 lets the kernel choose. For
   * all engines.
   * @default {8000}
   */
  port?: number | string | undefined;
  /** The same as `onError`, for all engines. */
  error?: (error: never) => Response | Promise<Response>;
  /** Handlers for WebSockets that `upgrade` of the server created. */
  websocket?: object;
  /** Handlers by path. */
  routes?: object;
  /** Seconds without data after which a connection is closed. */
  idleTimeout?: number;
  /** The maximum size of a request body in bytes. */
  maxRequestBodySize?: number;
  /** Whether to show errors in the browser. */
  development?: boolean | object;
  /** Identifies the server on a hot reload. */
  id?: string | null;
  /** Whether to speak HTTP/1.1. */
  http1?: boolean;
  /** Whether to speak HTTP/2. */
  http2?: boolean;
}

/** Options that include the handler, as for `Bun.serve` and `export default` of a server. */
export interface ServeMptcpFetchOptions extends BunServeOptions {
  /** Handles requests. */
  fetch: ServeMptcpHandler;
}

/**
 * Options with a handler written for `Bun.serve`. Its second argument is declared as `Bun.Server`, whose
 * members only exist on Bun's native engine.
 */
export interface ServeMptcpBunOptions extends BunServeOptions {
  /** Handles requests. It returns nothing if `upgrade` of the server turned one into a WebSocket. */
  fetch: (
    request: Request,
    server: never,
  ) => Response | undefined | void | Promise<Response | undefined | void>;
}

/** A running server. */
export interface MptcpServer extends AsyncDisposable {
  /** The address it listens on. */
  readonly addr: NetAddr;
  /** The kind of socket. An MPTCP socket accepts TCP clients too. */
  readonly protocol: Protocol;
  /** Why it is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
  /** The HTTP server in use. */
  readonly engine: MptcpServerEngine;
  /** The runtime's own server object, as in {@linkcode ServeMptcpInfo}. */
  readonly server: object;
  /** Resolves when the server has ended: after `shutdown` or `close`, or the signal. */
  readonly finished: Promise<void>;
  /**
   * Replaces the handler, `onError` or the certificate while the server runs. New requests use the new
   * handler, and new connections the new certificate. Open connections keep theirs; on the native
   * engine they are closed once their requests are answered, and `server` becomes another object.
   *
   * @throws {TypeError} if `tls` has no certificate and key, or the server does not use TLS.
   * @throws {MptcpError} code "ERR_HTTP_ENGINE" if the runtime's server cannot be restarted.
   */
  reload(options: ReloadOptions): void;
  /** Closes the server and all its connections at once; running requests are cut off. */
  close(): void;
  /**
   * Stops accepting connections, lets running requests finish, and resolves when they have finished or
   * were cut off after `timeout`. Disposing of the server does the same, without a time limit.
   *
   * With `Deno.serve`, `timeout` has no effect if another server of this process shares the port.
   *
   * Over MPTCP, a client that has ended its stream and no longer reads its response is cut off after 2
   * seconds, or after 10 seconds while the server is not shutting down. The kernel does not report that
   * such a client has closed its socket.
   *
   * @throws {RangeError} if `timeout` is less than 0.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /** Makes the server keep the process alive, which is the default. */
  ref(): void;
  /** Allows the process to exit while the server is listening. */
  unref(): void;
}

/** Options of `upgradeWebSocket`. */
export interface UpgradeWebSocketOptions {
  /** The subprotocol to select: one of those offered by the client. */
  protocol?: string;
}

/** The result of `upgradeWebSocket`. */
export interface WebSocketUpgrade {
  /** The WebSocket. It opens after the handler has returned the response. */
  readonly socket: WebSocket;
  /** The response that the handler must return. */
  readonly response: Response;
}

/** Options of `createMptcpClient`: those of `connectMptcp`, except host and port. */
export interface MptcpClientOptions
  extends Omit<ConnectMptcpOptions, "hostname" | "port" | "localPort" | "signal"> {
  /** Certificates of authorities to trust in addition to those of the system, in PEM. */
  caCerts?: string[];
  /** The client's own certificate chain, in PEM; with `key`. */
  cert?: string;
  /** The private key of `cert`, in PEM. */
  key?: string;
}

/** A connection of a client. */
export interface MptcpClientConnection {
  /** The server's name or address, as in the URL. */
  readonly hostname: string;
  /** The server's port. */
  readonly port: number;
  /** This end. */
  readonly localAddr: NetAddr;
  /** The other end. */
  readonly remoteAddr: NetAddr;
  /** The protocol in use now, or when it was closed. */
  readonly protocol: Protocol | "unknown";
  /** Why it is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
  /** False once it is closed. */
  readonly isOpen: boolean;
  /** Whether it was reset or failed before the server closed it. */
  readonly isBroken: boolean;
  /** The kernel's figures about an MPTCP connection, the last ones if it is closed; `null` for TCP. */
  info(): MptcpInfo | null;
  /** The paths in use, the last ones if it is closed. */
  subflows(): Subflow[];
}

/** `fetch` over MPTCP. */
export interface MptcpClient extends AsyncDisposable {
  /**
   * The standard `fetch`, with keep-alive. It is the runtime's own, over connections of this module.
   *
   * @throws {TypeError} as the runtime's `fetch` does. If a connection failed, its `cause` is the
   * `MptcpError` of `connectMptcp`, with code "ERR_MPTCP_PEER" if "require-peer" is not met. Also for
   * `client`, `proxy`, `unix` and `tls` in `init`, which would bypass this client.
   * @throws {MptcpError} name "BadResource" if the client is closed.
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /**
   * The open connections and the last 1000 closed ones, oldest first. A request reuses an open
   * connection to its server if possible.
   */
  connections(): MptcpClientConnection[];
  /** Closes all connections at once; requests in progress fail. */
  close(): void;
  /**
   * Accepts no more requests, lets those in progress finish, and closes the connections. A request is
   * in progress until its response has begun and no connection has carried data for a second.
   *
   * @throws {RangeError} if `timeout` is less than 0.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /** Resolves when the client is closed. */
  readonly finished: Promise<void>;
}
