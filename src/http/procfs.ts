/**
 * What the kernel tells a process about its own descriptors, read through libc: Deno reads
 * /proc/self only under `--allow-all`.
 *
 * @module
 */

import { O_CLOEXEC, O_RDONLY } from "../../ffi/abi.ts";
import { libc } from "../../ffi/runtime.ts";

const CHUNK = 64 * 1024;

/** The text of a file; `null` if it cannot be read. */
export function readText(path: string): string | null {
  const fd = libc().open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return null;
  const decoder = new TextDecoder();
  const buf = new Uint8Array(CHUNK);
  let text = "";
  let count;
  while ((count = libc().read(fd, buf)) > 0) {
    text += decoder.decode(buf.subarray(0, count), { stream: true });
  }
  libc().close(fd);
  return count < 0 ? null : text;
}

/** What a descriptor of this process is, as "socket:[4711]"; "" if it is none. */
export function describeFd(fd: number): string {
  const buf = new Uint8Array(128);
  const length = libc().readlink(`/proc/self/fd/${fd}`, buf);
  return length < 0 ? "" : new TextDecoder().decode(buf.subarray(0, length));
}

/** Where descriptors are looked for when /proc does not say how many there can be. */
const DEFAULT_FD_LIMIT = 4096;

/** A number that every descriptor of this process is below. */
export function fdLimit(): number {
  // The size of the kernel's table, which only grows. The resource limit can be a million and more.
  const size = /^FDSize:\s*(\d+)$/m.exec(readText("/proc/self/status") ?? "");
  return size === null ? DEFAULT_FD_LIMIT : Number(size[1]);
}

/** One descriptor that an epoll watches. */
export interface Registration {
  readonly epfd: number;
  /** `events` and `data` of its `struct epoll_event`. */
  readonly events: number;
  readonly data: bigint;
}

const TFD = /^tfd:\s*(\d+) events:\s*([0-9a-f]+) data:\s*([0-9a-f]+)(?:.* ino:([0-9a-f]+))?/gm;

/**
 * How the epoll `epfd` watches the socket `fd`, once for each registration; `null` if the kernel does
 * not tell. Numbers get reused, and a registration outlives its number: the inode has to be right.
 */
export function registrationsOf(epfd: number, fd: number, inode: number): Registration[] | null {
  const text = readText(`/proc/self/fdinfo/${epfd}`);
  if (text === null) return null;
  const found: Registration[] = [];
  for (const [, tfd, events, data, ino] of text.matchAll(TFD)) {
    if (Number(tfd) !== fd || ino === undefined || parseInt(ino, 16) !== inode) continue;
    found.push({ epfd, events: parseInt(events!, 16), data: BigInt(`0x${data}`) });
  }
  return found;
}
