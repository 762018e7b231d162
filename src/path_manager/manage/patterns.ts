/**
 * Patterns that choose interfaces and addresses.
 *
 * @module
 */

import { parseIp } from "../../../ffi/linux/sockaddr.ts";

/** What a pattern is held against. */
export interface Choosable {
  readonly device: string;
  /** Undefined for an interface without an address. */
  readonly address: string | undefined;
}

/** Says whether something is chosen. */
export type Matcher = (what: Choosable) => boolean;

/**
 * The matcher of a pattern: an address, a network as "10.0.0.0/8", or the name of an interface, in
 * which "*" stands for any characters and "?" for one.
 *
 * @throws {TypeError} for a pattern that can match nothing.
 */
export function matcherOf(pattern: string): Matcher {
  if (typeof pattern !== "string" || pattern === "" || /\s/.test(pattern)) {
    throw new TypeError(
      `Invalid pattern ${
        JSON.stringify(pattern)
      }: expected the name of an interface, an address or ` +
        "a network",
    );
  }
  const [host, length] = pattern.split("/") as [string, string?];
  const ip = parseIp(host)?.bytes;
  if (ip !== undefined) return networkMatcher(pattern, ip, length);
  if (length !== undefined) throw new TypeError(`Invalid pattern "${pattern}": no such network`);
  const source = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*").replaceAll("?", ".");
  const regexp = new RegExp(`^${source}$`);
  return ({ device }) => regexp.test(device);
}

function networkMatcher(pattern: string, network: Uint8Array, length: string | undefined): Matcher {
  const bits = length === undefined ? 8 * network.byteLength : Number(length);
  if (!Number.isInteger(bits) || bits < 0 || bits > 8 * network.byteLength) {
    throw new TypeError(`Invalid pattern "${pattern}": no such length of a prefix`);
  }
  return ({ address }) => {
    const bytes = address === undefined ? undefined : parseIp(address)?.bytes;
    return bytes?.byteLength === network.byteLength && samePrefix(bytes, network, bits);
  };
}

function samePrefix(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  for (let i = 0; i < bits; i++) {
    const mask = 0x80 >> i % 8;
    if ((a[i >> 3]! & mask) !== (b[i >> 3]! & mask)) return false;
  }
  return true;
}
