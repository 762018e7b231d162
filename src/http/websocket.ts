/**
 * `upgradeWebSocket`.
 *
 * @module
 */

import { Server } from "node:http";
import { runtimeHttp } from "../../ffi/runtime_http.ts";
import { MptcpError } from "../error.ts";
import type { ServeMptcpInfo, UpgradeWebSocketOptions, WebSocketUpgrade } from "./types.ts";

/**
 * Upgrades a request to a WebSocket, on Deno and Bun. Over MPTCP it survives the loss of a path.
 *
 * It needs the native engine. For handlers in Bun's own style, pass `websocket` to the server and call
 * `info.server.upgrade`.
 *
 * @param request The request, whose body must not have been read.
 * @param info The second argument of the handler.
 * @returns The socket, which opens later, and the response that the handler must return.
 * @throws {TypeError} if the request is not a WebSocket upgrade.
 * @throws {MptcpError} code "ERR_HTTP_ENGINE" on the node engine.
 *
 * @example
 * ```ts
 * import { serveMptcp, upgradeWebSocket } from "@multipath/mptcp/http";
 *
 * await using server = serveMptcp({ port: 0 }, (request, info) => {
 *   if (request.headers.get("upgrade") !== "websocket") return new Response("No WebSocket");
 *   const { socket, response } = upgradeWebSocket(request, info);
 *   socket.onmessage = ({ data }) => socket.send(`${info.protocol}: ${data}`);
 *   return response;
 * });
 * console.log(server.addr.port);
 * ```
 */
export function upgradeWebSocket(
  request: Request,
  info: ServeMptcpInfo,
  options: UpgradeWebSocketOptions = {},
): WebSocketUpgrade {
  if (info.server instanceof Server) {
    throw new MptcpError(
      "upgradeWebSocket needs the native engine, which this server does not use: see server.engine",
      { code: "ERR_HTTP_ENGINE" },
    );
  }
  // Kept from here on: Bun does not know the other end of a request that was upgraded.
  void info.remoteAddr;
  return runtimeHttp.upgradeWebSocket(request, info.server, options.protocol ?? "");
}
