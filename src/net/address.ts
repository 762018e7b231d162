/**
 * Addresses as users write them: checked, taken apart, resolved.
 *
 * @module
 */

import { AF_INET, AF_INET6 } from "../../ffi/linux/abi.ts";
import { eaiError } from "../../ffi/linux/errno.ts";
import { isNetDenied, libc } from "../../ffi/runtime.ts";
import { decodeSockaddr, encodeSockaddr, isLinkLocal, parseIp } from "../../ffi/linux/sockaddr.ts";
import { check, MptcpError } from "../error.ts";
import { inNetns } from "../poll/socket.ts";
import { formatHostPort, show } from "../show.ts";
import type { ListenMode, ParsedAddress } from "../types.ts";

/** An IP address and port to bind or connect to. */
export interface Target {
  /** `AF_INET` or `AF_INET6`. */
  readonly family: number;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  /** The interface index of a link-local address; 0 otherwise. */
  readonly scopeId: number;
  /** The address as text. */
  readonly hostname: string;
}

/** The families that a name is looked up in: 4, 6, or both. */
export type Family = 4 | 6 | undefined;

/** The port as a number. Texts of digits are taken, as `Deno.connect` does. */
export function checkPort(port: unknown): number {
  const number = typeof port === "string" && /^\d+$/.test(port) ? Number(port) : port;
  if (!Number.isInteger(number)) {
    throw new TypeError(`Invalid port: ${show(port)}`);
  }
  if ((number as number) < 0 || (number as number) > 65535) {
    throw new RangeError(`Invalid port (out of range): ${number}`);
  }
  return number as number;
}

/** The host as it is, if it can be one. */
export function checkHostname(hostname: unknown, what = "hostname"): string {
  if (typeof hostname !== "string") {
    throw new TypeError(`Invalid ${what}: expected a string, got ${show(hostname)}`);
  }
  if (hostname === "") throw new TypeError(`Invalid ${what}: it is empty`);
  if (hostname.includes("\0")) {
    throw new TypeError(`Invalid ${what}: ${show(hostname)} has a zero byte`);
  }
  return hostname;
}

/** Throws for what `--deny-net` denies. */
export function checkNetPermission(hostname: string, port: number): void {
  if (!isNetDenied(hostname, port)) return;
  const where = formatHostPort(hostname, port);
  throw new MptcpError(`Requires net access to "${where}", which --deny-net denies`, {
    name: "NotCapable",
    code: "EACCES",
    address: hostname,
    port,
  });
}

/** The target of an IP literal; `null` for a name. A zone is an interface of the namespace. */
export function literalTarget(hostname: string, port: number, netns?: string): Target | null {
  const ip = parseIp(hostname);
  if (ip === null) return null;
  if (ip.family === AF_INET) {
    return { family: AF_INET, address: ip.bytes, port, scopeId: 0, hostname };
  }
  const scopeId = ip.zone === "" ? 0 : zoneToScopeId(ip.zone, hostname, netns);
  const text = decodeSockaddr(encodeSockaddr(ip.bytes, port, scopeId)).hostname;
  return { family: ip.family, address: ip.bytes, port, scopeId, hostname: text };
}

function zoneToScopeId(zone: string, hostname: string, netns?: string): number {
  if (/^\d{1,9}$/.test(zone)) return Number(zone);
  return check("if_nametoindex", inNetns(netns, () => libc().if_nametoindex(zone)), {
    address: hostname,
    advice: `"${zone}" is not a network interface here`,
  });
}

/** What to do about EINVAL for an address; `null` where nothing is known. */
export function adviceOnInvalid({ address, scopeId, hostname }: Target): string | null {
  if (!isLinkLocal(address) || scopeId !== 0) return null;
  return `Every interface has link-local addresses: name one, as in ${hostname}%eth0`;
}

/** Looks a name up, off the event loop. */
export async function resolveTargets(
  hostname: string,
  port: number,
  family: Family,
): Promise<Target[]> {
  const found = await libc().getaddrinfoAsync(hostname, addressFamily(family));
  return toTargets(found, hostname, port);
}

/** Looks a name up, blocking: `listenMptcp` is synchronous, as `Deno.listen` is. */
export function resolveTargetsSync(hostname: string, port: number, family: Family): Target[] {
  return toTargets(libc().getaddrinfo(hostname, addressFamily(family)), hostname, port);
}

function addressFamily(family: Family): number {
  return family === undefined ? 0 : family === 4 ? AF_INET : AF_INET6;
}

function toTargets(found: Uint8Array[] | number, hostname: string, port: number): Target[] {
  if (typeof found === "number") {
    const { code, text } = eaiError(found);
    throw new MptcpError(
      `getaddrinfo ${hostname}: failed to lookup address information: ${text}`,
      { code, syscall: "getaddrinfo", address: hostname, port },
    );
  }
  return found.map((sockaddr) => literalTarget(decodeSockaddr(sockaddr).hostname, port)!);
}

const PREFIX = /^(mptcp|tcp)([46])?@/;
/** Ports without a host: no name that anybody uses is made of digits alone. */
const PORTS = /^\d+(-\d+)?$/;

/** A syntax error that points at its place. */
function addressError(text: string, at: number, problem: string): SyntaxError {
  return new SyntaxError(`Invalid address "${text}": ${problem}, at character ${at + 1}`);
}

/**
 * Parses an address: `[tcp|mptcp][4|6]@<host>[:port[-port]]`.
 *
 * `mptcp@` requires MPTCP, `tcp@` uses TCP, no prefix prefers MPTCP; `4` and `6` select the family.
 * The host is an IP address, in brackets if it is IPv6, or a name, `*` for every IPv4 address of
 * this machine (every address with `6`), or empty before a port. Digits alone are a port: "8080" is
 * ":8080".
 *
 * @param text The address.
 * @returns Its parts. Missing parts are `undefined`, a missing host is `""`.
 * @throws {SyntaxError} whose message says what is wrong and at which character.
 * @throws {TypeError} when `text` is not a string.
 *
 * @example
 * ```ts
 * import { parseAddress } from "@multipath/mptcp";
 *
 * const { mptcp, family, hostname, port, lastPort } = parseAddress("mptcp6@[::1]:8000-8010");
 * console.log(mptcp, family, hostname, port, lastPort); // require 6 ::1 8000 8010
 * ```
 */
export function parseAddress(text: string): ParsedAddress {
  if (typeof text !== "string") {
    throw new TypeError(`Invalid address: expected a string, got ${show(text)}`);
  }
  const prefix = PREFIX.exec(text);
  const start = prefix === null ? 0 : prefix[0].length;
  const mptcp: ListenMode = prefix === null ? "prefer" : prefix[1] === "tcp" ? "off" : "require";
  const family: Family = prefix?.[2] === undefined ? undefined : prefix[2] === "4" ? 4 : 6;

  const [rawHost, portStart] = splitHost(text, start);
  const hostname = checkHostText(text, start, rawHost, family);
  if (portStart === undefined) return { mptcp, family, hostname };
  const [port, lastPort] = parsePorts(text, portStart);
  return { mptcp, family, hostname, port, lastPort };
}

/** The host's text and where the ports begin, if there are any. */
function splitHost(text: string, start: number): [host: string, portStart: number | undefined] {
  const rest = text.slice(start);
  if (PORTS.test(rest)) return ["", start];
  if (rest === "") throw addressError(text, start, "there is no host and no port");
  if (rest.startsWith("[")) {
    const end = text.indexOf("]", start);
    if (end < 0) throw addressError(text, start, 'the "[" is not closed');
    if (end + 1 === text.length) return [text.slice(start, end + 1), undefined];
    if (text[end + 1] !== ":") throw addressError(text, end + 1, 'expected ":" after the "]"');
    return [text.slice(start, end + 1), end + 2];
  }
  if (parseIp(rest) !== null) return [rest, undefined];
  const colon = text.indexOf(":", start);
  if (colon < 0) return [rest, undefined];
  if (text.indexOf(":", colon + 1) >= 0) {
    throw addressError(text, start, 'an IPv6 address before a port needs "[" and "]"');
  }
  return [text.slice(start, colon), colon + 1];
}

function checkHostText(text: string, start: number, host: string, family: Family): string {
  if (host === "") return "";
  if (host === "*") return family === 6 ? "::" : "0.0.0.0";
  const ip = parseIp(host);
  if (host.startsWith("[") && ip === null) {
    throw addressError(text, start, `"${host}" is not an IPv6 address`);
  }
  if (ip === null) {
    // Scripts that write vowels as marks (\p{M}) have names too.
    const bad = host.search(/[^\p{L}\p{M}\p{N}._-]/u);
    if (bad >= 0) throw addressError(text, start + bad, "no host name has this character");
    return host;
  }
  const version = ip.family === AF_INET ? 4 : 6;
  if (family !== undefined && family !== version) {
    throw addressError(text, start, `"${host}" is not an IPv${family} address`);
  }
  return host.replace(/^\[|\]$/g, "");
}

function parsePorts(text: string, start: number): [port: number, lastPort: number] {
  const dash = text.indexOf("-", start);
  const port = parsePort(text, start, dash < 0 ? text.length : dash);
  if (dash < 0) return [port, port];
  const lastPort = parsePort(text, dash + 1, text.length);
  if (lastPort < port) throw addressError(text, dash + 1, "the last port is below the first");
  return [port, lastPort];
}

function parsePort(text: string, start: number, end: number): number {
  const digits = text.slice(start, end);
  if (digits === "") throw addressError(text, start, "there is no port");
  if (!/^\d+$/.test(digits)) throw addressError(text, start, `"${digits}" is not a port`);
  if (Number(digits) > 65535) throw addressError(text, start, `port ${digits} is above 65535`);
  return Number(digits);
}

/** What an address in text says, as options. */
export interface AddressOptions {
  hostname?: string;
  port?: number;
  mptcp: ListenMode;
  family: Family;
}

/** An address in text as options; a range of ports is for the command line alone. */
export function addressOptions(text: string): AddressOptions {
  const address = parseAddress(text);
  if (address.lastPort === address.port) return optionsAt(address, address.port);
  throw addressError(text, text.lastIndexOf("-"), "one socket takes one port, not a range");
}

/** The options for one port of an address that is taken apart. */
export function optionsAt(address: ParsedAddress, port: number | undefined): AddressOptions {
  const { hostname, mptcp, family } = address;
  return { mptcp, family, ...(hostname && { hostname }), ...(port !== undefined && { port }) };
}
