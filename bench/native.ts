/**
 * The runtime's own sockets in the shape of `Deno.Conn`: in Deno as they are; in Bun, whose sockets
 * are events, by the same code by which this module falls back on them.
 *
 * @module
 */

import { isDeno } from "../ffi/runtime.ts";
import { toConnectRequest, toListenRequest } from "../src/net/request.ts";
import { connectByRuntime, listenByRuntime } from "../src/net/runtime_tcp.ts";
import type { TaskConn, TaskListener } from "./servers/tasks.ts";

/** The parts of `Deno` that are used here. */
interface DenoNet {
  connect(options: { hostname: string; port: number }): Promise<TaskConn>;
  listen(options: { hostname: string; port: number }): TaskListener;
}

const { Deno } = globalThis as unknown as { Deno: DenoNet };

const FALLBACK = { reason: "off", detail: "The runtime's own sockets were asked for" } as const;

/** What the runtime calls it. */
export const NATIVE_CONNECT: string = isDeno ? "Deno.connect" : "Bun.connect";
export const NATIVE_LISTEN: string = isDeno ? "Deno.listen" : "Bun.listen";

/** Connects by the runtime's own TCP. */
export function connectNative(hostname: string, port: number): Promise<TaskConn> {
  if (isDeno) return Deno.connect({ hostname, port });
  return connectByRuntime(toConnectRequest({ hostname, port }), FALLBACK);
}

/** Listens by the runtime's own TCP. */
export function listenNative(hostname: string): TaskListener {
  if (isDeno) return Deno.listen({ hostname, port: 0 });
  return listenByRuntime(toListenRequest({ hostname }), FALLBACK);
}
