/**
 * libc through `bun:ffi`. The twin of `deno/libc.ts`: same names, same order.
 *
 * `bun:ffi` is reached by `process.getBuiltinModule`, synchronously and on first use: a static
 * import would fail in Deno, which loads this file too.
 *
 * @module
 */

import process from "node:process";
import { addrinfo, AF_INET6, IF_NAMESIZE, SOCK_STREAM } from "../linux/abi.ts";
import { ERRNO } from "../linux/errno.ts";
import { type Libc, LIBC_NAMES } from "../linux/libc.ts";
import { encodeSockaddr, parseIp } from "../linux/sockaddr.ts";

/** The parts of `bun:ffi` that this folder uses, so that Deno's type checker needs no Bun types. */
export interface BunFfi {
  dlopen(
    path: string,
    symbols: Record<string, SymbolDefinition>,
  ): { readonly symbols: Record<string, unknown> };
  read: { i32(pointer: Pointer, byteOffset?: number): number };
  ptr(view: Uint8Array): Pointer;
}

/** One C function as `bun:ffi` wants it described. */
export interface SymbolDefinition {
  readonly args: readonly ("i32" | "u32" | "buffer" | "ptr")[];
  readonly returns: "i32" | "u32" | "ptr" | "void";
}

/** An address as `bun:ffi` gives it: a number, or null. */
type Pointer = number;

/** `bun:ffi`, by the parts that are used here. */
export function bunFfi(): BunFfi {
  return process.getBuiltinModule("bun:ffi") as unknown as BunFfi;
}

// Lengths are 32-bit and so is an ssize_t result: the call path of bun:ffi that needs no BigInt.
// The registers are zero-extended, and no call here moves 2 GiB at once.
const SYMBOLS = {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  socketpair: { args: ["i32", "i32", "i32", "buffer"], returns: "i32" },
  bind: { args: ["i32", "buffer", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  accept4: { args: ["i32", "buffer", "buffer", "i32"], returns: "i32" },
  connect: { args: ["i32", "buffer", "u32"], returns: "i32" },
  recv: { args: ["i32", "buffer", "u32", "i32"], returns: "i32" },
  send: { args: ["i32", "buffer", "u32", "i32"], returns: "i32" },
  shutdown: { args: ["i32", "i32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  getsockname: { args: ["i32", "buffer", "buffer"], returns: "i32" },
  getpeername: { args: ["i32", "buffer", "buffer"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "buffer", "buffer"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "buffer", "u32"], returns: "i32" },
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "buffer"], returns: "i32" },
  epoll_wait: { args: ["i32", "buffer", "i32", "i32"], returns: "i32" },
  eventfd: { args: ["u32", "i32"], returns: "i32" },
  read: { args: ["i32", "buffer", "u32"], returns: "i32" },
  write: { args: ["i32", "buffer", "u32"], returns: "i32" },
  pipe2: { args: ["buffer", "i32"], returns: "i32" },
  splice: { args: ["i32", "ptr", "i32", "ptr", "u32", "u32"], returns: "i32" },
  open: { args: ["buffer", "i32"], returns: "i32" },
  readlink: { args: ["buffer", "buffer", "u32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
  dup3: { args: ["i32", "i32", "i32"], returns: "i32" },
  setns: { args: ["i32", "i32"], returns: "i32" },
  if_nametoindex: { args: ["buffer"], returns: "u32" },
  if_indextoname: { args: ["u32", "buffer"], returns: "ptr" },
  setenv: { args: ["buffer", "buffer", "i32"], returns: "i32" },
  unsetenv: { args: ["buffer"], returns: "i32" },
  getaddrinfo: { args: ["buffer", "ptr", "buffer", "buffer"], returns: "i32" },
  freeaddrinfo: { args: ["ptr"], returns: "void" },
  memcpy: { args: ["buffer", "ptr", "u32"], returns: "ptr" },
  __errno_location: { args: [], returns: "ptr" },
} as const satisfies Record<string, SymbolDefinition>;

interface Symbols {
  socket(domain: number, type: number, protocol: number): number;
  socketpair(domain: number, type: number, protocol: number, fds: Int32Array): number;
  bind(fd: number, addr: Uint8Array, addrlen: number): number;
  listen(fd: number, backlog: number): number;
  accept4(fd: number, addr: Uint8Array, addrlen: Uint32Array, flags: number): number;
  connect(fd: number, addr: Uint8Array, addrlen: number): number;
  recv(fd: number, buf: Uint8Array, len: number, flags: number): number;
  send(fd: number, buf: Uint8Array, len: number, flags: number): number;
  shutdown(fd: number, how: number): number;
  close(fd: number): number;
  getsockname(fd: number, addr: Uint8Array, addrlen: Uint32Array): number;
  getpeername(fd: number, addr: Uint8Array, addrlen: Uint32Array): number;
  getsockopt(fd: number, lv: number, name: number, val: Uint8Array, len: Uint32Array): number;
  setsockopt(fd: number, level: number, name: number, val: Uint8Array, len: number): number;
  epoll_create1(flags: number): number;
  epoll_ctl(epfd: number, op: number, fd: number, event: Uint8Array): number;
  epoll_wait(epfd: number, events: Uint8Array, maxevents: number, timeout: number): number;
  eventfd(initval: number, flags: number): number;
  read(fd: number, buf: Uint8Array, count: number): number;
  write(fd: number, buf: Uint8Array, count: number): number;
  pipe2(fds: Int32Array, flags: number): number;
  splice(from: number, at: null, to: number, toAt: null, len: number, flags: number): number;
  open(path: Uint8Array, flags: number): number;
  readlink(path: Uint8Array, buf: Uint8Array, bufsiz: number): number;
  fcntl(fd: number, cmd: number, arg: number): number;
  dup3(oldfd: number, newfd: number, flags: number): number;
  setns(fd: number, nstype: number): number;
  if_nametoindex(name: Uint8Array): number;
  if_indextoname(index: number, name: Uint8Array): Pointer | null;
  setenv(name: Uint8Array, value: Uint8Array, overwrite: number): number;
  unsetenv(name: Uint8Array): number;
  getaddrinfo(node: Uint8Array, service: null, hints: Uint8Array, res: Uint8Array): number;
  freeaddrinfo(list: Pointer): void;
  memcpy(dest: Uint8Array, src: Pointer, count: number): Pointer;
  __errno_location(): Pointer;
}

/** Opens libc with the given symbols. */
export function dlopenLibc(symbols: Record<string, SymbolDefinition>): unknown {
  const ffi = bunFfi();
  const [glibc, musl] = LIBC_NAMES as [string, string];
  try {
    return ffi.dlopen(glibc, symbols).symbols;
  } catch {
    return ffi.dlopen(musl, symbols).symbols;
  }
}

/** Opens libc for the calling thread. */
export function loadLibc(): Libc {
  const c = dlopenLibc(SYMBOLS) as Symbols;
  const ffi = bunFfi();
  const errnoLocation = c.__errno_location();

  function ret(result: number): number {
    if (result !== -1) return result;
    return -(ffi.read.i32(errnoLocation, 0) || ERRNO.EIO);
  }

  return {
    socket: (domain, type, protocol) => ret(c.socket(domain, type, protocol)),
    socketpair: (domain, type, protocol, fds) => ret(c.socketpair(domain, type, protocol, fds)),
    bind: (fd, addr) => ret(c.bind(fd, addr, addr.byteLength)),
    listen: (fd, backlog) => ret(c.listen(fd, backlog)),
    accept4: (fd, addr, addrlen, flags) => ret(c.accept4(fd, addr, addrlen, flags)),
    connect: (fd, addr) => ret(c.connect(fd, addr, addr.byteLength)),
    recv: (fd, buf, len, flags) => ret(c.recv(fd, buf, len, flags)),
    send: (fd, buf, len, flags) => ret(c.send(fd, buf, len, flags)),
    shutdown: (fd, how) => ret(c.shutdown(fd, how)),
    close: (fd) => ret(c.close(fd)),
    getsockname: (fd, addr, addrlen) => ret(c.getsockname(fd, addr, addrlen)),
    getpeername: (fd, addr, addrlen) => ret(c.getpeername(fd, addr, addrlen)),
    getsockopt: (fd, level, optname, optval, optlen) =>
      ret(c.getsockopt(fd, level, optname, optval, optlen)),
    setsockopt: (fd, level, optname, optval) =>
      ret(c.setsockopt(fd, level, optname, optval, optval.byteLength)),
    epoll_create1: (flags) => ret(c.epoll_create1(flags)),
    epoll_ctl: (epfd, op, fd, event) => ret(c.epoll_ctl(epfd, op, fd, event)),
    epoll_wait: (epfd, events, maxevents, timeout) =>
      ret(c.epoll_wait(epfd, events, maxevents, timeout)),
    eventfd: (initval, flags) => ret(c.eventfd(initval, flags)),
    read: (fd, buf) => ret(c.read(fd, buf, buf.byteLength)),
    write: (fd, buf) => ret(c.write(fd, buf, buf.byteLength)),
    pipe2: (fds, flags) => ret(c.pipe2(fds, flags)),
    splice: (from, to, len, flags) => ret(c.splice(from, null, to, null, len, flags)),
    open: (path, flags) => ret(c.open(cString(path), flags)),
    readlink: (path, buf) => ret(c.readlink(cString(path), buf, buf.byteLength)),
    fcntl: (fd, cmd, arg) => ret(c.fcntl(fd, cmd, arg)),
    dup3: (oldfd, newfd, flags) => ret(c.dup3(oldfd, newfd, flags)),
    setns: (fd, nstype) => ret(c.setns(fd, nstype)),
    if_nametoindex: (name) => c.if_nametoindex(cString(name)) || ret(-1),
    if_indextoname(index) {
      const name = new Uint8Array(IF_NAMESIZE);
      return c.if_indextoname(index, name) ? textOf(name) : null;
    },
    getenv(name) {
      // Bun keeps an environment of its own: what a program set in process.env is not in libc's.
      return process.env[name] ?? null;
    },
    setenv(name, value) {
      if (value === null) return ret(c.unsetenv(cString(name)));
      return ret(c.setenv(cString(name), cString(value), 1));
    },
    addressOf: (buf) => BigInt(ffi.ptr(buf)),
    getaddrinfo(hostname, family) {
      const list = new DataView(new ArrayBuffer(8));
      const result = c.getaddrinfo(cString(hostname), null, hints(family), bytesOf(list));
      return result !== 0 ? result : takeAddrinfo(c, pointerAt(list, 0));
    },
    getaddrinfoAsync: lookup,
  };
}

function hints(family: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(addrinfo.size));
  view.setInt32(addrinfo.ai_family, family, true);
  view.setInt32(addrinfo.ai_socktype, SOCK_STREAM, true);
  return bytesOf(view);
}

/** The socket addresses of a list that `getaddrinfo` made, which is freed. */
function takeAddrinfo(c: Symbols, list: Pointer): Uint8Array[] {
  const addresses: Uint8Array[] = [];
  const entry = new DataView(new ArrayBuffer(addrinfo.size));
  for (let at = list; at !== 0; at = pointerAt(entry, addrinfo.ai_next)) {
    c.memcpy(bytesOf(entry), at, addrinfo.size);
    const address = new Uint8Array(entry.getUint32(addrinfo.ai_addrlen, true));
    c.memcpy(address, pointerAt(entry, addrinfo.ai_addr), address.byteLength);
    addresses.push(address);
  }
  c.freeaddrinfo(list);
  return addresses;
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer);
}

function pointerAt(view: DataView, offset: number): Pointer {
  return Number(view.getBigUint64(offset, true));
}

/** NUL-terminated UTF-8. */
function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** The text before the NUL. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

/** What `Bun.dns` is used for; its "libc" backend runs `getaddrinfo` on Bun's thread pool. */
interface BunDns {
  lookup(
    hostname: string,
    options: { family: 0 | 4 | 6; backend: "libc" },
  ): Promise<{ address: string; family: 4 | 6 }[]>;
}

/** `EAI_*` results by the codes of Bun's DNS errors. */
const EAI: Readonly<Record<string, number>> = {
  DNS_ENOTFOUND: -2,
  DNS_ENODATA: -5,
  DNS_ESERVFAIL: -3,
  DNS_ETIMEOUT: -3,
  DNS_ENOMEM: -10,
};
const EAI_FAIL = -4;

async function lookup(hostname: string, family: number): Promise<Uint8Array[] | number> {
  const { dns } = (globalThis as unknown as { Bun: { dns: BunDns } }).Bun;
  const version = family === 0 ? 0 : family === AF_INET6 ? 6 : 4;
  try {
    const found = await dns.lookup(hostname, { family: version, backend: "libc" });
    return found.map(({ address }) => encodeSockaddr(parseIp(address)!.bytes, 0));
  } catch (error) {
    return EAI[(error as { code?: string }).code ?? ""] ?? EAI_FAIL;
  }
}
