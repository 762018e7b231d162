/**
 * The listeners of a proxy.
 *
 * @module
 */

import { parseAddress } from "../net/address.ts";
import { eachPort, listenOnEach } from "../net/listen_range.ts";
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
  const shared = { reusePort, ...(tcpBacklog !== undefined && { tcpBacklog }) };
  return listenOnEach(
    fronts.flatMap(toPorts).map((one) => ({
      ...(one.fd === undefined && shared),
      ...one,
      socketOptions: { ...socketOptions, ...one.socketOptions },
    })),
  );
}

/** What `listenMptcp` takes, for each port of a range. */
function toPorts(front: string | ListenMptcpOptions): ListenMptcpOptions[] {
  return typeof front === "string" ? eachPort(parseAddress(front)) : [front];
}
