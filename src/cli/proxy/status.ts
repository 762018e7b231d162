/**
 * The counters of `mptcp proxy` over HTTP: `curl --unix-socket PATH http://proxy/`.
 *
 * @module
 */

import { once } from "node:events";
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import process from "node:process";
import type { MptcpProxy } from "../../proxy/types.ts";
import { plain } from "./log.ts";
import type { StatusPlace } from "./options.ts";

/** Serves until it is disposed of; nothing, where there is no place for it. */
export async function serveStatus(
  place: StatusPlace | null,
  proxy: MptcpProxy,
): Promise<AsyncDisposable> {
  if (place === null) return { [Symbol.asyncDispose]: () => Promise.resolve() };
  const server = createServer((request, response) => answer(request, response, proxy));
  if ("path" in place) await listenOnPath(server, place.path);
  else {
    server.listen(place);
    await once(server, "listening");
  }
  return {
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      if (server.listening) await once(server, "close");
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse, proxy: MptcpProxy): void {
  const { pathname } = new URL(request.url ?? "/", "http://proxy");
  const body = pathname === "/" ? status(proxy) : connectionsAt(pathname, proxy);
  response.writeHead(body === null ? 404 : 200, {
    "content-type": "application/json",
    "cache-control": "no-store",
    "connection": "close",
  });
  response.end(`${JSON.stringify(body ?? { error: "try / and /connections" }, null, 2)}\n`);
}

function status(proxy: MptcpProxy): object {
  const { rss } = process.memoryUsage();
  return { pid: process.pid, memory: rss, ...plain(proxy.stats()) };
}

function connectionsAt(pathname: string, proxy: MptcpProxy): object | null {
  return pathname === "/connections" ? proxy.connections() : null;
}

async function listenOnPath(server: Server, path: string): Promise<void> {
  await removeStale(path);
  server.listen({ path });
  await once(server, "listening");
  // It reveals the clients, so only the user that runs the proxy may read it.
  chmodSync(path, 0o600);
}

/** Removes the socket of a proxy that was killed; of one that answers, never. */
async function removeStale(path: string): Promise<void> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return;
  const socket = connect({ path });
  try {
    await once(socket, "connect");
  } catch (error) {
    if ((error as { code?: string }).code === "ECONNREFUSED") unlinkSync(path);
    return;
  } finally {
    socket.destroy();
  }
}
