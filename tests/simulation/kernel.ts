/**
 * A simulated kernel: the libc contract filled in by a world without sockets, in which every choice
 * follows from a seed.
 *
 * @module
 */

import {
  AF_INET,
  AF_INET6,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  epoll_event,
  IPPROTO_MPTCP,
  SHUT_WR,
} from "../../ffi/linux/abi.ts";
import { AF_NETLINK } from "../../ffi/linux/abi_netlink.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import type { Libc } from "../../ffi/linux/libc.ts";
import {
  decodeSockaddr,
  encodeSockaddr,
  isIpv4Mapped,
  parseIp,
  sockaddrAddress,
  toIpv4Mapped,
} from "../../ffi/linux/sockaddr.ts";
import { Epoll, type File, type Item } from "./file.ts";
import type { Network } from "./network.ts";
import { NetlinkFile, type NetlinkHost } from "./netlink.ts";
import { getSockOption, setSockOption } from "./options.ts";
import { EventFd, PipeEnd, ProcFile } from "./pipe.ts";
import { type Address, Sock } from "./sock.ts";

/** How often calls fail, in percent. */
export interface KernelFaults {
  /** No descriptor is left: socket, accept4, pipe2, open. */
  readonly EMFILE: number;
  /** No memory: any call that may need some. */
  readonly ENOBUFS: number;
  /** A call is interrupted. */
  readonly EINTR: number;
  /** An event is reported that has no reason, or later than it could be. */
  readonly spurious: number;
  readonly late: number;
}

/** Spurious events in a schedule: without an end to them the reactor looks until a peer times out. */
const MAX_SPURIOUS = 5000;

/** No fault. */
export const NO_FAULTS: KernelFaults = { EMFILE: 0, ENOBUFS: 0, EINTR: 0, spurious: 0, late: 0 };

/** The first descriptor that is given out: as in a process, others are taken. */
const FIRST_FD = 3;
/** Descriptors at most. */
const MAX_FDS = 1024;

/** See the module's documentation. */
export class Kernel {
  readonly network: Network;
  readonly netlink: NetlinkHost;
  faults: KernelFaults = NO_FAULTS;
  /** Calls in the order in which they were made, for those who count them. */
  onCall: (name: keyof Libc) => void = () => {};
  /** Texts of /proc, by their paths. */
  readonly proc: Map<string, string> = new Map();
  readonly env: Map<string, string> = new Map();
  /** What socket(2) says to who asks for MPTCP: 0 or `-errno`. */
  mptcpRefusal = 0;
  readonly #files: (File | null)[] = [];
  readonly #addresses = new Map<bigint, Uint8Array>();
  #spurious = 0;
  #nextAddress = 0x10000n;

  constructor(network: Network, netlink: NetlinkHost) {
    this.network = network;
    this.netlink = netlink;
  }

  /** How many descriptors are open. */
  get openCount(): number {
    return this.#files.filter((file) => file !== null).length;
  }

  /** What is open, in words. */
  describe(): string {
    return this.#files.flatMap((file, i) => {
      if (file === null) return [];
      const { name } = file.constructor;
      return [`${i + FIRST_FD} ${name} ${file instanceof Sock ? file.describe() : ""}`];
    }).join("; ");
  }

  file(fd: number): File | null {
    return this.#files[fd - FIRST_FD] ?? null;
  }

  sock(fd: number): Sock | null {
    const file = this.file(fd);
    return file instanceof Sock ? file : null;
  }

  #fails(percent: number): boolean {
    return this.network.world.random.percent(percent);
  }

  open(file: File): number {
    let index = this.#files.indexOf(null);
    if (index < 0) index = this.#files.length;
    if (index >= MAX_FDS) return -ERRNO.EMFILE;
    this.#files[index] = file;
    file.descriptors++;
    return index + FIRST_FD;
  }

  close(fd: number): number {
    const file = this.file(fd);
    if (file === null) return -ERRNO.EBADF;
    this.#files[fd - FIRST_FD] = null;
    if (--file.descriptors === 0) {
      for (const item of [...file.items]) item.epoll.forget(item);
      file.release();
    }
    return 0;
  }

  /** A number that stands for the address of a buffer. */
  addressOf(buf: Uint8Array): bigint {
    const address = this.#nextAddress;
    this.#nextAddress += 0x10000n;
    this.#addresses.set(address, buf);
    return address;
  }

  /** The buffer at an address. */
  bufferAt(address: bigint): Uint8Array {
    return this.#addresses.get(address)!;
  }

  /** The system calls. */
  readonly libc: Libc = this.#makeLibc();

  #makeLibc(): Libc {
    // deno-lint-ignore no-this-alias -- the methods of the contract are called without `this`.
    const kernel = this;
    const calls: Libc = {
      socket: (domain, type, protocol) => kernel.#socket(domain, type, protocol),
      socketpair: () => -ERRNO.EOPNOTSUPP,
      bind: (fd, addr) => kernel.#withSock(fd, (sock) => kernel.#bind(sock, addr)),
      listen: (fd, backlog) =>
        kernel.#withSock(fd, (sock) => {
          kernel.network.listen(sock, backlog);
          return 0;
        }),
      accept4: (fd, addr, addrlen) =>
        kernel.#withSock(fd, (sock) => kernel.#accept(sock, addr, addrlen)),
      connect: (fd, addr) => kernel.#connect(fd, addr),
      recv: (fd, buf, len) => kernel.#recv(fd, buf, len),
      send: (fd, buf, len) => kernel.#send(fd, buf, len),
      shutdown: (fd, how) =>
        kernel.#withSock(fd, (sock) => how === SHUT_WR ? sock.shutdown() : -ERRNO.EINVAL),
      close: (fd) => kernel.close(fd),
      getsockname: (fd, addr, addrlen) =>
        kernel.#withSock(fd, (sock) => giveAddress(sock, sock.local, addr, addrlen)),
      getpeername: (fd, addr, addrlen) =>
        kernel.#withSock(fd, (sock) => {
          if (sock.state !== "connected") return -ERRNO.ENOTCONN;
          return giveAddress(sock, sock.remote, addr, addrlen);
        }),
      getsockopt: (fd, level, optname, optval, optlen) =>
        kernel.#withSock(fd, (sock) => getSockOption(kernel, sock, level, optname, optval, optlen)),
      setsockopt: (fd, level, optname, optval) => {
        const file = kernel.file(fd);
        if (file === null) return -ERRNO.EBADF;
        if (file instanceof NetlinkFile) return file.setOption(level, optname, optval);
        if (!(file instanceof Sock)) return -ERRNO.ENOTSOCK;
        if (kernel.#fails(kernel.faults.ENOBUFS)) return -ERRNO.ENOBUFS;
        return setSockOption(file, level, optname, optval);
      },
      epoll_create1: () => kernel.#create(() => new Epoll()),
      epoll_ctl: (epfd, op, fd, event) => kernel.#epollCtl(epfd, op, fd, event),
      epoll_wait: (epfd, events, maxevents) => kernel.#epollWait(epfd, events, maxevents),
      eventfd: () => kernel.#create(() => new EventFd()),
      read: (fd, buf) => kernel.#read(fd, buf),
      write: (fd, buf) => {
        const file = kernel.file(fd);
        return file instanceof EventFd ? file.write(buf) : -ERRNO.EBADF;
      },
      pipe2: (fds) => kernel.#pipe(fds),
      splice: (from, to, len) => kernel.#splice(from, to, len),
      open: (path) => {
        const text = kernel.proc.get(path);
        if (text === undefined) return -ERRNO.ENOENT;
        return kernel.#create(() => new ProcFile(text));
      },
      readlink: () => -ERRNO.ENOENT,
      fcntl: () => 0,
      dup3: () => -ERRNO.EINVAL,
      setns: () => 0,
      if_nametoindex: (name) => kernel.netlink.indexOf(name),
      if_indextoname: (index) => kernel.netlink.nameOf(index),
      getenv: (name) => kernel.env.get(name) ?? null,
      emptyenv: () => () => {},
      addressOf: (buf) => kernel.addressOf(buf),
      getaddrinfo: (hostname, family) => kernel.#lookUp(hostname, family),
      getaddrinfoAsync: (hostname, family) => kernel.#lookUpLater(hostname, family),
      pollAsync: null,
    };
    return counted(calls, (name) => kernel.onCall(name));
  }

  #create(make: () => File): number {
    if (this.#fails(this.faults.EMFILE)) return -ERRNO.EMFILE;
    return this.open(make());
  }

  #withSock(fd: number, action: (sock: Sock) => number): number {
    const file = this.file(fd);
    if (file === null) return -ERRNO.EBADF;
    return file instanceof Sock ? action(file) : -ERRNO.ENOTSOCK;
  }

  #socket(domain: number, _type: number, protocol: number): number {
    if (domain === AF_NETLINK) return this.#create(() => new NetlinkFile(this.netlink, protocol));
    if (protocol === IPPROTO_MPTCP && this.mptcpRefusal !== 0) return this.mptcpRefusal;
    if (this.#fails(this.faults.ENOBUFS)) return -ERRNO.ENOBUFS;
    return this.#create(() => new Sock(this.network, domain, protocol));
  }

  #bind(sock: Sock, addr: Uint8Array): number {
    if (this.#fails(this.faults.ENOBUFS)) return -ERRNO.ENOBUFS;
    return this.network.bind(sock, toAddress(addr));
  }

  #accept(sock: Sock, addr: Uint8Array, addrlen: Uint32Array): number {
    if (sock.state !== "listening") return -ERRNO.EINVAL;
    if (this.#fails(this.faults.EINTR)) return -ERRNO.EINTR;
    if (sock.backlog.length === 0) return -ERRNO.EAGAIN;
    if (this.#fails(this.faults.ENOBUFS)) return -ERRNO.ENOBUFS;
    if (this.#fails(this.faults.EMFILE)) return -ERRNO.EMFILE;
    const accepted = sock.backlog.shift()!;
    giveAddress(accepted, accepted.remote, addr, addrlen);
    return this.open(accepted);
  }

  #connect(fd: number, addr: Uint8Array): number {
    const file = this.file(fd);
    if (file instanceof NetlinkFile) return 0;
    return this.#withSock(fd, (sock) => {
      if (this.#fails(this.faults.ENOBUFS)) return -ERRNO.ENOBUFS;
      const result = this.network.connect(sock, toAddress(addr));
      // The kernel goes on with an interrupted connect.
      return result === -ERRNO.EINPROGRESS && this.#fails(this.faults.EINTR)
        ? -ERRNO.EINTR
        : result;
    });
  }

  #recv(fd: number, buf: Uint8Array, length: number): number {
    if (this.#fails(this.faults.EINTR)) return -ERRNO.EINTR;
    const file = this.file(fd);
    if (file instanceof NetlinkFile) return file.recv(buf);
    return this.#withSock(fd, (sock) => sock.recv(buf, Math.min(length, buf.byteLength)));
  }

  #send(fd: number, buf: Uint8Array, length: number): number {
    if (this.#fails(this.faults.EINTR)) return -ERRNO.EINTR;
    const file = this.file(fd);
    if (file instanceof NetlinkFile) return file.send(buf.subarray(0, length));
    return this.#withSock(fd, (sock) => sock.send(buf.subarray(0, length)));
  }

  #read(fd: number, buf: Uint8Array): number {
    const file = this.file(fd);
    if (file instanceof EventFd) return file.read(buf);
    if (!(file instanceof ProcFile)) return -ERRNO.EBADF;
    if (this.#fails(this.faults.EINTR)) return -ERRNO.EINTR;
    return file.read(buf, buf.byteLength);
  }

  #epollCtl(epfd: number, op: number, fd: number, event: Uint8Array): number {
    const epoll = this.file(epfd);
    const file = this.file(fd);
    if (!(epoll instanceof Epoll) || file === null) return -ERRNO.EBADF;
    if (op === EPOLL_CTL_DEL) return epoll.remove(fd) ? 0 : -ERRNO.ENOENT;
    if (op === EPOLL_CTL_ADD && this.#fails(this.faults.ENOBUFS)) return -ERRNO.ENOMEM;
    const view = new DataView(event.buffer, event.byteOffset);
    const words = [
      view.getInt32(epoll_event.events, true),
      view.getUint32(epoll_event.data, true),
      view.getUint32(epoll_event.data + 4, true),
    ] as const;
    if (op === EPOLL_CTL_ADD) return epoll.add(file, fd, ...words) ? 0 : -ERRNO.EEXIST;
    return epoll.modify(fd, ...words) ? 0 : -ERRNO.ENOENT;
  }

  #epollWait(epfd: number, events: Uint8Array, max: number): number {
    const epoll = this.file(epfd);
    if (!(epoll instanceof Epoll)) return -ERRNO.EBADF;
    if (this.#fails(this.faults.EINTR)) return -ERRNO.EINTR;
    if (
      this.#spurious < MAX_SPURIOUS && this.#fails(this.faults.spurious) && epoll.watched.length > 0
    ) {
      this.#spurious++;
      epoll.onWake(this.network.world.random.pick(epoll.watched));
    }
    const reports = epoll.take((ready) => this.#select(ready, max));
    if (reports.length === 0) return 0;
    const view = new DataView(events.buffer, events.byteOffset);
    for (const [i, { events: bits, item }] of reports.entries()) {
      const at = i * epoll_event.size;
      view.setUint32(at + epoll_event.events, bits, true);
      view.setUint32(at + epoll_event.data, item.low, true);
      view.setUint32(at + epoll_event.data + 4, item.high, true);
    }
    return reports.length;
  }

  /** Events come in any order, and some only at the next call. */
  #select(ready: readonly Item[], max: number): Item[] {
    if (ready.length === 0) return [];
    const { random } = this.network.world;
    const chosen = ready.filter(() => !this.#fails(this.faults.late));
    if (chosen.length > 1 && random.percent(50)) chosen.reverse();
    return chosen.slice(0, max);
  }

  #pipe(fds: Int32Array): number {
    if (this.#fails(this.faults.EMFILE)) return -ERRNO.EMFILE;
    const [reader, writer] = PipeEnd.pair();
    fds[0] = this.open(reader);
    fds[1] = this.open(writer);
    return 0;
  }

  #splice(from: number, to: number, length: number): number {
    if (this.#fails(this.faults.EINTR)) return -ERRNO.EINTR;
    const source = this.file(from);
    const target = this.file(to);
    if (source instanceof Sock && target instanceof PipeEnd) {
      if (target.room <= 0) return -ERRNO.EAGAIN;
      const buf = new Uint8Array(Math.min(length, target.room));
      const count = source.recv(buf, buf.byteLength);
      if (count > 0) target.queue.push(buf.subarray(0, count));
      return count;
    }
    if (source instanceof PipeEnd && target instanceof Sock) {
      if (source.queue.length === 0) return source.other === null ? 0 : -ERRNO.EAGAIN;
      return spliceOut(source, target, length);
    }
    return -ERRNO.EINVAL;
  }

  #lookUp(hostname: string, family: number): Uint8Array[] | number {
    const texts = this.proc.get(`hosts:${hostname}`)?.split(" ") ?? [];
    const ips = texts.map((text) => parseIp(text)!);
    const found = ips.filter((ip) => family === 0 || ip.family === family);
    if (found.length === 0) return EAI_NONAME;
    return found.map(({ bytes }) => encodeSockaddr(bytes, 0));
  }

  #lookUpLater(hostname: string, family: number): Promise<Uint8Array[] | number> {
    return new Promise((resolve) =>
      this.network.world.outside(() => resolve(this.#lookUp(hostname, family)))
    );
  }
}

const EAI_NONAME = -2;

function spliceOut(pipe: PipeEnd, target: Sock, length: number): number {
  const buf = new Uint8Array(Math.min(length, pipe.queue.length));
  pipe.queue.take(buf, buf.byteLength);
  const count = target.send(buf);
  // What was not sent is where it was: at the head of the pipe.
  const rest = buf.slice(Math.max(count, 0));
  const behind = new Uint8Array(pipe.queue.length);
  pipe.queue.take(behind, behind.byteLength);
  pipe.queue.push(rest);
  pipe.queue.push(behind);
  return count;
}

/** An IPv4-mapped address is the IPv4 address that it is. */
function toAddress(sockaddr: Uint8Array): Address {
  const { hostname, port } = decodeSockaddr(sockaddr);
  return { ip: hostname, port };
}

function giveAddress(
  sock: Sock,
  address: Address | null,
  addr: Uint8Array,
  addrlen: Uint32Array,
): number {
  const bytes = sockaddrOf(sock.isIpv6, address);
  addr.set(bytes.subarray(0, addr.byteLength));
  addrlen[0] = bytes.byteLength;
  return 0;
}

/** A sockaddr in the family of a socket. */
export function sockaddrOf(isIpv6: boolean, address: Address | null): Uint8Array {
  const { ip, port } = address ?? { ip: isIpv6 ? "::" : "0.0.0.0", port: 0 };
  const { family, bytes } = parseIp(ip)!;
  if (isIpv6 && family === AF_INET) {
    const isAny = bytes.every((byte) => byte === 0);
    return encodeSockaddr(isAny ? new Uint8Array(16) : toIpv4Mapped(bytes), port);
  }
  if (!isIpv6 && family === AF_INET6) throw new Error(`${ip} on an IPv4 socket`);
  return encodeSockaddr(bytes, port);
}

/** Whether a sockaddr is of IPv6 by its bytes, mapped ones included. */
export function isMappedSockaddr(sockaddr: Uint8Array): boolean {
  return isIpv4Mapped(sockaddrAddress(sockaddr));
}

/** The same calls, with each told of. */
function counted(calls: Libc, onCall: (name: keyof Libc) => void): Libc {
  const all = calls as unknown as Record<string, unknown>;
  for (const [name, call] of Object.entries(calls)) {
    if (typeof call !== "function") continue;
    all[name] = (...args: unknown[]) => {
      onCall(name as keyof Libc);
      return call(...args);
    };
  }
  return calls;
}
