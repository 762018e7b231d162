/**
 * Servers that outlive a reload of the program in the same process, as by `bun --hot`: the next
 * `serveMptcp` at the same address swaps the handler, as the runtime's own server does.
 *
 * @module
 */

import { reloadsInPlace } from "../../ffi/runtime.ts";
import type { ServeRequest } from "./serve_options.ts";
import type { MptcpServer } from "./types.ts";

/** The servers of this program, kept for modules that are reloaded. */
function servers<S extends MptcpServer>(): Map<string, S> {
  const key = Symbol.for("@multipath/mptcp servers");
  const holder = globalThis as unknown as Record<symbol, Map<string, S> | undefined>;
  return holder[key] ??= new Map();
}

/** Makes a server by `start`, or gives one that a reload has left at the same address new functions. */
export function startOrReload<S extends MptcpServer>(
  request: ServeRequest,
  start: (request: ServeRequest) => S,
): S {
  if (!reloadsInPlace) return start(request);
  const { handler, options } = request;
  const { hostname, port, netns, onError } = options;
  const key = JSON.stringify([hostname, port, netns]);
  const kept = servers<S>().get(key);
  if (kept !== undefined) {
    kept.reload({ handler, ...(onError !== undefined && { onError }) });
    return kept;
  }
  const server = start(request);
  servers<S>().set(key, server);
  const forget = () => void servers<S>().delete(key);
  server.finished.then(forget, forget);
  return server;
}
