/**
 * Addresses as `node:net` gives them.
 *
 * @module
 */

import type { NetAddr } from "../types.ts";
import type { SocketAddressInfo } from "./types.ts";

/** The family of an address, by its name in Node. */
export function familyOf({ hostname }: NetAddr): "IPv4" | "IPv6" {
  return hostname.includes(":") ? "IPv6" : "IPv4";
}

/** An address as `node:net` gives it. */
export function toAddressInfo(addr: NetAddr): SocketAddressInfo {
  return { address: addr.hostname, family: familyOf(addr), port: addr.port };
}
