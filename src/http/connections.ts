/**
 * Finds the descriptor of a server's connection by its remote address: the runtimes tell handlers
 * the one and not the other.
 *
 * What was found once is asked again with one `getpeername`, however many connections there are.
 * A search learns every connection on its way, and follows from the kernel's giving out the lowest
 * free number: connections that come and go use the same few, so it looks first where the last
 * searches found something; then at what was no connection yet, where those are that came since; and
 * only then whether a known one has been replaced, a quarter of a microsecond for each.
 *
 * @module
 */

import {
  AF_INET,
  AF_INET6,
  sockaddr_in,
  sockaddr_in6,
  sockaddr_storage,
} from "../../ffi/linux/abi.ts";
import { fdLimit } from "../../ffi/linux/procfs.ts";
import { libc } from "../../ffi/runtime.ts";
import { parseIp, toIpv4Mapped } from "../../ffi/linux/sockaddr.ts";
import type { NetAddr } from "../types.ts";

/** Descriptors that the last searches found. */
const RECENT = 16;

/** How far behind the last connection a new one is looked for before known ones are asked again. */
const MARGIN = 256;

/** An address as 16 bytes, IPv4 mapped, and its port behind them in network order. */
const ENDPOINT_SIZE = 18;

type AddressCall = "getpeername" | "getsockname";

/** The connections that were accepted on one local address. */
export class ConnectionTable {
  readonly #local: Uint8Array;
  readonly #anyLocal: boolean;
  /** Descriptors by the digest of their remote address; an entry may be out of date. */
  readonly #fds = new Map<number, number>();
  /** The digest that a descriptor had when it was last asked; `undefined` where it was none of ours. */
  readonly #digests: (number | undefined)[] = [];
  readonly #recent: number[] = [];

  /** For connections to `addr`, where the server listens. */
  constructor(addr: NetAddr) {
    this.#local = encodeEndpoint(addr.hostname, addr.port)!;
    this.#anyLocal = addr.hostname === "0.0.0.0" || addr.hostname === "::";
  }

  /** The descriptor of the connection from there; -1 if there is none any more. */
  find(hostname: string, port: number): number {
    const remote = encodeEndpoint(hostname, port);
    if (remote === null) return -1;
    const digest = digestOf(remote);
    const known = this.#fds.get(digest);
    if (known !== undefined && this.#isFrom(known, remote)) return known;
    const fd = this.#search(remote);
    if (fd >= 0) this.#remember(fd, digest);
    return fd;
  }

  /** The descriptors of all connections. */
  all(): number[] {
    const limit = fdLimit(libc());
    const found: number[] = [];
    for (let fd = 0; fd < limit; fd++) {
      if (readEndpoint("getpeername", fd) && this.#isHere(fd)) found.push(fd);
    }
    return found;
  }

  #search(remote: Uint8Array): number {
    for (const fd of this.#recent) {
      if (this.#isFrom(fd, remote)) return fd;
    }
    const end = this.#digests.length + MARGIN;
    for (let fd = 0; fd < end; fd++) {
      if (this.#digests[fd] === undefined && this.#learn(fd, remote)) return fd;
    }
    for (let fd = 0; fd < this.#digests.length; fd++) {
      if (this.#digests[fd] !== undefined && this.#learn(fd, remote)) return fd;
    }
    const limit = fdLimit(libc());
    for (let fd = end; fd < limit; fd++) {
      if (this.#learn(fd, remote)) return fd;
    }
    return -1;
  }

  /** Notes what a descriptor is now; true if it is the connection from `remote`. */
  #learn(fd: number, remote: Uint8Array): boolean {
    const before = this.#digests[fd];
    const digest = readEndpoint("getpeername", fd) ? digestOf(endpoint) : undefined;
    if (before !== digest) {
      if (before !== undefined && this.#fds.get(before) === fd) this.#fds.delete(before);
      if (digest !== undefined) this.#fds.set(digest, fd);
      if (digest !== undefined || fd < this.#digests.length) this.#digests[fd] = digest;
    }
    return digest !== undefined && isEqual(endpoint, remote) && this.#isHere(fd);
  }

  #remember(fd: number, digest: number): void {
    this.#fds.set(digest, fd);
    const at = this.#recent.indexOf(fd);
    if (at >= 0) this.#recent.splice(at, 1);
    else if (this.#recent.length === RECENT) this.#recent.pop();
    this.#recent.unshift(fd);
  }

  #isFrom(fd: number, remote: Uint8Array): boolean {
    return readEndpoint("getpeername", fd) && isEqual(endpoint, remote) && this.#isHere(fd);
  }

  /** One remote address may have connections to several servers of a process. */
  #isHere(fd: number): boolean {
    if (!readEndpoint("getsockname", fd)) return false;
    return isEqual(endpoint, this.#local, this.#anyLocal ? ENDPOINT_SIZE - 2 : 0);
  }
}

const addr = new Uint8Array(sockaddr_storage.size);
const addrFamily = new Uint16Array(addr.buffer, 0, 1);
const addrlen = new Uint32Array(1);
const endpoint = new Uint8Array(ENDPOINT_SIZE);

/** Puts one end of a descriptor into `endpoint`; false if it has none. */
function readEndpoint(call: AddressCall, fd: number): boolean {
  addrlen[0] = addr.byteLength;
  if (libc()[call](fd, addr, addrlen) < 0) return false;
  if (addrFamily[0] === AF_INET) {
    endpoint.fill(0, 0, 10);
    endpoint[10] = endpoint[11] = 0xff;
    for (let i = 0; i < 4; i++) endpoint[12 + i] = addr[sockaddr_in.sin_addr + i]!;
  } else if (addrFamily[0] === AF_INET6) {
    for (let i = 0; i < 16; i++) endpoint[i] = addr[sockaddr_in6.sin6_addr + i]!;
  } else {
    return false;
  }
  // Both families have the port at the same place.
  endpoint[16] = addr[sockaddr_in.sin_port]!;
  endpoint[17] = addr[sockaddr_in.sin_port + 1]!;
  return true;
}

function encodeEndpoint(hostname: string, port: number): Uint8Array | null {
  const ip = parseIp(hostname);
  if (ip === null) return null;
  const encoded = new Uint8Array(ENDPOINT_SIZE);
  encoded.set(ip.bytes.length === 4 ? toIpv4Mapped(ip.bytes) : ip.bytes);
  encoded[16] = port >> 8;
  encoded[17] = port & 0xff;
  return encoded;
}

function isEqual(a: Uint8Array, b: Uint8Array, from = 0): boolean {
  for (let i = from; i < ENDPOINT_SIZE; i++) {
    if (a[i] !== b[i]) return false;
  }
  return true;
}

/** FNV-1a. Two connections of one digest cost each other a search, and nothing else. */
function digestOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < ENDPOINT_SIZE; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}
