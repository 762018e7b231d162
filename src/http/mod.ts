/**
 * HTTP over Multipath TCP: a server and a client that report which protocol carried each request.
 *
 * ```ts
 * import { serveMptcp } from "@multipath/mptcp/http";
 *
 * await using server = serveMptcp(
 *   { hostname: "127.0.0.1", port: 0, onListen: () => {} },
 *   (_request, info) => new Response(`You are using ${info.protocol}.`),
 * );
 * const response = await fetch(`http://127.0.0.1:${server.addr.port}/`);
 * console.log(await response.text());
 * ```
 *
 * @module
 */

export { createMptcpClient, fetchMptcp } from "./client.ts";
export { serveMptcp } from "./serve.ts";
export type {
  BunServeOptions,
  MptcpClient,
  MptcpClientConnection,
  MptcpClientOptions,
  MptcpServer,
  MptcpServerEngine,
  ReloadOptions,
  ServeMptcpBunOptions,
  ServeMptcpFetchOptions,
  ServeMptcpHandler,
  ServeMptcpHandlerOptions,
  ServeMptcpInfo,
  ServeMptcpOptions,
  ServeMptcpTls,
  UpgradeWebSocketOptions,
  WebSocketUpgrade,
} from "./types.ts";
export type { ShutdownOptions } from "../types.ts";
export { upgradeWebSocket } from "./websocket.ts";
