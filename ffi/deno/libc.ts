/**
 * libc through `Deno.dlopen`. The twin of `bun/libc.ts`: same names, same order.
 *
 * Runs under `--allow-ffi` and under `--allow-ffi=<absolute path of libc>`. The latter forbids
 * `Deno.UnsafePointer` and its view, so addresses are plain integers here and memory that C owns is
 * copied out by C's own `memcpy`.
 *
 * @module
 */

import { addrinfo, IF_NAMESIZE, SOCK_STREAM } from "../linux/abi.ts";
import { ERRNO } from "../linux/errno.ts";
import { type Libc, LIBC_NAMES, LIBC_PATHS } from "../linux/libc.ts";

/** The parts of `Deno` that this folder uses, so that Bun's type checker needs no Deno types. */
export interface DenoFfi {
  dlopen(
    path: string,
    symbols: Record<string, SymbolDefinition>,
  ): { readonly symbols: Record<string, unknown> };
  permissions: {
    querySync(
      query:
        | { name: "ffi"; path?: string }
        | { name: "net"; host?: string }
        | { name: "env"; variable: string },
    ): { readonly state: "granted" | "denied" | "prompt" };
  };
}

/** One C function as `Deno.dlopen` wants it described. */
export interface SymbolDefinition {
  readonly name?: string;
  readonly parameters: readonly ("i32" | "u32" | "usize" | "buffer")[];
  readonly result: "i32" | "u32" | "usize" | "void";
  readonly nonblocking?: boolean;
}

/** `globalThis.Deno`, by the parts that are used here. */
export function denoFfi(): DenoFfi {
  return (globalThis as unknown as { Deno: DenoFfi }).Deno;
}

// A length is a usize, which Deno takes as a number too though its types say bigint. An ssize_t
// result is an i32: no call here moves 2 GiB at once.
const SYMBOLS = {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  getpeername: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  epoll_create1: { parameters: ["i32"], result: "i32" },
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  splice: { parameters: ["i32", "buffer", "i32", "buffer", "usize", "u32"], result: "i32" },
  open: { parameters: ["buffer", "i32"], result: "i32" },
  readlink: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  dup3: { parameters: ["i32", "i32", "i32"], result: "i32" },
  setns: { parameters: ["i32", "i32"], result: "i32" },
  if_nametoindex: { parameters: ["buffer"], result: "u32" },
  if_indextoname: { parameters: ["u32", "buffer"], result: "usize" },
  getenv: { parameters: ["buffer"], result: "usize" },
  setenv: { parameters: ["buffer", "buffer", "i32"], result: "i32" },
  unsetenv: { parameters: ["buffer"], result: "i32" },
  addressOf: { name: "memcpy", parameters: ["buffer", "buffer", "usize"], result: "usize" },
  getaddrinfo: { parameters: ["buffer", "buffer", "buffer", "buffer"], result: "i32" },
  getaddrinfoAsync: {
    name: "getaddrinfo",
    parameters: ["buffer", "buffer", "buffer", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  freeaddrinfo: { parameters: ["usize"], result: "void" },
  strlen: { parameters: ["usize"], result: "usize" },
  memcpy: { parameters: ["buffer", "usize", "usize"], result: "usize" },
  __errno_location: { parameters: [], result: "usize" },
} as const satisfies Record<string, SymbolDefinition>;

/** An address as Deno gives it: a bigint, or a number where that is exact. */
type Pointer = number | bigint;

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
  if_indextoname(index: number, name: Uint8Array): Pointer;
  getenv(name: Uint8Array): Pointer;
  setenv(name: Uint8Array, value: Uint8Array, overwrite: number): number;
  unsetenv(name: Uint8Array): number;
  addressOf(dest: Uint8Array, src: Uint8Array, count: number): Pointer;
  getaddrinfo(node: Uint8Array, service: null, hints: Uint8Array, res: BigUint64Array): number;
  getaddrinfoAsync(
    node: Uint8Array,
    service: null,
    hints: Uint8Array,
    res: BigUint64Array,
  ): Promise<number>;
  freeaddrinfo(list: Pointer): void;
  strlen(text: Pointer): Pointer;
  memcpy(dest: ArrayBufferView, src: Pointer, count: Pointer): Pointer;
  __errno_location(): Pointer;
}

/** Opens libc with the given symbols, under whichever form of `--allow-ffi` there is. */
export function dlopenLibc(symbols: Record<string, SymbolDefinition>): unknown {
  const deno = denoFfi();
  const granted = (path?: string) =>
    deno.permissions.querySync(path ? { name: "ffi", path } : { name: "ffi" }).state === "granted";
  // A bare name under a scoped permission would be looked up in the working directory.
  const scoped = granted() ? undefined : LIBC_PATHS.find(granted);
  if (scoped !== undefined) return deno.dlopen(scoped, symbols).symbols;
  const [glibc, musl] = LIBC_NAMES as [string, string];
  try {
    return deno.dlopen(glibc, symbols).symbols;
  } catch (error) {
    // Where glibc's name is unknown Deno throws a plain Error; a refused permission goes through.
    if (!(error instanceof Error) || error.name !== "Error") throw error;
    return deno.dlopen(musl, symbols).symbols;
  }
}

/** Opens libc for the calling thread. */
export function loadLibc(): Libc {
  const c = dlopenLibc(SYMBOLS) as Symbols;
  const errnoLocation = c.__errno_location();
  const errno = new Int32Array(1);

  function ret(result: number): number {
    if (result !== -1) return result;
    c.memcpy(errno, errnoLocation, 4);
    return -(errno[0] || ERRNO.EIO);
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
      return Number(c.if_indextoname(index, name)) ? textOf(name) : null;
    },
    getenv(name) {
      const value = c.getenv(cString(name));
      if (!Number(value)) return null;
      const bytes = new Uint8Array(Number(c.strlen(value)));
      c.memcpy(bytes, value, bytes.byteLength);
      return new TextDecoder().decode(bytes);
    },
    setenv(name, value) {
      if (value === null) return ret(c.unsetenv(cString(name)));
      return ret(c.setenv(cString(name), cString(value), 1));
    },
    // A copy of nothing: memcpy gives its destination back.
    addressOf: (buf) => BigInt(c.addressOf(buf, buf, 0)),
    getaddrinfo(hostname, family) {
      const list = new BigUint64Array(1);
      const result = c.getaddrinfo(cString(hostname), null, hints(family), list);
      return result !== 0 ? result : takeAddrinfo(c, list[0]!);
    },
    async getaddrinfoAsync(hostname, family) {
      const list = new BigUint64Array(1);
      const result = await c.getaddrinfoAsync(cString(hostname), null, hints(family), list);
      return result !== 0 ? result : takeAddrinfo(c, list[0]!);
    },
  };
}

function hints(family: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(addrinfo.size));
  view.setInt32(addrinfo.ai_family, family, true);
  view.setInt32(addrinfo.ai_socktype, SOCK_STREAM, true);
  return new Uint8Array(view.buffer);
}

/** The socket addresses of a list that `getaddrinfo` made, which is freed. */
function takeAddrinfo(c: Symbols, list: bigint): Uint8Array[] {
  const addresses: Uint8Array[] = [];
  const entry = new DataView(new ArrayBuffer(addrinfo.size));
  for (let at = list; at !== 0n; at = entry.getBigUint64(addrinfo.ai_next, true)) {
    c.memcpy(entry, at, addrinfo.size);
    const address = new Uint8Array(entry.getUint32(addrinfo.ai_addrlen, true));
    c.memcpy(address, entry.getBigUint64(addrinfo.ai_addr, true), address.byteLength);
    addresses.push(address);
  }
  c.freeaddrinfo(list);
  return addresses;
}

/** NUL-terminated UTF-8. */
function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** The text before the NUL. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}
