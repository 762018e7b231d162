/**
 * The graft: a listening socket of ours put under a server that the runtime made.
 *
 * `Deno.serve` and `Bun.serve` open their own sockets, over TCP. So the runtime listens
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
} from "../linux/abi.ts";
import { ERRNO, errnoName } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { fdLimit, type Registration, socketInode } from "../linux/procfs.ts";
import { decodeSockaddr } from "../linux/sockaddr.ts";
import {
  findRegistrations,
  mayBeGuest,
  NO_GUEST,
  RegistrationError,
  registrationsOf,
} from "./registrations.ts";

/** Why the graft was refused. Everything is as it was before. */
export class GraftError extends Error {}

/**
 * Makes the runtime's listening socket at `hostname` and `port` be the socket `listenerFd`, and
 * returns the runtime's descriptor. `listenerFd` stays open; it means the same socket then.
 */
export function graft(libc: Libc, listenerFd: number, hostname: string, port: number): number {
  if (!mayBeGuest(libc)) throw new GraftError(`${NO_GUEST} is set in the environment`);
  try {
    return new Graft(libc).run(listenerFd, hostname, port);
  } catch (error) {
    if (error instanceof RegistrationError) throw new GraftError(error.message);
    throw error;
  }
}

function check(syscall: string, result: number): number {
  if (result < 0) throw new GraftError(`${syscall} failed (${errnoName(-result)})`);
  return result;
}

class Graft {
  readonly #libc: Libc;
  readonly #event = new Uint8Array(epoll_event.size);

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  run(listenerFd: number, hostname: string, port: number): number {
    const fd = this.#findListener(hostname, port);
    const registrations = findRegistrations(this.#libc, fd);
    // The runtime's own socket lives on by this, and its registration with it, until all is well.
    const spare = check("fcntl", this.#libc.fcntl(fd, F_DUPFD_CLOEXEC, 0));
    try {
      this.#replace(fd, listenerFd, registrations, spare);
    } finally {
      this.#libc.close(spare);
    }
    return fd;
  }

  #findListener(hostname: string, port: number): number {
    const found: number[] = [];
    const limit = fdLimit(this.#libc);
    for (let fd = 0; fd < limit; fd++) {
      if (this.#listens(fd) && this.#isAt(fd, hostname, port)) found.push(fd);
    }
    if (found.length === 1) return found[0]!;
    throw new GraftError(
      `${found.length} descriptors listen on ${hostname} port ${port}, where only the runtime's should`,
    );
  }

  #listens(fd: number): boolean {
    const value = new Int32Array(1);
    const bytes = new Uint8Array(value.buffer);
    const length = new Uint32Array([bytes.byteLength]);
    return this.#libc.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, bytes, length) === 0 &&
      value[0] === 1;
  }

  #isAt(fd: number, hostname: string, port: number): boolean {
    const addr = new Uint8Array(sockaddr_storage.size);
    const length = new Uint32Array([addr.byteLength]);
    if (this.#libc.getsockname(fd, addr, length) < 0) return false;
    try {
      const local = decodeSockaddr(addr.subarray(0, length[0]));
      return local.port === port && local.hostname === hostname;
    } catch {
      // A Unix socket.
      return false;
    }
  }

  #replace(fd: number, listenerFd: number, registrations: Registration[], spare: number): void {
    check("dup3", this.#libc.dup3(listenerFd, fd, O_CLOEXEC));
    const added: number[] = [];
    try {
      for (const registration of registrations) {
        if (this.#watch(registration, fd)) added.push(registration.epfd);
      }
      this.#verify(fd, registrations);
    } catch (error) {
      // Our socket lives on, and so would its registrations: closing a number does not end them.
      for (const epfd of added) this.#libc.epoll_ctl(epfd, EPOLL_CTL_DEL, fd, this.#event);
      // With this the number means the runtime's socket again, whose registration never ended.
      this.#libc.dup3(spare, fd, O_CLOEXEC);
      throw error;
    }
  }

  /** Registers as the runtime did; false if the epoll has it from another of its descriptors. */
  #watch({ epfd, events, data }: Registration, fd: number): boolean {
    const view = new DataView(this.#event.buffer);
    view.setUint32(epoll_event.events, events, true);
    view.setBigUint64(epoll_event.data, data, true);
    const result = this.#libc.epoll_ctl(epfd, EPOLL_CTL_ADD, fd, this.#event);
    // Deno's epoll has two descriptors. `#verify` sees to it that this was the reason.
    if (result === -ERRNO.EEXIST) return false;
    check("epoll_ctl", result);
    return true;
  }

  /** Reads back what the kernel has now. */
  #verify(fd: number, registrations: Registration[]): void {
    const inode = socketInode(this.#libc, fd);
    for (const { epfd, events, data } of registrations) {
      const now = inode === null ? null : registrationsOf(this.#libc, epfd, fd, inode);
      if (now?.length !== 1 || now[0]!.events !== events || now[0]!.data !== data) {
        throw new GraftError("the runtime's epoll does not show the new socket as expected");
      }
    }
  }
}
