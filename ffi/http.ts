/**
 * The contract between this module and the runtime's own HTTP server and `fetch`. The twins
 * `deno/http.ts` and `bun/http.ts` fill it in.
 *
 * @module
 */

import type { RequestListener, Server as HttpServer } from "node:http";
import type { Socket } from "node:net";

/** Answers a request. `context` is what the runtime hands to its handlers beside the request. */
export type RuntimeHandler = (request: Request, context: object) => Response | Promise<Response>;

/** A certificate chain and its private key, in PEM, and what else the server that takes it knows. */
export interface TlsOptions {
  readonly cert: string;
  readonly key: string;
  /** Certificates for clients that ask for other names; the one above is for all the rest. */
  readonly byName?: readonly NamedTlsOptions[];
  readonly [option: string]: unknown;
}

/** A certificate for clients that ask for this name. */
export interface NamedTlsOptions extends TlsOptions {
  /** "example.org", or "*.example.org" for the names directly below it. */
  readonly serverName: string;
}

/** What a server of the runtime is made of. */
export interface RuntimeServerOptions {
  readonly hostname: string;
  readonly port: number;
  readonly handler: RuntimeHandler;
  readonly onError: (error: unknown) => Response | Promise<Response>;
  /** For HTTPS; `null` for HTTP. */
  readonly tls: TlsOptions | null;
  /** Further options, as the runtime has them. */
  readonly extra: Readonly<Record<string, unknown>>;
}

/** A server of the runtime. */
export interface RuntimeServer {
  /** `Deno.HttpServer` or `Bun.Server`. */
  readonly object: object;
  /** The address it listens on. */
  readonly hostname: string;
  readonly port: number;
  /** Resolves when it has ended: to what it broke down by, or to `null`. Never rejects. */
  readonly finished: Promise<unknown>;
  /** Takes no more connections and lets running requests finish. */
  shutdown(): void;
  /** Closes everything. */
  abort(): void;
  ref(): void;
  unref(): void;
}

/** The result of `upgradeWebSocket`. */
export interface WebSocketUpgrade {
  readonly socket: WebSocket;
  /** The response that the handler must return. */
  readonly response: Response;
}

/** A server of `node:http` that listens nowhere: its connections are given to it. */
export interface NodeServer {
  readonly server: HttpServer;
  /** Takes over the descriptor of an accepted connection. */
  adopt(fd: number): Socket;
  /** Has new connections get another certificate. */
  setTls(tls: TlsOptions): void;
}

/** What `fetch` needs for HTTPS, beyond what the system has. */
export interface ClientTlsOptions {
  /** Certificates of authorities, in PEM, in addition to those of the system. */
  readonly caCerts?: string[] | undefined;
  /** The client's certificate chain, in PEM. */
  readonly cert?: string | undefined;
  /** Its private key, in PEM. */
  readonly key?: string | undefined;
}

/** A SOCKS proxy on 127.0.0.1. */
export interface SocksProxy {
  readonly port: number;
  readonly username: string;
  readonly password: string;
}

/** The runtime's `fetch`, with some options set. */
export interface RuntimeFetch {
  /** With a `path`, connects to that Unix socket and not to the URL's server. */
  fetch(input: RequestInfo | URL, init?: RequestInit, path?: string): Promise<Response>;
  close(): void;
}

/** The runtime's HTTP. */
export interface RuntimeHttp {
  /** Whether `shutdown` of a server waits for connections that have sent nothing yet. */
  readonly waitsForSilent: boolean;
  /** Whether handlers are given the server itself, whose members they expect. */
  readonly handlersGetServer: boolean;
  /** Why `serve` may not be called for this address; `null` if it may. */
  serveDenied(hostname: string, port: number): string | null;
  /** Whether `abort` of a server works after `shutdown`: in Deno it throws where nobody can catch it. */
  readonly abortsAfterShutdown: boolean;
  /** Whether what handlers are given beside the request has `completed`, as Deno's has. */
  readonly tellsCompletion: boolean;
  /** Whether a `Response` of a text has its `content-type` only once the runtime's own server sends it. */
  readonly hidesTextType: boolean;
  /** Has a server object show another address than that which it was made to listen on. */
  showAddress(server: object, addr: { readonly hostname: string; readonly port: number }): void;
  /**
   * What the runtime's server puts into the URL of a request that has no `Host`, when it listens there;
   * `null` if that does not depend on where.
   */
  missingHost(hostname: string, port: number): string | null;
  /** The options of the runtime's own server that `serveMptcp` takes among its own. */
  readonly optionNames: readonly string[];
  /** The first member of `tls` that the runtime's own server does not know; `null` for none. */
  foreignTlsOption(tls: TlsOptions | null): string | null;
  /** Starts the runtime's own server; it listens when this returns. */
  serve(options: RuntimeServerOptions): RuntimeServer;
  /** The other end of a request's connection; `null` once that is gone. */
  remoteAddr(request: Request, context: object): { hostname: string; port: number } | null;
  /** What `createFetch` can lead connections through: a proxy for all, or a Unix socket for each origin. */
  readonly tunnel: "socks" | "unix";
  /** Makes a `fetch` of its own, with its own connections. */
  createFetch(tls: ClientTlsOptions, proxy: SocksProxy | null): RuntimeFetch;
  /** Upgrades a request to `server`, an object that `serve` has made. */
  upgradeWebSocket(request: Request, server: object, protocol: string): WebSocketUpgrade;
  /** Why `nodeServer` cannot work; `null` if it can. */
  nodeServerMissing(): string | null;
  /**
   * Makes a server of `node:http`. `onConnection` is called with each connection once it can have
   * requests: with the socket itself, or where there is TLS, with what speaks it.
   */
  nodeServer(
    listener: RequestListener,
    onConnection: (socket: Socket) => void,
    tls: TlsOptions | null,
  ): NodeServer;
}
