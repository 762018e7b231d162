/**
 * `Deno.serve` behind the contract of `http.ts`. The twin of `bun/http.ts`: same names, same order.
 *
 * @module
 */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { type RequestListener, Server } from "node:http";
import { Server as NetServer, type Socket } from "node:net";
import type {
  ClientTlsOptions,
  NodeServer,
  RuntimeFetch,
  RuntimeHandler,
  RuntimeHttp,
  RuntimeServer,
  RuntimeServerOptions,
  SocksProxy,
  TlsOptions,
  WebSocketUpgrade,
} from "../http.ts";
import { createNodeServer } from "../node_server.ts";
import { libc } from "../runtime.ts";

/** The parts of `Deno` that this file uses, so that Bun's type checker needs no Deno types. */
interface DenoHttp {
  serve(options: Record<string, unknown>, handler: RuntimeHandler): DenoServer;
  createHttpClient(options: Record<string, unknown>): { close(): void };
  upgradeWebSocket(request: Request, options: { protocol?: string }): WebSocketUpgrade;
  permissions: {
    querySync(query: { name: "net"; host: string }): { readonly state: string };
  };
}

interface DenoServer {
  readonly addr: { readonly hostname: string; readonly port: number };
  readonly finished: Promise<void>;
  shutdown(): Promise<void>;
  ref(): void;
  unref(): void;
}

interface DenoHandlerInfo {
  readonly remoteAddr: { readonly hostname: string; readonly port: number };
}

function deno(): DenoHttp {
  return (globalThis as unknown as { Deno: DenoHttp }).Deno;
}

function serveDenied(hostname: string, port: number): string | null {
  const host = `${hostname}:${port}`;
  // Not asked for when it is not granted: Deno would prompt for an address that nobody knows.
  const { state } = deno().permissions.querySync({ name: "net", host });
  return state === "granted" ? null : `Deno.serve needs --allow-net, for ${host} too`;
}

function foreignTlsOption(tls: TlsOptions | null): string | null {
  return Object.keys(tls ?? {}).find((name) => name !== "cert" && name !== "key") ?? null;
}

function serve(options: RuntimeServerOptions): RuntimeServer {
  const { hostname, port, handler, onError, tls, extra } = options;
  const controller = new AbortController();
  const server = deno().serve({
    ...extra,
    hostname,
    port,
    onError,
    ...(tls !== null && { cert: tls.cert, key: tls.key }),
    signal: controller.signal,
    // Without one Deno prints where it listens.
    onListen() {},
  }, handler);
  const finished = server.finished.then(() => null, (error: unknown) => error);
  return {
    object: server,
    hostname: server.addr.hostname,
    port: server.addr.port,
    finished,
    shutdown: () => void server.shutdown().catch(() => {}),
    abort: () => controller.abort(),
    ref: () => server.ref(),
    unref: () => server.unref(),
  };
}

function showAddress(server: object, addr: object): void {
  Object.defineProperty(server, "addr", { value: { ...addr }, enumerable: true });
}

function missingHost(hostname: string, port: number): string {
  const isHere = /^(?:0\.0\.0\.0|127\..*|::1?)$/.test(hostname);
  if (isHere) return `localhost:${port}`;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

function remoteAddr(
  _request: Request,
  context: object,
): { hostname: string; port: number } | null {
  return (context as DenoHandlerInfo).remoteAddr;
}

function createFetch(tls: ClientTlsOptions, proxy: SocksProxy | null): RuntimeFetch {
  const client = withoutNoProxy(() =>
    // As in Bun, a request may name another host than that of its URL.
    deno().createHttpClient({
      ...tls,
      allowHost: true,
      ...(proxy !== null && { proxy: toDenoProxy(proxy) }),
    })
  );
  return {
    fetch: (input, init) => fetch(input, { ...init, client } as RequestInit),
    close: () => client.close(),
  };
}

function toDenoProxy({ port, username, password }: SocksProxy): Record<string, unknown> {
  return { url: `socks5h://127.0.0.1:${port}`, basicAuth: { username, password } };
}

/**
 * Runs `action` without the variables that make Deno go round a proxy, which is none here but the way
 * out. Deno reads them when a client is made, and no option says otherwise.
 */
function withoutNoProxy<T>(action: () => T): T {
  const putBack = ["NO_PROXY", "no_proxy"].map((name) => libc().emptyenv(name));
  try {
    return action();
  } finally {
    for (const restore of putBack) restore();
  }
}

function upgradeWebSocket(
  request: Request,
  _server: object,
  protocol: string,
): WebSocketUpgrade {
  return deno().upgradeWebSocket(request, protocol === "" ? {} : { protocol });
}

function nodeServerMissing(): string | null {
  // The version that made node:http a node:net is the one in which sockets take descriptors.
  if (new Server() instanceof NetServer) return null;
  return "the node:http of this version of Deno cannot serve existing connections (2.8 or later can)";
}

function nodeServer(
  listener: RequestListener,
  onConnection: (socket: Socket) => void,
  tls: TlsOptions | null,
): NodeServer {
  if (tls !== null) checkTls(tls);
  const { server, adopt, setTls } = createNodeServer(listener, onConnection, tls);
  return {
    server,
    adopt,
    setTls(tls) {
      checkTls(tls);
      setTls(tls);
    },
  };
}

/** Deno's node:https looks at a certificate only when a client comes, and then says nothing. */
function checkTls({ cert, key }: TlsOptions): void {
  const isPair = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  if (!isPair) {
    throw new TypeError("Invalid cert and key: the key does not belong to the certificate");
  }
}

/** The HTTP of Deno. */
export const denoHttp: RuntimeHttp = {
  waitsForSilent: false,
  serveDenied,
  abortsAfterShutdown: false,
  handlersGetServer: false,
  tellsCompletion: true,
  hidesTextType: false,
  showAddress,
  missingHost,
  optionNames: ["automaticCompression"],
  foreignTlsOption,
  serve,
  remoteAddr,
  tunnel: "socks",
  createFetch,
  upgradeWebSocket,
  nodeServerMissing,
  nodeServer,
};
