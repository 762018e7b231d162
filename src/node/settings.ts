/**
 * Kernel options of a socket, which may be set before there is a connection.
 *
 * @module
 */

import {
  IP_TOS,
  IPV6_TCLASS,
  SOL_IP,
  SOL_IPV6,
  SOL_TCP,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
} from "../../ffi/linux/abi.ts";
import { check } from "../error.ts";
import { setIntOption } from "../poll/socket.ts";
import type { MptcpConn } from "../types.ts";
import type { KeepAliveOptions } from "./types.ts";

type KeepAlive = readonly [enable: boolean, delay: number, interval: number, count: number];

/** Settings of a socket: applied at once to an open connection, and kept for the next one. */
export class SocketSettings {
  #noDelay: boolean | null = null;
  #keepAlive: KeepAlive | null = null;
  #tos: number | null = null;

  /** The type of service; 0 if none was set. */
  get tos(): number {
    return this.#tos ?? 0;
  }

  setNoDelay(noDelay: boolean, conn: MptcpConn | null): void {
    this.#noDelay = noDelay;
    conn?.setNoDelay(noDelay);
  }

  /** Times are in milliseconds; 0 leaves the kernel's. */
  setKeepAlive(
    { enable, initialDelay = 0, interval = 0, count = 0 }: KeepAliveOptions,
    conn: MptcpConn | null,
  ): void {
    this.#keepAlive = [Boolean(enable), initialDelay, interval, count];
    if (conn !== null) setKeepAlive(conn, this.#keepAlive);
  }

  setTos(tos: number, conn: MptcpConn | null): void {
    this.#tos = tos;
    if (conn !== null) setTos(conn, tos);
  }

  /** Applies all to a new connection. The options of `connect` count where nothing was set. */
  apply(conn: MptcpConn, keepAlive?: boolean, keepAliveInitialDelay: number = 0): void {
    if (keepAlive !== undefined) this.#keepAlive ??= [keepAlive, keepAliveInitialDelay, 0, 0];
    if (this.#noDelay !== null) conn.setNoDelay(this.#noDelay);
    if (this.#keepAlive !== null) setKeepAlive(conn, this.#keepAlive);
    if (this.#tos !== null) setTos(conn, this.#tos);
  }
}

/** Keep-alive in the units of Node: milliseconds, of which whole seconds count. */
function setKeepAlive(
  conn: MptcpConn,
  [enable, ...times]: KeepAlive,
): void {
  conn.setKeepAlive(enable);
  if (!enable || conn.fd < 0) return;
  const [delay, interval, count] = times;
  const options = [
    ["TCP_KEEPIDLE", TCP_KEEPIDLE, Math.floor(delay / 1000)],
    ["TCP_KEEPINTVL", TCP_KEEPINTVL, Math.floor(interval / 1000)],
    ["TCP_KEEPCNT", TCP_KEEPCNT, count],
  ] as const;
  for (const [operation, option, value] of options) {
    if (value <= 0) continue;
    check("setsockopt", setIntOption(conn.fd, SOL_TCP, option, value), { operation });
  }
}

function setTos(conn: MptcpConn, tos: number): void {
  if (conn.fd < 0) return;
  const { hostname } = conn.localAddr;
  // An IPv6 socket accepts IP_TOS, for IPv4-mapped addresses alone.
  const [operation, level, option] = hostname.includes(":") && !hostname.startsWith("::ffff:")
    ? ["IPV6_TCLASS", SOL_IPV6, IPV6_TCLASS] as const
    : ["IP_TOS", SOL_IP, IP_TOS] as const;
  check("setsockopt", setIntOption(conn.fd, level, option, tos), { operation });
}
