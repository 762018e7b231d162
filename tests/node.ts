/**
 * Servers and sockets of `node:net` by this module's, for tests.
 *
 * @module
 */

import { type EventEmitter, once } from "node:events";
import { wireProtocol } from "../src/kernel/info.ts";
import {
  createConnection,
  type CreateConnectionOptions,
  createServer,
  type MptcpSocket,
  type MptcpSocketServer,
  type MptcpSocketServerOptions,
} from "../src/node/mod.ts";

/** A server that listens on a free port of an address. */
export async function listening(
  options: MptcpSocketServerOptions,
  onConnection: (socket: MptcpSocket) => void = () => {},
  host = "127.0.0.1",
): Promise<{ server: MptcpSocketServer; port: number }> {
  const server = createServer(options, onConnection);
  server.listen(0, host);
  await once(server, "listening");
  return { server, port: server.address()!.port };
}

/** Two ends of a connection, and how both are closed. */
export interface SocketPair extends AsyncDisposable {
  readonly client: MptcpSocket;
  readonly served: MptcpSocket;
}

/** A connection over loopback, with the server's end. */
export async function socketPair(
  serverOptions: MptcpSocketServerOptions = {},
  options: Partial<CreateConnectionOptions> = {},
  host = "127.0.0.1",
): Promise<SocketPair> {
  const { server, port } = await listening(serverOptions, undefined, host);
  const accepted = once(server, "connection");
  const client = createConnection({ port, host, ...options });
  const [[served]] = await Promise.all([accepted, once(client, "connect")]);
  server.close();
  return {
    client,
    served,
    async [Symbol.asyncDispose]() {
      await Promise.all([client, served].map(closed));
    },
  };
}

/** Destroys a socket and waits until it is closed. */
export async function closed(socket: MptcpSocket): Promise<void> {
  if (socket.destroyed) return;
  const closing = new Promise((resolve) => socket.once("close", resolve));
  socket.destroy();
  await closing;
}

/** Waits until a socket is closed, unless it is. */
export async function untilClosed(socket: MptcpSocket): Promise<void> {
  if (!socket.destroyed) await once(socket, "close");
}

/** What the kernel says that a descriptor speaks. */
export { wireProtocol };

/** The names of the events that an emitter emits, in order. */
export function eventsOf(emitter: EventEmitter, names: readonly string[]): string[] {
  const seen: string[] = [];
  for (const name of names) emitter.on(name, () => seen.push(name));
  return seen;
}

/** All that comes from a socket until its end, as text. */
export async function textOf(socket: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += new TextDecoder().decode(chunk);
  return text;
}

/** The error of a socket that fails. */
export async function errorOf(emitter: EventEmitter): Promise<Error & Record<string, unknown>> {
  const [error] = await once(emitter, "error").catch((error) => [error]);
  return error;
}
