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
 * Makes a WebSocket of a request's connection, on Deno as on Bun. Over MPTCP it outlives the loss of a
 * path.
 *
 * The native engine's alone. Handlers in Bun's own style are given to the server as `websocket`, and
 * their sockets made by `info.server.upgrade`.
 *
 * @param request The request, whose body nobody has read.
 * @param info What the handler was given beside it.
 * @returns The socket, which opens later, and the response that the handler has to return.
 * @throws {TypeError} when the request does not ask for a WebSocket.
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
