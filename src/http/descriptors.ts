/**
 * What the kernel tells a process about its own descriptors.
 *
 * @module
 */

import { readRegistrations, readText, type Registration } from "../../ffi/linux/procfs.ts";
import { libc } from "../../ffi/runtime.ts";

/** Where descriptors are looked for when /proc does not say how many there can be. */
const DEFAULT_FD_LIMIT = 4096;

/** A number that every descriptor of this process is below. */
export function fdLimit(): number {
  // The size of the kernel's table, which only grows. The resource limit can be a million and more.
  const size = /^FDSize:\s*(\d+)$/m.exec(readText(libc(), "/proc/self/status") ?? "");
  return size === null ? DEFAULT_FD_LIMIT : Number(size[1]);
}

/**
 * How the epoll `epfd` watches the socket `fd`, once for each registration; `null` if the kernel does
 * not tell. Numbers get reused, and a registration outlives its number: the inode has to be right.
 */
export function registrationsOf(epfd: number, fd: number, inode: number): Registration[] | null {
  const found = readRegistrations(libc(), epfd);
  return found && found.filter((entry) => entry.fd === fd && entry.inode === inode);
}
