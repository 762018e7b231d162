/**
 * The graft: a listening socket of ours put under a server that the runtime made.
 *
 * `Deno.serve` and `Bun.serve` listen on sockets of their own making, by TCP. So the runtime listens
 * on a port of the loopback, and then its descriptor is made to mean our socket (`dup3`) and the
 * runtime's epoll is told to watch that one just as it watched the other. The runtime cannot tell.
 * From there on every byte goes the runtime's own way, at its own speed.
 *
 * All of it is one synchronous piece, so nothing is accepted in between. Everything that is not as
 * it should be, before or while it is done, undoes it: {@linkcode GraftError} says what.
 *
 * @module
 */

import {
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  epoll_event,
  F_DUPFD_CLOEXEC,
  O_CLOEXEC,
  SO_ACCEPTCONN,
  sockaddr_storage,
  SOL_SOCKET,
} from "../../ffi/linux/abi.ts";
import { ERRNO, errnoName } from "../../ffi/linux/errno.ts";
import { describeFd, type Registration, socketInode } from "../../ffi/linux/procfs.ts";
import { libc } from "../../ffi/runtime.ts";
import { decodeSockaddr } from "../../ffi/linux/sockaddr.ts";
import { getIntOption } from "../poll/socket.ts";
import { fdLimit, registrationsOf } from "./descriptors.ts";

/** Why the graft was refused. Everything is as it was before. */
export class GraftError extends Error {}

/**
 * Makes the runtime's listening socket at `hostname` and `port` be the socket `listenerFd`, and
 * returns the runtime's descriptor. `listenerFd` stays open; it means the same socket then.
 */
export function graft(listenerFd: number, hostname: string, port: number): number {
  const { listeners, others } = sortFds();
  const fd = findListener(listeners, hostname, port);
  const registrations = findRegistrations(others, fd);
  // The runtime's own socket lives on by this, and its registration with it, until all is well.
  const spare = check("fcntl", libc().fcntl(fd, F_DUPFD_CLOEXEC, 0));
  try {
    replace(fd, listenerFd, registrations, spare);
  } finally {
    libc().close(spare);
  }
  return fd;
}

function check(syscall: string, result: number): number {
  if (result < 0) throw new GraftError(`${syscall} failed (${errnoName(-result)})`);
  return result;
}

/** The descriptors of this process: sockets that listen, and what is no socket. */
function sortFds(): { listeners: number[]; others: number[] } {
  const listeners: number[] = [];
  const others: number[] = [];
  const limit = fdLimit();
  for (let fd = 0; fd < limit; fd++) {
    const listens = getIntOption(fd, SOL_SOCKET, SO_ACCEPTCONN);
    if (listens === 1) listeners.push(fd);
    else if (listens === -ERRNO.ENOTSOCK) others.push(fd);
  }
  return { listeners, others };
}

function findListener(listeners: number[], hostname: string, port: number): number {
  const found = listeners.filter((fd) => isAt(fd, hostname, port));
  if (found.length === 1) return found[0]!;
  throw new GraftError(
    `${found.length} descriptors listen on ${hostname} port ${port}, where the runtime's one is to be`,
  );
}

const addr = new Uint8Array(sockaddr_storage.size);
const addrlen = new Uint32Array(1);

function isAt(fd: number, hostname: string, port: number): boolean {
  addrlen[0] = addr.byteLength;
  if (libc().getsockname(fd, addr, addrlen) < 0) return false;
  try {
    const local = decodeSockaddr(addr.subarray(0, addrlen[0]));
    return local.port === port && local.hostname === hostname;
  } catch {
    // A Unix socket.
    return false;
  }
}

/** How the epolls of this process watch the listening socket. */
function findRegistrations(others: number[], fd: number): Registration[] {
  const inode = inodeOf(fd);
  const found: Registration[] = [];
  for (const epfd of others) {
    if (describeFd(libc(), epfd) !== "anon_inode:[eventpoll]") continue;
    const registrations = registrationsOf(epfd, fd, inode);
    if (registrations === null) throw new GraftError("/proc/self/fdinfo cannot be read");
    if (registrations.length > 1) {
      throw new GraftError("the runtime's epoll watches its listening socket more than once");
    }
    found.push(...registrations);
  }
  if (found.length > 0) return found;
  throw new GraftError(
    "no epoll of this process is seen to watch the runtime's listening socket " +
      "(the runtime may wait by other means, or /proc be different here)",
  );
}

function inodeOf(fd: number): number {
  const inode = socketInode(libc(), fd);
  if (inode === null) throw new GraftError("/proc/self/fd cannot be read");
  return inode;
}

function replace(
  fd: number,
  listenerFd: number,
  registrations: Registration[],
  spare: number,
): void {
  check("dup3", libc().dup3(listenerFd, fd, O_CLOEXEC));
  const added: number[] = [];
  try {
    for (const registration of registrations) {
      if (watch(registration, fd)) added.push(registration.epfd);
    }
    verify(fd, registrations);
  } catch (error) {
    // Our socket lives on, and so would its registrations: closing a number does not end them.
    for (const epfd of added) libc().epoll_ctl(epfd, EPOLL_CTL_DEL, fd, event);
    // With this the number means the runtime's socket again, whose registration never ended.
    libc().dup3(spare, fd, O_CLOEXEC);
    throw error;
  }
}

const event = new Uint8Array(epoll_event.size);
const eventView = new DataView(event.buffer);

/** Registers as the runtime did; false if the epoll has it from another of its descriptors. */
function watch({ epfd, events, data }: Registration, fd: number): boolean {
  eventView.setUint32(epoll_event.events, events, true);
  eventView.setBigUint64(epoll_event.data, data, true);
  const result = libc().epoll_ctl(epfd, EPOLL_CTL_ADD, fd, event);
  // Deno's epoll has two descriptors. `verify` sees to it that this was the reason.
  if (result === -ERRNO.EEXIST) return false;
  check("epoll_ctl", result);
  return true;
}

/** Reads back what the kernel has now. */
function verify(fd: number, registrations: Registration[]): void {
  const inode = inodeOf(fd);
  for (const { epfd, events, data } of registrations) {
    const now = registrationsOf(epfd, fd, inode);
    if (now?.length !== 1 || now[0]!.events !== events || now[0]!.data !== data) {
      throw new GraftError("the runtime's epoll does not show the new socket as it should");
    }
  }
}
