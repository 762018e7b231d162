/**
 * The native engine: `Deno.serve` or `Bun.serve`, grafted onto our socket.
 *
 * @module
 */

import { SOL_TCP, TCP_DEFER_ACCEPT } from "../../ffi/abi.ts";
import type { RuntimeHandler, RuntimeServer } from "../../ffi/http.ts";
import { runtimeHttp } from "../../ffi/runtime_http.ts";
import { libc } from "../../ffi/runtime.ts";
import { setIntOption } from "../socket.ts";
import { type Engine, EngineRefusal, type Job, tlsOf } from "./engine.ts";
import { graft, GraftError } from "./graft.ts";
import { type ServeContext, ServeInfo } from "./serve_info.ts";
import type { ServeMptcpHandler } from "./types.ts";

/** Where the runtime listens until the graft is done. */
const LOOPBACK = { hostname: "127.0.0.1", port: 0 } as const;

/** The native engine, and the runtime's descriptor, which is our socket now. */
export interface NativeEngine extends Engine {
  /** Borrowed: the runtime closes it. -1 where it listens on a socket of its own. */
  readonly fd: number;
}

/** Starts the runtime's server on the job's socket; throws an `EngineRefusal` where that cannot be. */
export function startNative(job: Job): NativeEngine {
  if (job.fd < 0) return toEngine(-1, serveOn(job.addr, job));
  const server = serveOn(LOOPBACK, job);
  try {
    deferAccept(job);
    const fd = graft(job.fd, LOOPBACK.hostname, server.port);
    libc().close(job.fd);
    return toEngine(fd, server);
  } catch (error) {
    // Nothing was accepted yet: this is the same piece of synchronous code.
    server.abort();
    if (error instanceof GraftError) throw new EngineRefusal(error.message);
    throw error;
  }
}

/**
 * Sets `TCP_DEFER_ACCEPT` as the runtime sets it on its own sockets. Bun counts on it: it closes an
 * idle connection on shutdown, but waits for the first request of one that has made none.
 */
function deferAccept({ fd, options }: Job): void {
  const { deferAccept: seconds } = runtimeHttp;
  if (seconds === 0 || options.socketOptions?.deferAccept !== undefined) return;
  setIntOption(fd, SOL_TCP, TCP_DEFER_ACCEPT, seconds);
}

function toEngine(fd: number, server: RuntimeServer): NativeEngine {
  const { object, finished, shutdown, abort, ref, unref } = server;
  return { name: "native", fd, server: object, finished, shutdown, abort, ref, unref };
}

interface Address {
  readonly hostname: string;
  readonly port: number;
}

function serveOn({ hostname, port }: Address, job: Job): RuntimeServer {
  const denied = runtimeHttp.serveDenied(hostname, port);
  if (denied !== null) throw new EngineRefusal(denied);
  const { addr, connections, fallback, onError, options } = job;
  const { remoteAddr: remoteOf } = runtimeHttp;
  const context: ServeContext = { addr, connections, fallback, remoteOf, server: null };
  try {
    const server = runtimeHttp.serve({
      hostname,
      port,
      handler: toRuntimeHandler(job.handler, context),
      onError,
      tls: tlsOf(options),
      extra: options.nativeOptions ?? {},
    });
    context.server = server.object;
    return server;
  } catch (error) {
    // No loopback here, or no descriptor left. Anything else is about the caller's options.
    const { code } = error as { code?: unknown };
    if (typeof code !== "string" || !/^E[A-Z]+$/.test(code)) throw error;
    throw new EngineRefusal(`the runtime cannot listen on ${hostname} (${code})`);
  }
}

function toRuntimeHandler(handler: ServeMptcpHandler, context: ServeContext): RuntimeHandler {
  // Deno makes no information about the connection for a handler that takes the request alone.
  if (handler.length === 1) return handler as RuntimeHandler;
  return (request, origin) => handler(request, new ServeInfo(context, request, origin));
}
