/**
 * Where the epolls of this process have a socket. The runtime waits for its sockets in an epoll, and
 * an epoll knows a socket by a word of data: whoever has the word can have another descriptor take
 * the socket's place.
 *
 * @module
 */

import type { Libc } from "../linux/libc.ts";
import { findEpolls, readRegistrations, type Registration, socketInode } from "../linux/procfs.ts";

/** Why a socket was not found in an epoll, or is not to be touched. */
export class RegistrationError extends Error {}

/**
 * How the epolls of this process watch a socket, once for each descriptor of an epoll: an epoll may
 * have two.
 *
 * @throws {RegistrationError} where none is seen, or an epoll has the socket twice: which is which?
 */
export function findRegistrations(libc: Libc, fd: number): Registration[] {
  const inode = socketInode(libc, fd);
  if (inode === null) throw new RegistrationError("/proc/self/fd cannot be read");
  const found: Registration[] = [];
  for (const epfd of findEpolls(libc)) {
    const registrations = registrationsOf(libc, epfd, fd, inode);
    if (registrations === null) throw new RegistrationError("/proc/self/fdinfo cannot be read");
    if (registrations.length > 1) {
      throw new RegistrationError("the runtime's epoll watches its socket more than once");
    }
    found.push(...registrations);
  }
  if (found.length > 0) return found;
  throw new RegistrationError(
    "no epoll of this process watches the runtime's socket " +
      "(the runtime may wait by other means, or /proc be different here)",
  );
}

/**
 * How the epoll `epfd` watches the socket `fd`, once for each registration; `null` if the kernel does
 * not tell. Numbers get reused, and a registration outlives its number: the inode has to be right.
 */
export function registrationsOf(
  libc: Libc,
  epfd: number,
  fd: number,
  inode: number,
): Registration[] | null {
  const found = readRegistrations(libc, epfd);
  return found && found.filter((entry) => entry.fd === fd && entry.inode === inode);
}

/** Whether the place in the runtime's epoll may be taken: `MPTCP_NO_GUEST` in the environment says no. */
export function mayBeGuest(libc: Libc): boolean {
  const value = libc.getenv(NO_GUEST);
  return value === null || value === "" || value === "0";
}

/**
 * The variable of the environment that keeps this module out of the runtime's epoll: with
 * `MPTCP_NO_GUEST=1` sockets are waited for by a thread, and `serveMptcp` has the engine "node" alone.
 */
export const NO_GUEST = "MPTCP_NO_GUEST";
