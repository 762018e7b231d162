/**
 * The header of the PROXY protocol, versions 1 and 2, with which a proxy passes on the client's address:
 * https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 *
 * @module
 */

import { AF_INET } from "../../ffi/linux/abi.ts";
import {
  formatIp,
  type IpAddress,
  isIpv4Mapped,
  parseIp,
  toIpv4Mapped,
} from "../../ffi/linux/sockaddr.ts";
import { MptcpError } from "../error.ts";
import { show } from "../show.ts";
import type { NetAddr } from "../types.ts";
import type { ProxyHeaderVersion } from "./types.ts";

/** Both ends of the connection between the client and the first proxy. */
export interface HeaderAddresses {
  readonly source: NetAddr;
  readonly destination: NetAddr;
}

/** A header that is complete. */
export interface ProxyHeader {
  /** How many bytes it has. Further bytes are the client's. */
  readonly length: number;
  /** `null` where it says nothing of a client: the proxy's own connection, or no TCP. */
  readonly addresses: HeaderAddresses | null;
}

const SIGNATURE = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10);
const TEXT_SIGNATURE = new TextEncoder().encode("PROXY ");
/** The longest header of version 1, with its CR LF. */
const MAX_TEXT_LENGTH = 107;
const CR = 13;
const LF = 10;

/** Where the fields of version 2 begin. */
const COMMAND = 12;
const FAMILY = 13;
const LENGTH = 14;
const ADDRESSES = 16;

const VERSION_2 = 0x20;
const LOCAL = 0;
const PROXY = 1;
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;
/** The bytes of both addresses and ports, by family: none, IPv4, IPv6, Unix. */
const ADDRESS_LENGTHS: readonly number[] = [0, 12, 36, 216];
/** The highest number of a transport: none, stream, datagram. */
const MAX_TRANSPORT = 2;

/**
 * Reads the header at the beginning of what a client has sent.
 *
 * @param bytes All that has come so far.
 * @param maxLength The longest header that is taken.
 * @returns The header; `null` while more has to come.
 * @throws {MptcpError} code "ERR_PROXY_HEADER" as soon as it cannot become one.
 */
export function parseProxyHeader(bytes: Uint8Array, maxLength: number): ProxyHeader | null {
  if (beginsLike(bytes, TEXT_SIGNATURE)) return parseText(bytes, maxLength);
  if (beginsLike(bytes, SIGNATURE)) return parseBinary(bytes, maxLength);
  throw headerError("the connection does not begin with one");
}

/** Whether the bytes are a signature, or as much of it as there are. */
function beginsLike(bytes: Uint8Array, signature: Uint8Array): boolean {
  const count = Math.min(bytes.byteLength, signature.byteLength);
  for (let i = 0; i < count; i++) if (bytes[i] !== signature[i]) return false;
  return true;
}

/** The error for a header that is none. */
export function headerError(problem: string): MptcpError {
  return new MptcpError(`PROXY protocol header: ${problem}`, { code: "ERR_PROXY_HEADER" });
}

function parseText(bytes: Uint8Array, maxLength: number): ProxyHeader | null {
  const limit = Math.min(maxLength, MAX_TEXT_LENGTH);
  const end = bytes.subarray(0, limit).indexOf(LF);
  if (end < 0) {
    if (bytes.byteLength < limit) return null;
    throw headerError(`no end of line in its first ${limit} bytes`);
  }
  if (bytes[end - 1] !== CR) throw headerError("its line ends without a CR");
  const line = String.fromCharCode(...bytes.subarray(0, end - 1));
  return { length: end + 1, addresses: parseLine(line) };
}

function parseLine(line: string): HeaderAddresses | null {
  if (/^PROXY UNKNOWN( |$)/.test(line)) return null;
  const fields = line.split(" ");
  const [, family, source, destination, sourcePort, destinationPort] = fields as string[] & {
    length: 6;
  };
  if (fields.length !== 6 || (family !== "TCP4" && family !== "TCP6")) {
    throw headerError(`expected "PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT", got ${show(line)}`);
  }
  return {
    source: parseEnd(family, source!, sourcePort!),
    destination: parseEnd(family, destination!, destinationPort!),
  };
}

function parseEnd(family: "TCP4" | "TCP6", host: string, port: string): NetAddr {
  const ip = parseIp(host);
  // In brackets, or with a zone, it is an address elsewhere.
  if (ip === null || /[[%]/.test(host) || (ip.family === AF_INET) !== (family === "TCP4")) {
    throw headerError(`${show(host)} is not an address of ${family}`);
  }
  if (!/^(0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65535) {
    throw headerError(`${show(port)} is not a port`);
  }
  return toNetAddr(ip.bytes, Number(port));
}

function toNetAddr(address: Uint8Array, port: number): NetAddr {
  const plain = isIpv4Mapped(address) ? address.subarray(-4) : address;
  return { transport: "tcp", hostname: formatIp(plain), port };
}

function parseBinary(bytes: Uint8Array, maxLength: number): ProxyHeader | null {
  if (bytes.byteLength > COMMAND) checkCommand(bytes[COMMAND]!);
  if (bytes.byteLength > FAMILY) checkFamily(bytes[FAMILY]!);
  if (bytes.byteLength < ADDRESSES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rest = view.getUint16(LENGTH);
  const length = ADDRESSES + rest;
  if (length > maxLength) throw headerError(`${length} bytes exceed the limit of ${maxLength}`);
  const isProxied = (bytes[COMMAND]! & 15) === PROXY;
  const needed = ADDRESS_LENGTHS[bytes[FAMILY]! >> 4]!;
  if (isProxied && rest < needed) {
    throw headerError(`its addresses have ${rest} bytes instead of ${needed}`);
  }
  if (bytes.byteLength < length) return null;
  return { length, addresses: isProxied ? readAddresses(bytes, view) : null };
}

function checkCommand(byte: number): void {
  const command = byte & 15;
  if ((byte & 0xf0) !== VERSION_2) throw headerError(`unknown version ${byte >> 4}`);
  if (command !== LOCAL && command !== PROXY) throw headerError(`unknown command ${command}`);
}

function checkFamily(byte: number): void {
  if (byte >> 4 >= ADDRESS_LENGTHS.length || (byte & 15) > MAX_TRANSPORT) {
    throw headerError(`unknown family 0x${byte.toString(16).padStart(2, "0")}`);
  }
}

/** The addresses of TCP; `null` for anything else. Further fields (TLVs) are ignored. */
function readAddresses(bytes: Uint8Array, view: DataView): HeaderAddresses | null {
  const family = bytes[FAMILY]!;
  if (family !== TCP_OVER_IPV4 && family !== TCP_OVER_IPV6) return null;
  const size = family === TCP_OVER_IPV4 ? 4 : 16;
  const end = (at: number, port: number): NetAddr =>
    toNetAddr(bytes.slice(at, at + size), view.getUint16(port));
  const ports = ADDRESSES + 2 * size;
  return { source: end(ADDRESSES, ports), destination: end(ADDRESSES + size, ports + 2) };
}

/** The header that says who the client is. */
export function formatProxyHeader(
  version: ProxyHeaderVersion,
  { source, destination }: HeaderAddresses,
): Uint8Array {
  const ends = [parseIp(withoutZone(source))!, parseIp(withoutZone(destination))!] as const;
  const isIpv4 = ends.every(({ family }) => family === AF_INET);
  // Both are of one family. An IPv4 address beside an IPv6 one can only be written as a mapped one.
  const [from, to] = ends.map(({ family, bytes }: IpAddress) =>
    family === AF_INET && !isIpv4 ? toIpv4Mapped(bytes) : bytes
  ) as [Uint8Array, Uint8Array];
  if (version === "v1") {
    const hosts = `${formatIp(from)} ${formatIp(to)}`;
    return new TextEncoder().encode(
      `PROXY ${isIpv4 ? "TCP4" : "TCP6"} ${hosts} ${source.port} ${destination.port}\r\n`,
    );
  }
  const header = new Uint8Array(ADDRESSES + 2 * from.byteLength + 4);
  const view = new DataView(header.buffer);
  header.set(SIGNATURE);
  header[COMMAND] = VERSION_2 | PROXY;
  header[FAMILY] = isIpv4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6;
  view.setUint16(LENGTH, header.byteLength - ADDRESSES);
  header.set(from, ADDRESSES);
  header.set(to, ADDRESSES + from.byteLength);
  const ports = ADDRESSES + 2 * from.byteLength;
  view.setUint16(ports, source.port);
  view.setUint16(ports + 2, destination.port);
  return header;
}

/** A link-local address means something on this machine alone by its zone, which has no place here. */
function withoutZone({ hostname }: NetAddr): string {
  return hostname.replace(/%.*/, "");
}
