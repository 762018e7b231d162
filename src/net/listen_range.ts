/**
 * Listening on a range of ports.
 *
 * @module
 */

import { type AddressOptions, optionsAt, parseAddress } from "./address.ts";
import { listenMptcp } from "./listen.ts";
import type { ListenMptcpOptions, MptcpListener, ParsedAddress } from "../types.ts";

/** What a listener on an address can have beyond what the address says. */
export type ListenRangeOptions = Omit<ListenMptcpOptions, "hostname" | "port" | "mptcp">;

/**
 * Listens on every port of an address as "*:8000-8010": on all, or on none.
 *
 * @returns The listeners in the order of their ports.
 * @throws {RangeError} when a range begins with port 0, which is none.
 * @throws {MptcpError} as `listenMptcp`, for the first port that fails.
 */
export function listenRange(
  address: ParsedAddress | string,
  options: ListenRangeOptions = {},
): MptcpListener[] {
  const where = typeof address === "string" ? parseAddress(address) : address;
  return listenOnEach(eachPort(where).map((one) => ({ ...options, ...one })));
}

/** The options for every port of an address. */
export function eachPort(address: ParsedAddress): AddressOptions[] {
  const { port: first = 0, lastPort: last = first } = address;
  if (first === 0 && last > 0) {
    throw new RangeError(`Invalid ports 0-${last}: a port range must begin at 1 or above`);
  }
  return Array.from({ length: last - first + 1 }, (_, i) => optionsAt(address, first + i));
}

/** Listens as all of these say, or as none of them. */
export function listenOnEach(all: readonly ListenMptcpOptions[]): MptcpListener[] {
  const listeners: MptcpListener[] = [];
  try {
    for (const options of all) listeners.push(listenMptcp(options));
    return listeners;
  } catch (error) {
    for (const listener of listeners) listener.close();
    throw error;
  }
}
