/**
 * Files of /proc, through libc: Deno would ask for a permission.
 *
 * @module
 */

import { O_CLOEXEC, O_RDONLY } from "./abi.ts";
import { ERRNO } from "./errno.ts";
import type { Libc } from "./libc.ts";

const CHUNK = 16 * 1024;

/** The text of a file; `null` if it cannot be read. */
export function readText(libc: Libc, path: string): string | null {
  const fd = libc.open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return null;
  const decoder = new TextDecoder();
  const buf = new Uint8Array(CHUNK);
  let text = "";
  try {
    for (;;) {
      const length = libc.read(fd, buf);
      if (length === -ERRNO.EINTR) continue;
      if (length < 0) return null;
      if (length === 0) return text;
      text += decoder.decode(buf.subarray(0, length), { stream: true });
    }
  } finally {
    libc.close(fd);
  }
}

/** One descriptor that an epoll watches. */
export interface Registration {
  readonly epfd: number;
  readonly fd: number;
  /** `events` and `data` of its `struct epoll_event`. */
  readonly events: number;
  readonly data: bigint;
  /** Of the file behind the descriptor; `null` where the kernel does not say (before 5.8). */
  readonly inode: number | null;
}

const TFD = /^tfd:\s*(\d+) events:\s*([0-9a-f]+) data:\s*([0-9a-f]+)(?:.* ino:([0-9a-f]+))?/gm;

/** What an epoll watches, by proc_pid_fdinfo(5); `null` if that cannot be read. */
export function readRegistrations(libc: Libc, epfd: number): Registration[] | null {
  const text = readText(libc, `/proc/self/fdinfo/${epfd}`);
  if (text === null) return null;
  return [...text.matchAll(TFD)].map(([, fd, events, data, inode]) => ({
    epfd,
    fd: Number(fd),
    events: parseInt(events!, 16),
    data: BigInt(`0x${data}`),
    inode: inode === undefined ? null : parseInt(inode, 16),
  }));
}

/** What a descriptor of this process is, as "socket:[4711]"; "" if it is none. */
export function describeFd(libc: Libc, fd: number): string {
  const buf = new Uint8Array(128);
  const length = libc.readlink(`/proc/self/fd/${fd}`, buf);
  return length < 0 ? "" : new TextDecoder().decode(buf.subarray(0, length));
}

/** The inode of a socket; `null` if the descriptor is none, or /proc cannot be read. */
export function socketInode(libc: Libc, fd: number): number | null {
  const inode = /^socket:\[(\d+)\]$/.exec(describeFd(libc, fd));
  return inode === null ? null : Number(inode[1]);
}
