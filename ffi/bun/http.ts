/**
 * `Bun.serve` behind the contract of `http.ts`. The twin of `deno/http.ts`: same names, same order.
 *
 * @module
 */

import { createServer, type RequestListener } from "node:http";
import { connect, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type {
  ClientTlsOptions,
  NodeServer,
  RuntimeFetch,
  RuntimeHandler,
  RuntimeHttp,
  RuntimeServer,
  RuntimeServerOptions,
  TlsOptions,
  WebSocketUpgrade,
} from "../http.ts";
import { Certificates } from "../certificates.ts";
import { UpgradedWebSocket, websocketHandlers } from "./server_websocket.ts";

/** The parts of `Bun` that this file uses, so that Deno's type checker needs no Bun types. */
interface BunHttp {
  readonly version: string;
  serve(options: Record<string, unknown> & { fetch: RuntimeHandler }): BunServer;
}

interface BunServer {
  readonly hostname: string;
  readonly port: number;
  stop(closeActiveConnections?: boolean): Promise<void>;
  requestIP(request: Request): { readonly address: string; readonly port: number } | null;
  upgrade(request: Request, options: { data: unknown; headers: HeadersInit }): boolean;
  ref(): void;
  unref(): void;
}

function bun(): BunHttp {
  return (globalThis as unknown as { Bun: BunHttp }).Bun;
}

function serveDenied(): string | null {
  return null;
}

function foreignTlsOption(): null {
  return null;
}

function serve(options: RuntimeServerOptions): RuntimeServer {
  const { hostname, port, handler, onError, tls, extra } = options;
  const server = bun().serve({
    // As Deno.serve: no limit on bodies, none on how long a handler or a client may be silent.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    idleTimeout: 0,
    // Bun's own answer to an error shows the program's source.
    development: false,
    websocket: websocketHandlers,
    ...extra,
    hostname,
    port,
    error: onError,
    ...(tls !== null && { tls: toBunTls(tls) }),
    fetch: handler,
  });
  const { promise: finished, resolve } = Promise.withResolvers<null>();
  const onStopped = () => resolve(null);
  const stop = (hard: boolean) => void server.stop(hard).then(onStopped, onStopped);
  return {
    object: server,
    hostname: server.hostname,
    port: server.port,
    finished,
    shutdown: () => stop(false),
    abort: () => stop(true),
    ref: () => server.ref(),
    unref: () => server.unref(),
  };
}

function showAddress(
  server: object,
  { hostname, port }: { readonly hostname: string; readonly port: number },
): void {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  const { protocol } = (server as { url: URL }).url;
  Object.defineProperties(server, {
    hostname: { value: hostname },
    port: { value: port },
    url: { get: () => new URL(`${protocol}//${host}:${port}/`) },
  });
}

function missingHost(): null {
  return null;
}

function toBunTls({ byName, ...tls }: TlsOptions): object {
  return byName === undefined ? tls : [tls, ...byName];
}

function remoteAddr(
  request: Request,
  context: object,
): { hostname: string; port: number } | null {
  const address = (context as BunServer).requestIP(request);
  return address === null ? null : { hostname: address.address, port: address.port };
}

function createFetch({ caCerts, cert, key }: ClientTlsOptions): RuntimeFetch {
  const tls = {
    ...(caCerts !== undefined && { ca: caCerts }),
    ...(cert !== undefined && { cert, key }),
  };
  const own = Object.keys(tls).length > 0 ? { tls } : {};
  return {
    fetch(input, init, unix) {
      const options: object = { ...init, ...own, ...(unix !== undefined && { unix }) };
      return fetch(input, options);
    },
    // Bun keeps its connections by itself, and drops them once the other end does.
    close() {},
  };
}

function upgradeWebSocket(request: Request, server: object, protocol: string): WebSocketUpgrade {
  const socket = new UpgradedWebSocket(request.url, protocol);
  const headers = new Headers();
  if (protocol !== "") headers.set("sec-websocket-protocol", protocol);
  if (!(server as BunServer).upgrade(request, { data: socket, headers })) {
    throw new TypeError("The request is not a WebSocket upgrade");
  }
  // Bun has answered the request itself and lets this one go.
  const response = new Response(null, { status: 101 });
  return { socket: socket as unknown as WebSocket, response };
}

function nodeServerMissing(): string | null {
  const [major, minor] = bun().version.split(".").map(Number) as [number, number];
  if (major > 1 || minor >= 4) return null;
  return "the node:http of this version of Bun cannot serve existing connections (1.4 or later can)";
}

function nodeServer(
  listener: RequestListener,
  onConnection: (socket: Socket) => void,
  tls: TlsOptions | null,
): NodeServer {
  const server = createServer(listener);
  const serve = (socket: Socket) => {
    onConnection(socket);
    server.emit("connection", socket);
  };
  const certificates = tls && new Certificates(tls);
  const secure = certificates &&
    createTlsServer({ ...certificates.options, ALPNProtocols: ["http/1.1"] }, serve);
  const adopt = (fd: number) => {
    // The types of Node do not know what Bun takes here; new Socket({ fd }) does nothing.
    const socket = connect({ fd, allowHalfOpen: tls === null } as never);
    if (secure === null) serve(socket);
    else secure.emit("connection", socket);
    return socket;
  };
  const setTls = (tls: TlsOptions) => {
    certificates?.replace(tls);
    secure?.setSecureContext(certificates!.options);
  };
  return { server, adopt, setTls };
}

/** The HTTP of Bun. */
export const bunHttp: RuntimeHttp = {
  waitsForSilent: true,
  serveDenied,
  abortsAfterShutdown: true,
  handlersGetServer: true,
  tellsCompletion: false,
  hidesTextType: true,
  showAddress,
  missingHost,
  optionNames: [
    "development",
    "http1",
    "http2",
    "id",
    "idleTimeout",
    "maxRequestBodySize",
    "routes",
    "websocket",
  ],
  foreignTlsOption,
  serve,
  remoteAddr,
  tunnel: "unix",
  createFetch,
  upgradeWebSocket,
  nodeServerMissing,
  nodeServer,
};
