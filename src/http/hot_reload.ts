/**
 * Servers that outlive a reload of the program in the same process, as by `bun --hot`: the next
 * `serveMptcp` at the same address swaps the handler, as the runtime's own server does.
 *
 * @module
 */

import { reloadsInPlace } from "../../ffi/runtime.ts";
import type { MptcpServer, ServeMptcpHandler, ServeMptcpOptions } from "./types.ts";

/** What a reload swaps. */
interface Swappable {
  handler: ServeMptcpHandler;
  onError: ServeMptcpOptions["onError"];
}

/** A server that follows signals, and what it serves by. */
interface Kept<S extends MptcpServer> extends Swappable {
  server: S;
}

/** The servers of this program, which modules that are loaded anew find again. */
function servers<S extends MptcpServer>(): Map<string, Kept<S>> {
  const key = Symbol.for("@multipath/mptcp servers");
  const holder = globalThis as unknown as Record<symbol, Map<string, Kept<S>> | undefined>;
  return holder[key] ??= new Map();
}

/**
 * Makes a server by `start`, or where a reload has left one at the same address gives it other
 * functions.
 */
export function startOrReload<S extends MptcpServer>(
  options: ServeMptcpOptions,
  handler: ServeMptcpHandler,
  start: (options: ServeMptcpOptions, handler: ServeMptcpHandler) => S,
): S {
  if (!reloadsInPlace) return start(options, handler);
  const { hostname, port, netns, onError } = options;
  const key = JSON.stringify([hostname, port, netns]);
  const kept = servers<S>().get(key);
  if (kept !== undefined) {
    Object.assign(kept, { handler, onError });
    return kept.server;
  }
  const current: Swappable = { handler, onError };
  const server = start(
    {
      ...options,
      onError(error) {
        if (current.onError === undefined) throw error;
        return current.onError(error);
      },
    },
    (request, info) => current.handler(request, info),
  );
  servers<S>().set(key, Object.assign(current, { server }));
  const forget = () => void servers<S>().delete(key);
  server.finished.then(forget, forget);
  return server;
}
