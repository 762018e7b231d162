/**
 * `createConnection`.
 *
 * @module
 */

import { normalizeArguments } from "./arguments.ts";
import { MptcpSocket } from "./socket.ts";
import type { CreateConnectionOptions, MptcpSocketConnectOptions } from "./types.ts";

/**
 * Creates a socket and connects it, like `net.createConnection`. It takes options, or port and host.
 *
 * @param options Where to connect to, and how.
 * @param onConnect Called when the connection is established.
 * @returns The connecting socket. Failures are emitted as an "error" event.
 * @throws {TypeError} if an option has the wrong type (codes "ERR_INVALID_ARG_TYPE", "ERR_MISSING_ARGS").
 * @throws {RangeError} if the port is not 0 to 65535 (code "ERR_SOCKET_BAD_PORT").
 * @throws {MptcpError} code "ERR_UNSUPPORTED" for the path of a Unix socket.
 *
 * @example
 * ```ts
 * import { once } from "node:events";
 * import { listenMptcp } from "@multipath/mptcp";
 * import { createConnection } from "@multipath/mptcp/node";
 *
 * using listener = listenMptcp({ hostname: "127.0.0.1" });
 * const socket = createConnection({ port: listener.addr.port, host: "127.0.0.1" });
 * await once(socket, "connect");
 * console.log(socket.protocol, socket.fallback?.detail);
 * socket.destroy();
 * ```
 */
export function createConnection(
  options: CreateConnectionOptions,
  onConnect?: () => void,
): MptcpSocket;
/** By port and host. */
export function createConnection(
  port: number | string,
  host?: string,
  onConnect?: () => void,
): MptcpSocket;
/** By a port of this machine. */
export function createConnection(port: number | string, onConnect?: () => void): MptcpSocket;
export function createConnection(...args: unknown[]): MptcpSocket {
  const [options, onConnect] = normalizeArguments(args);
  const given = options as unknown as CreateConnectionOptions;
  const socket = new MptcpSocket(given);
  if (given.timeout) socket.setTimeout(given.timeout);
  return socket.connect(given as MptcpSocketConnectOptions, onConnect ?? undefined);
}
