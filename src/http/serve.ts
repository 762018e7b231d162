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
 * Serves HTTP, to MPTCP and TCP clients alike, as `Deno.serve` does on TCP.
 *
 * The handler is told about the connection of its request: which protocol it speaks, and if TCP, why.
 * The work is done by the runtime's own server at its own speed, or by `node:http`;
 * {@linkcode ServeMptcpOptions.engine} says more.
 *
 * Under `bun --hot` a server of the program before the reload goes on, with the new handler, as that of
 * `Bun.serve` does.
 *
 * Requires `--allow-ffi` in Deno, and `--allow-net` for the native engine.
 *
 * @param handler Answers requests.
 * @returns The server; it listens.
 * @throws {MptcpError} what `listenMptcp` throws; code "ERR_HTTP_ENGINE" when no engine is available.
 * @throws {TypeError} when an option has the wrong type, or is none of this server's: the message names it.
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
 * Serves HTTP, to MPTCP and TCP clients alike, with options.
 *
 * The handler is told about the connection of its request: which protocol it speaks, and if TCP, why.
 * Options that neither this server nor the runtime's own knows are refused.
 *
 * Requires `--allow-ffi` in Deno, and `--allow-net` for the native engine.
 *
 * @param options Where to listen and how; see {@linkcode ServeMptcpOptions}.
 * @param handler Answers requests.
 * @returns The server; it listens.
 * @throws {MptcpError} what `listenMptcp` throws; code "ERR_HTTP_ENGINE" when no engine is available.
 * @throws {TypeError} when an option has the wrong type, or is none of this server's: the message names it.
 */
export function serveMptcp(options: ServeMptcpOptions, handler: ServeMptcpHandler): MptcpServer;
/**
 * Serves HTTP, to MPTCP and TCP clients alike, with options as `Deno.serve` takes them.
 *
 * The handler is told about the connection of its request: which protocol it speaks, and if TCP, why.
 * Options that neither this server nor the runtime's own knows are refused.
 *
 * Requires `--allow-ffi` in Deno, and `--allow-net` for the native engine.
 *
 * @param options Where to listen and how, with the handler as `handler`.
 * @returns The server; it listens.
 * @throws {MptcpError} what `listenMptcp` throws; code "ERR_HTTP_ENGINE" when no engine is available.
 * @throws {TypeError} when an option has the wrong type, or is none of this server's: the message names it.
 */
export function serveMptcp(options: ServeMptcpHandlerOptions): MptcpServer;
/**
 * Serves HTTP, to MPTCP and TCP clients alike, with options as `Bun.serve` takes them.
 *
 * The handler is told about the connection of its request: which protocol it speaks, and if TCP, why.
 * Options that neither this server nor the runtime's own knows are refused.
 *
 * Requires `--allow-ffi` in Deno, and `--allow-net` for the native engine.
 *
 * @param options Where to listen and how, with the handler as `fetch`.
 * @returns The server; it listens.
 * @throws {MptcpError} what `listenMptcp` throws; code "ERR_HTTP_ENGINE" when no engine is available.
 * @throws {TypeError} when an option has the wrong type, or is none of this server's: the message names it.
 */
export function serveMptcp(options: ServeMptcpFetchOptions): MptcpServer;
/**
 * Serves HTTP, to MPTCP and TCP clients alike, by a handler that was written for `Bun.serve`.
 *
 * Needs Bun's native engine: the second argument of the handler has the members of `Bun.Server` there.
 * Options that neither this server nor the runtime's own knows are refused.
 *
 * @param options Where to listen and how, with the handler as `fetch`.
 * @returns The server; it listens.
 * @throws {MptcpError} what `listenMptcp` throws; code "ERR_HTTP_ENGINE" when no engine is available.
 * @throws {TypeError} when an option has the wrong type, or is none of this server's: the message names it.
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
