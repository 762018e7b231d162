/**
 * `serveMptcp`.
 *
 * @module
 */

import { startOrReload } from "./hot_reload.ts";
import { toServeRequest } from "./serve_options.ts";
import { Server } from "./server.ts";
import type {
  MptcpServer,
  ServeMptcpBunOptions,
  ServeMptcpFetchOptions,
  ServeMptcpHandler,
  ServeMptcpHandlerOptions,
  ServeMptcpOptions,
} from "./types.ts";

/**
 * Serves HTTP to MPTCP and TCP clients, with the interface of `Deno.serve`.
 *
 * The second argument of the handler says which protocol the connection uses, and if TCP, why.
 * It uses the runtime's own server at its full speed, or `node:http`; see
 * {@linkcode ServeMptcpOptions.engine}.
 *
 * Under `bun --hot`, a server started before the reload continues with the new handler, as with
 * `Bun.serve`.
 *
 * Requires `--allow-ffi` in Deno, and `--allow-net` for the native engine.
 *
 * @param handler Handles requests.
 * @returns The server, which is listening.
 * @throws {MptcpError} as `listenMptcp`; code "ERR_HTTP_ENGINE" if no engine is available.
 * @throws {TypeError} if an option has the wrong type or is unknown; the message names it.
 *
 * @example
 * ```ts
 * import { serveMptcp } from "@multipath/mptcp/http";
 *
 * await using server = serveMptcp({ port: 0 }, (_request, info) => {
 *   return new Response(`You are using ${info.protocol}.`);
 * });
 * const response = await fetch(`http://localhost:${server.addr.port}/`);
 * console.log(await response.text());
 * ```
 */
export function serveMptcp(handler: ServeMptcpHandler): MptcpServer;
/**
 * Serves HTTP to MPTCP and TCP clients, with options.
 *
 * The second argument of the handler says which protocol the connection uses, and if TCP, why.
 * Unknown options are refused.
 *
 * Requires `--allow-ffi` in Deno, and `--allow-net` for the native engine.
 *
 * @param options Where to listen and how; see {@linkcode ServeMptcpOptions}.
 * @param handler Handles requests.
 * @returns The server, which is listening.
 * @throws {MptcpError} as `listenMptcp`; code "ERR_HTTP_ENGINE" if no engine is available.
 * @throws {TypeError} if an option has the wrong type or is unknown; the message names it.
 */
export function serveMptcp(options: ServeMptcpOptions, handler: ServeMptcpHandler): MptcpServer;
/**
 * Serves HTTP to MPTCP and TCP clients, with options as for `Deno.serve`.
 *
 * The second argument of the handler says which protocol the connection uses, and if TCP, why.
 * Unknown options are refused.
 *
 * Requires `--allow-ffi` in Deno, and `--allow-net` for the native engine.
 *
 * @param options Where to listen and how, with the handler as `handler`.
 * @returns The server, which is listening.
 * @throws {MptcpError} as `listenMptcp`; code "ERR_HTTP_ENGINE" if no engine is available.
 * @throws {TypeError} if an option has the wrong type or is unknown; the message names it.
 */
export function serveMptcp(options: ServeMptcpHandlerOptions): MptcpServer;
/**
 * Serves HTTP to MPTCP and TCP clients, with options as for `Bun.serve`.
 *
 * The second argument of the handler says which protocol the connection uses, and if TCP, why.
 * Unknown options are refused.
 *
 * Requires `--allow-ffi` in Deno, and `--allow-net` for the native engine.
 *
 * @param options Where to listen and how, with the handler as `fetch`.
 * @returns The server, which is listening.
 * @throws {MptcpError} as `listenMptcp`; code "ERR_HTTP_ENGINE" if no engine is available.
 * @throws {TypeError} if an option has the wrong type or is unknown; the message names it.
 */
export function serveMptcp(options: ServeMptcpFetchOptions): MptcpServer;
/**
 * Serves HTTP to MPTCP and TCP clients, with a handler written for `Bun.serve`.
 *
 * Needs Bun's native engine, where the second argument of the handler has the members of `Bun.Server`.
 * Unknown options are refused.
 *
 * @param options Where to listen and how, with the handler as `fetch`.
 * @returns The server, which is listening.
 * @throws {MptcpError} as `listenMptcp`; code "ERR_HTTP_ENGINE" if no engine is available.
 * @throws {TypeError} if an option has the wrong type or is unknown; the message names it.
 */
export function serveMptcp(options: ServeMptcpBunOptions): MptcpServer;
export function serveMptcp(
  first: ServeMptcpOptions | ServeMptcpBunOptions | ServeMptcpHandler,
  second?: ServeMptcpHandler,
): MptcpServer {
  const request = toServeRequest(first, second);
  const server = startOrReload(request, (request) => new Server(request));
  const { onListen, signal } = request.options;
  try {
    onListen?.({ ...server.addr });
  } catch (error) {
    server.close();
    throw error;
  }
  server.follow(signal);
  return server;
}
