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

/** Where descriptors are looked for when /proc does not say how many there can be. */
const DEFAULT_FD_LIMIT = 4096;

/** A number that every descriptor of this process is below. */
export function fdLimit(libc: Libc): number {
  // The size of the kernel's table, which only grows. The resource limit can be a million and more.
  const size = /^FDSize:\s*(\d+)$/m.exec(readText(libc, "/proc/self/status") ?? "");
  return size === null ? DEFAULT_FD_LIMIT : Number(size[1]);
}

/** The epolls of this process. */
export function findEpolls(libc: Libc): number[] {
  const epolls: number[] = [];
  const limit = fdLimit(libc);
  for (let fd = 0; fd < limit; fd++) {
    if (describeFd(libc, fd) === "anon_inode:[eventpoll]") epolls.push(fd);
  }
  return epolls;
}

/** A thread of this process: numbers get reused, but not within the same hundredth of a second. */
export interface Thread {
  readonly tid: number;
  /** Since the machine started, in clock ticks. */
  readonly startTime: number;
}

/** The calling thread; `null` where /proc cannot be read. */
export function currentThread(libc: Libc): Thread | null {
  const buf = new Uint8Array(64);
  const length = libc.readlink("/proc/thread-self", buf);
  if (length < 0) return null;
  const tid = Number(new TextDecoder().decode(buf.subarray(0, length)).split("/").at(-1));
  const startTime = threadStartTime(libc, tid);
  return startTime === null ? null : { tid, startTime };
}

/** When a thread of this process started; `null` if there is no such thread. */
export function threadStartTime(libc: Libc, tid: number): number | null {
  const stat = readText(libc, `/proc/self/task/${tid}/stat`);
  // By proc_pid_stat(5) the 22nd field, and the second, a name in brackets, may have spaces.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields?.[19] === undefined ? null : Number(fields[19]);
}
