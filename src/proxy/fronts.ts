/**
 * The listeners of a proxy.
 *
 * @module
 */

import { parseAddress } from "../address.ts";
import { listenMptcp } from "../listen.ts";
import type { ListenMptcpOptions, MptcpListener } from "../types.ts";
import type { CheckedProxyOptions } from "./options.ts";

/** Listens on every address and port, or on none and throws. */
export function listenOnAll(options: CheckedProxyOptions): MptcpListener[] {
  const { front, reusePort = false, tcpBacklog, socketOptions = {} } = options;
  const fronts = (Array.isArray(front) ? front : [front]) as readonly (
    | string
    | ListenMptcpOptions
  )[];
  if (fronts.length === 0) throw new TypeError("Invalid front: expected at least one address");
  const listeners: MptcpListener[] = [];
  try {
    for (const one of fronts.flatMap(toPorts)) {
      const own = { ...socketOptions, ...one.socketOptions };
      const backlog = tcpBacklog === undefined ? {} : { tcpBacklog };
      listeners.push(listenMptcp({ reusePort, ...backlog, ...one, socketOptions: own }));
    }
  } catch (error) {
    for (const listener of listeners) listener.close();
    throw error;
  }
  return listeners;
}

/** What `listenMptcp` takes, for each port of a range. */
function toPorts(front: string | ListenMptcpOptions): ListenMptcpOptions[] {
  if (typeof front !== "string") return [front];
  const { port = 0, lastPort = port, hostname, mptcp, family } = parseAddress(front);
  return Array.from({ length: lastPort - port + 1 }, (_, i) => ({
    mptcp,
    family,
    port: port + i,
    ...(hostname !== "" && { hostname }),
  }));
}
