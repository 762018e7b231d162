/**
 * The C functions that are used, as one table, and the contract of `libc.ts` filled in from them. A
 * twin turns the table into the form that its runtime loads functions by.
 *
 * @module
 */

import { addrinfo, IF_NAMESIZE, SOCK_STREAM } from "./abi.ts";
import { ERRNO } from "./errno.ts";
import type { Libc } from "./libc.ts";

/**
 * The type of a parameter or a result. "buffer" is a pointer to the memory of a view, "null" a
 * pointer that is always NULL, "address" a pointer to what C owns.
 */
export type CType = "i32" | "u32" | "size" | "buffer" | "null" | "address" | "void";

/** A C function: its result, its parameters. */
export type Signature = readonly [result: CType, ...parameters: CType[]];

// Lengths are a size_t, an ssize_t result is an i32: no call here moves 2 GiB at once.
const SIGNATURES = {
  socket: ["i32", "i32", "i32", "i32"],
  socketpair: ["i32", "i32", "i32", "i32", "buffer"],
  bind: ["i32", "i32", "buffer", "u32"],
  listen: ["i32", "i32", "i32"],
  accept4: ["i32", "i32", "buffer", "buffer", "i32"],
  connect: ["i32", "i32", "buffer", "u32"],
  recv: ["i32", "i32", "buffer", "size", "i32"],
  send: ["i32", "i32", "buffer", "size", "i32"],
  shutdown: ["i32", "i32", "i32"],
  close: ["i32", "i32"],
  getsockname: ["i32", "i32", "buffer", "buffer"],
  getpeername: ["i32", "i32", "buffer", "buffer"],
  getsockopt: ["i32", "i32", "i32", "i32", "buffer", "buffer"],
  setsockopt: ["i32", "i32", "i32", "i32", "buffer", "u32"],
  epoll_create1: ["i32", "i32"],
  epoll_ctl: ["i32", "i32", "i32", "i32", "buffer"],
  epoll_wait: ["i32", "i32", "buffer", "i32", "i32"],
  eventfd: ["i32", "u32", "i32"],
  read: ["i32", "i32", "buffer", "size"],
  write: ["i32", "i32", "buffer", "size"],
  pipe2: ["i32", "buffer", "i32"],
  splice: ["i32", "i32", "null", "i32", "null", "size", "u32"],
  open: ["i32", "buffer", "i32"],
  readlink: ["i32", "buffer", "buffer", "size"],
  fcntl: ["i32", "i32", "i32", "i32"],
  dup3: ["i32", "i32", "i32", "i32"],
  setns: ["i32", "i32", "i32"],
  if_nametoindex: ["u32", "buffer"],
  if_indextoname: ["address", "u32", "buffer"],
  getenv: ["address", "buffer"],
  getaddrinfo: ["i32", "buffer", "null", "buffer", "buffer"],
  freeaddrinfo: ["void", "address"],
  strlen: ["u32", "address"],
  memcpy: ["address", "buffer", "address", "size"],
  // The way back: the same function, by a name of its own.
  memmove: ["address", "address", "buffer", "size"],
  __errno_location: ["address"],
} as const;

/** Every function, in the form that `define` gives it. */
export function defineSymbols<T>(
  define: (result: CType, parameters: readonly CType[]) => T,
): Record<string, T> {
  return Object.fromEntries(
    Object.entries<Signature>(SIGNATURES).map(([name, [result, ...parameters]]) => [
      name,
      define(result, parameters),
    ]),
  );
}

/** What a type of C is in JavaScript; `P` is an address as the runtime has it. */
interface Values<P> {
  i32: number;
  u32: number;
  size: number;
  buffer: ArrayBufferView;
  null: null;
  address: P;
  void: void;
}

type ParametersOf<S extends readonly CType[], P> = { [K in keyof S]: Values<P>[S[K]] };

type Call<S extends Signature, P> = S extends
  readonly [infer R extends CType, ...infer A extends readonly CType[]]
  ? (...parameters: ParametersOf<A, P>) => Values<P>[R]
  : never;

/** The functions as a runtime gives them. */
export type Symbols<P> = { [K in keyof typeof SIGNATURES]: Call<(typeof SIGNATURES)[K], P> };

/** What the runtimes do in different ways. */
export interface RuntimeCalls<P> extends
  Pick<
    Libc,
    "addressOf" | "getaddrinfoAsync" | "pollAsync"
  > {
  /** The variable of the environment; where left out, that of C's `getenv`. */
  readonly getenv?: Libc["getenv"];
  /** The address that C wrote as a 64-bit number. */
  toPointer(address: bigint): P;
}

/** Fills in the contract. */
export function createLibc<P>(c: Symbols<P>, runtime: RuntimeCalls<P>): Libc {
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
    getenv: runtime.getenv ?? ((name) => {
      const value = c.getenv(cString(name));
      if (!Number(value)) return null;
      const bytes = new Uint8Array(c.strlen(value));
      c.memcpy(bytes, value, bytes.byteLength);
      return new TextDecoder().decode(bytes);
    }),
    emptyenv(name) {
      const value = c.getenv(cString(name));
      if (!Number(value)) return () => {};
      const first = new Uint8Array(1);
      c.memcpy(first, value, 1);
      c.memmove(value, new Uint8Array(1), 1);
      return () => void c.memmove(value, first, 1);
    },
    addressOf: runtime.addressOf,
    getaddrinfo(hostname, family) {
      const list = new BigUint64Array(1);
      const result = c.getaddrinfo(cString(hostname), null, lookupHints(family), list);
      return result !== 0 ? result : takeAddrinfo(c, runtime, list[0]!);
    },
    getaddrinfoAsync: runtime.getaddrinfoAsync,
    pollAsync: runtime.pollAsync,
  };
}

/** The `struct addrinfo` that asks for addresses of stream sockets. */
export function lookupHints(family: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(addrinfo.size));
  view.setInt32(addrinfo.ai_family, family, true);
  view.setInt32(addrinfo.ai_socktype, SOCK_STREAM, true);
  return new Uint8Array(view.buffer);
}

/** The socket addresses of a list that `getaddrinfo` made, which is freed. */
export function takeAddrinfo<P>(
  c: Pick<Symbols<P>, "memcpy" | "freeaddrinfo">,
  { toPointer }: Pick<RuntimeCalls<P>, "toPointer">,
  list: bigint,
): Uint8Array[] {
  const addresses: Uint8Array[] = [];
  const entry = new DataView(new ArrayBuffer(addrinfo.size));
  for (let at = list; at !== 0n; at = entry.getBigUint64(addrinfo.ai_next, true)) {
    c.memcpy(entry, toPointer(at), addrinfo.size);
    const address = new Uint8Array(entry.getUint32(addrinfo.ai_addrlen, true));
    c.memcpy(address, toPointer(entry.getBigUint64(addrinfo.ai_addr, true)), address.byteLength);
    addresses.push(address);
  }
  c.freeaddrinfo(toPointer(list));
  return addresses;
}

/** NUL-terminated UTF-8. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** The text before the NUL. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}
