/**
 * Socket addresses as text and as the bytes of `struct sockaddr_in` and `struct sockaddr_in6`.
 *
 * @module
 */

import { AF_INET, AF_INET6, AF_UNIX, sockaddr_in, sockaddr_in6, sockaddr_un } from "./abi.ts";

/** An IP address: 4 or 16 bytes in network order, and for IPv6 the zone behind the `%`. */
export interface IpAddress {
  readonly family: typeof AF_INET | typeof AF_INET6;
  readonly bytes: Uint8Array;
  /** "eth0" or "2" in `fe80::1%eth0`; empty where there is none. */
  readonly zone: string;
}

/** What a sockaddr says. An IPv4-mapped IPv6 address is given as the IPv4 address that it is. */
export interface DecodedSockaddr {
  readonly hostname: string;
  readonly port: number;
  readonly family: typeof AF_INET | typeof AF_INET6;
}

const DECIMAL_BYTE = /^(?:0|[1-9]\d{0,2})$/;
const HEX_GROUP = /^[0-9a-f]{1,4}$/i;
/** What the kernel takes as the name of an interface, but for what delimits an address. */
const ZONE = /^[^\s\0/:%[\]]+$/;

/** Reads an IPv4 or IPv6 literal, with or without brackets; `null` if the text is neither. */
export function parseIp(text: string): IpAddress | null {
  if (text.startsWith("[") && text.endsWith("]")) return parseIpv6(text.slice(1, -1));
  const v4 = parseIpv4Bytes(text);
  if (v4 !== null) return { family: AF_INET, bytes: v4, zone: "" };
  return parseIpv6(text);
}

function parseIpv4Bytes(text: string): Uint8Array | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  const bytes = new Uint8Array(4);
  for (const [i, part] of parts.entries()) {
    if (!DECIMAL_BYTE.test(part) || Number(part) > 255) return null;
    bytes[i] = Number(part);
  }
  return bytes;
}

function parseIpv6(text: string): IpAddress | null {
  const percent = text.indexOf("%");
  const zone = percent < 0 ? "" : text.slice(percent + 1);
  if (percent >= 0 && !ZONE.test(zone)) return null;
  const bytes = parseIpv6Bytes(percent < 0 ? text : text.slice(0, percent));
  return bytes === null ? null : { family: AF_INET6, bytes, zone };
}

function parseIpv6Bytes(text: string): Uint8Array | null {
  const halves = text.split("::");
  if (halves.length > 2 || !text.includes(":")) return null;
  const head = parseGroups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1]!, true) : [];
  if (head === null || tail === null) return null;
  const missing = 16 - head.length - tail.length;
  // "::" stands for at least one group of zeros.
  if (halves.length === 1 ? missing !== 0 : missing < 2) return null;
  const bytes = new Uint8Array(16);
  bytes.set(head, 0);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

/** The bytes of colon-separated groups; only the last may be a dotted IPv4 address. */
function parseGroups(text: string, mayEndInIpv4: boolean): number[] | null {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [i, group] of groups.entries()) {
    const v4 = mayEndInIpv4 && i === groups.length - 1 ? parseIpv4Bytes(group) : null;
    if (v4 !== null) {
      bytes.push(...v4);
    } else if (HEX_GROUP.test(group)) {
      const value = parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else {
      return null;
    }
  }
  return bytes;
}

/** The text of 4 or 16 address bytes; IPv6 in the form of RFC 5952. */
export function formatIp(bytes: Uint8Array): string {
  return bytes.length === 4 ? bytes.join(".") : formatIpv6(bytes);
}

function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  const [start, length] = longestZeroRun(groups);
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (length < 2) return hex(groups);
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

function longestZeroRun(groups: number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0];
  for (let i = 0, run = 0; i < groups.length; i++) {
    run = groups[i] === 0 ? run + 1 : 0;
    if (run > best[1]) best = [i - run + 1, run];
  }
  return best;
}

/** True for `::ffff:a.b.c.d`. */
export function isIpv4Mapped(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff &&
    bytes.subarray(0, 10).every((byte) => byte === 0);
}

/** `::ffff:a.b.c.d` of an IPv4 address. */
export function toIpv4Mapped(v4: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes[10] = bytes[11] = 0xff;
  bytes.set(v4, 12);
  return bytes;
}

/**
 * Builds a sockaddr: `sockaddr_in` of 4 address bytes, `sockaddr_in6` of 16. `scopeId` is the
 * interface index of a link-local address.
 */
export function encodeSockaddr(address: Uint8Array, port: number, scopeId = 0): Uint8Array {
  return address.length === 4
    ? encodeSockaddrIn(address, port)
    : encodeSockaddrIn6(address, port, scopeId);
}

function encodeSockaddrIn(address: Uint8Array, port: number): Uint8Array {
  const buf = new Uint8Array(sockaddr_in.size);
  const view = new DataView(buf.buffer);
  view.setUint16(sockaddr_in.sin_family, AF_INET, true);
  view.setUint16(sockaddr_in.sin_port, port, false);
  buf.set(address, sockaddr_in.sin_addr);
  return buf;
}

function encodeSockaddrIn6(address: Uint8Array, port: number, scopeId: number): Uint8Array {
  const buf = new Uint8Array(sockaddr_in6.size);
  const view = new DataView(buf.buffer);
  view.setUint16(sockaddr_in6.sin6_family, AF_INET6, true);
  view.setUint16(sockaddr_in6.sin6_port, port, false);
  buf.set(address, sockaddr_in6.sin6_addr);
  view.setUint32(sockaddr_in6.sin6_scope_id, scopeId, true);
  return buf;
}

/** Builds the sockaddr of an abstract Unix socket: a name in the network namespace, and no file. */
export function encodeAbstractSockaddr(name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  // A zero byte before the name makes it abstract, and the length of the whole ends it.
  const buf = new Uint8Array(sockaddr_un.sun_path + 1 + bytes.byteLength);
  new DataView(buf.buffer).setUint16(sockaddr_un.sun_family, AF_UNIX, true);
  buf.set(bytes, sockaddr_un.sun_path + 1);
  return buf;
}

/** Reads a sockaddr that the kernel wrote. Other families than IPv4 and IPv6 throw a `TypeError`. */
export function decodeSockaddr(buf: Uint8Array): DecodedSockaddr {
  const view = new DataView(buf.buffer, buf.byteOffset, buf.byteLength);
  const family = view.getUint16(0, true);
  // Both families have the port at the same place.
  const port = view.getUint16(sockaddr_in.sin_port, false);
  if (family === AF_INET) {
    const bytes = buf.subarray(sockaddr_in.sin_addr, sockaddr_in.sin_addr + 4);
    return { hostname: formatIp(bytes), port, family };
  }
  if (family !== AF_INET6) throw new TypeError(`Address family ${family} is not IPv4 or IPv6`);
  const bytes = buf.subarray(sockaddr_in6.sin6_addr, sockaddr_in6.sin6_addr + 16);
  if (isIpv4Mapped(bytes)) return { hostname: formatIp(bytes.subarray(12)), port, family };
  const scopeId = view.getUint32(sockaddr_in6.sin6_scope_id, true);
  const zone = scopeId === 0 ? "" : `%${scopeId}`;
  return { hostname: formatIp(bytes) + zone, port, family };
}

/** The interface index of an IPv6 sockaddr; 0 for none, and for IPv4. */
export function zoneOf(buf: Uint8Array): number {
  if (buf[0] !== AF_INET6) return 0;
  return new DataView(buf.buffer, buf.byteOffset).getUint32(sockaddr_in6.sin6_scope_id, true);
}

/** Gives the sockaddr of a link-local address a zone if it has none, in place. */
export function addZone(buf: Uint8Array, zone: number): Uint8Array {
  if (zone !== 0 && buf[0] === AF_INET6 && zoneOf(buf) === 0 && isLinkLocal(sockaddrAddress(buf))) {
    new DataView(buf.buffer, buf.byteOffset).setUint32(sockaddr_in6.sin6_scope_id, zone, true);
  }
  return buf;
}

/** True for fe80::/10, of which every interface has addresses: only a zone says which is meant. */
export function isLinkLocal(address: Uint8Array): boolean {
  return address.length === 16 && address[0] === 0xfe && (address[1]! & 0xc0) === 0x80;
}

/** The 4 or 16 address bytes of a sockaddr, as they are: mapped ones are 16. */
export function sockaddrAddress(buf: Uint8Array): Uint8Array {
  const v6 = buf[0] === AF_INET6;
  const at = v6 ? sockaddr_in6.sin6_addr : sockaddr_in.sin_addr;
  return buf.slice(at, at + (v6 ? 16 : 4));
}
