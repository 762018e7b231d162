/**
 * The native engine: `Deno.serve` or `Bun.serve`, grafted onto our socket.
 *
 * @module
 */

import { setTimeout } from "node:timers";
import { SHUT_RDWR } from "../../ffi/linux/abi.ts";
import type { RuntimeHandler, RuntimeServer } from "../../ffi/http.ts";
import { graft, GraftError } from "../../ffi/guest/graft.ts";
import { socketInode } from "../../ffi/linux/procfs.ts";
import { runtimeHttp } from "../../ffi/runtime_http.ts";
import { libc } from "../../ffi/runtime.ts";
import { readMptcpInfo, wireProtocol } from "../kernel/info.ts";
import { readTcpInfo } from "../kernel/tcp_info.ts";
import type { ConnectionTable } from "./connections.ts";
import { type Engine, EngineRefusal, type Job, tlsOf } from "./engine.ts";
import { type ServeContext, ServeInfo } from "./serve_info.ts";
import type { ServeMptcpHandler } from "./types.ts";

/** Where the runtime listens until the graft is done. */
const LOOPBACK = { hostname: "127.0.0.1", port: 0 } as const;

/** How long a connection may be silent while the server shuts down, in milliseconds. */
const SILENCE = 500;

/** The native engine, and the runtime's descriptor, which is our socket now. */
export interface NativeEngine extends Engine {
  /** Borrowed: the runtime closes it. -1 where it listens on a socket of its own. */
  readonly fd: number;
}

/** Starts the runtime's server on the job's socket; throws an `EngineRefusal` where that cannot be. */
export function startNative(job: Job): NativeEngine {
  if (job.fd < 0) return toEngine(-1, serveOn(job.addr, job), job);
  const server = serveOn(LOOPBACK, job);
  try {
    const fd = graft(libc(), job.fd, LOOPBACK.hostname, server.port);
    libc().close(job.fd);
    return toEngine(fd, server, job);
  } catch (error) {
    // Nothing was accepted yet: this is the same piece of synchronous code.
    server.abort();
    if (error instanceof GraftError) throw new EngineRefusal(error.message);
    throw error;
  }
}

function toEngine(fd: number, server: RuntimeServer, job: Job): NativeEngine {
  const { object, finished, abort, ref, unref } = server;
  const shutdown = () => {
    server.shutdown();
    if (runtimeHttp.waitsForSilent && job.connections !== null) endSilent(job.connections);
  };
  return { name: "native", fd, server: object, finished, shutdown, abort, ref, unref };
}

/**
 * Ends the connections that go on sending nothing, of those that there are. On its own sockets Bun sees
 * none of them, because it sets `TCP_DEFER_ACCEPT`: that would keep the further subflows of an MPTCP
 * connection from being taken for a second. What comes later is another server's on the same port.
 */
async function endSilent(connections: ConnectionTable): Promise<void> {
  const silent = connections.all().filter(hasSentNothing)
    .map((fd) => ({ fd, inode: socketInode(libc(), fd) }));
  if (silent.length === 0) return;
  // Whoever has just connected is about to send a request.
  await new Promise((resolve) => setTimeout(resolve, SILENCE).unref());
  for (const { fd, inode } of silent) {
    // Numbers get reused.
    const isSame = inode !== null && socketInode(libc(), fd) === inode;
    if (isSame && hasSentNothing(fd)) libc().shutdown(fd, SHUT_RDWR);
  }
}

function hasSentNothing(fd: number): boolean {
  const info = wireProtocol(fd) === "mptcp" ? readMptcpInfo(fd) : readTcpInfo(fd);
  return info?.bytesReceived === 0;
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
