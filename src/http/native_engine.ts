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
import { type Engine, EngineRefusal, type Job } from "./engine.ts";
import { AnswerCompletion, followed } from "./completion.ts";
import { type Completion, createInfo, type ServeContext } from "./serve_info.ts";
import { mendMissingHost, type MendUrl } from "./missing_host.ts";
import { NODE_OPTIONS } from "./serve_options.ts";
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
  const mending: Mending = { mend: null };
  const server = serveOn(LOOPBACK, job, mending);
  try {
    const fd = graft(libc(), job.fd, LOOPBACK.hostname, server.port);
    libc().close(job.fd);
    runtimeHttp.showAddress(server.object, job.addr);
    mending.mend = mendUrls(server, job);
    return toEngine(fd, server, job);
  } catch (error) {
    // Nothing was accepted yet: this is the same piece of synchronous code.
    server.abort();
    if (error instanceof GraftError) throw new EngineRefusal(error.message);
    throw error;
  }
}

function toEngine(fd: number, server: RuntimeServer, job: Job): NativeEngine {
  const { object, ref, unref } = server;
  const cut = Promise.withResolvers<null>();
  const finished = Promise.race([server.finished, cut.promise]);
  let left: Descriptor[] | null = null;
  const forget = remember(job);
  void finished.then(forget);
  return {
    name: "native",
    fd,
    server: object,
    finished,
    shutdown() {
      if (!runtimeHttp.abortsAfterShutdown) left = connectionsOf(job);
      server.shutdown();
      if (runtimeHttp.waitsForSilent && job.connections !== null) endSilent(job.connections);
    },
    abort() {
      if (left === null) return server.abort();
      left.filter(isSame).forEach(end);
      // The runtime waits for handlers, which may never answer.
      cut.resolve(null);
    },
    setTls: null,
    ref,
    unref,
  };
}

/** The servers of this process by their ports. One that replaces its certificate has several engines. */
const servers = new Map<number, ConnectionTable[]>();

/** Notes an engine until the function that is given back is called. */
function remember({ addr: { port }, connections }: Job): () => void {
  if (connections === null) return () => {};
  const tables = servers.get(port) ?? [];
  tables.push(connections);
  servers.set(port, tables);
  return () => {
    tables.splice(tables.indexOf(connections), 1);
    if (tables.length === 0) servers.delete(port);
  };
}

/** A descriptor and what it was of: numbers get reused. */
interface Descriptor {
  readonly fd: number;
  readonly inode: number | null;
}

/**
 * The connections of a server. Where another one of this process shares the port, nothing tells whose
 * a connection is: none then.
 */
function connectionsOf({ addr, connections }: Job): Descriptor[] {
  if (connections === null) return [];
  const isAlone = servers.get(addr.port)?.every((table) => table === connections) ?? true;
  if (!isAlone) return [];
  return connections.all().map(identify);
}

function identify(fd: number): Descriptor {
  return { fd, inode: socketInode(libc(), fd) };
}

function isSame({ fd, inode }: Descriptor): boolean {
  return inode !== null && socketInode(libc(), fd) === inode;
}

function end({ fd }: Descriptor): void {
  libc().shutdown(fd, SHUT_RDWR);
}

/**
 * Ends the open connections that go on sending nothing. On its own sockets Bun sees
 * none of them, because it sets `TCP_DEFER_ACCEPT`: that would keep the further subflows of an MPTCP
 * connection from being taken for a second. Later connections belong to another server on the same port.
 */
async function endSilent(connections: ConnectionTable): Promise<void> {
  const silent = connections.all().filter(hasSentNothing).map(identify);
  if (silent.length === 0) return;
  // Whoever has just connected is about to send a request.
  await new Promise((resolve) => setTimeout(resolve, SILENCE).unref());
  for (const connection of silent) {
    if (isSame(connection) && hasSentNothing(connection.fd)) end(connection);
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

/** What is done to the requests of a server; it is known when the server listens. */
interface Mending {
  mend: MendUrl | null;
}

/** `null` where nothing needs to be done to the requests. */
function mendUrls({ hostname, port }: Address, { addr, tls }: Job): MendUrl | null {
  const hidden = runtimeHttp.missingHost(hostname, port);
  const shown = runtimeHttp.missingHost(addr.hostname, addr.port);
  if (hidden === null || shown === null) return null;
  const scheme = tls === null ? "http" : "https";
  return mendMissingHost(`${scheme}://${hidden}`, `${scheme}://${shown}`);
}

function serveOn(
  { hostname, port }: Address,
  job: Job,
  mending: Mending = { mend: null },
): RuntimeServer {
  const denied = runtimeHttp.serveDenied(hostname, port);
  if (denied !== null) throw new EngineRefusal(denied);
  const { addr, connections, fallback, onError, tls, native } = job;
  const option = NODE_OPTIONS.find((name) => job.options[name] !== undefined);
  if (option !== undefined) {
    throw new EngineRefusal(`the runtime's server does not support ${option}`);
  }
  const foreign = runtimeHttp.foreignTlsOption(tls);
  if (foreign !== null) {
    throw new EngineRefusal(`the runtime's server does not support tls.${foreign}`);
  }
  const { remoteAddr: remoteOf, handlersGetServer: isServer } = runtimeHttp;
  const context: ServeContext = { addr, connections, fallback, remoteOf, isServer, server: null };
  try {
    const server = runtimeHttp.serve({
      hostname,
      port,
      handler: toRuntimeHandler(job.handler, context, mending),
      onError,
      tls,
      extra: native,
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

function toRuntimeHandler(
  handler: ServeMptcpHandler,
  context: ServeContext,
  mending: Mending,
): RuntimeHandler {
  if (runtimeHttp.tellsCompletion) {
    return (given, origin) => {
      const request = mending.mend === null ? given : mending.mend(given);
      return handler(request, createInfo(context, request, origin, origin as Completion));
    };
  }
  return (request, origin) => {
    const completion = new AnswerCompletion();
    const answer = handler(request, createInfo(context, request, origin, completion));
    // Without a promise where the handler has none: it would cost a turn for each request.
    return answer instanceof Response
      ? followed(answer, request, completion)
      : Promise.resolve(answer).then((response) => followed(response, request, completion));
  };
}
