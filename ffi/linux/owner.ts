/**
 * The owner of an epoll, and closing those whose owner is gone.
 *
 * A descriptor belongs to the process: it outlives the thread, and the program, that opened it. A
 * Worker can be terminated and gets no chance to close its sockets; a program that is restarted in the
 * same process leaves those of the run before. So each epoll says which thread it is of, by an entry
 * for its eventfd that no event ever comes from, and whoever uses this module next closes what threads
 * have left: all that their epolls watch. The kernel keeps this list for us, and keeps it right.
 *
 * @module
 */

import {
  AF_UNIX,
  EPOLL_CTL_ADD,
  epoll_event,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from "./abi.ts";
import type { Libc } from "./libc.ts";
import {
  currentThread,
  describeFd,
  findEpolls,
  readRegistrations,
  type Registration,
  socketInode,
  type Thread,
  threadStartTime,
} from "./procfs.ts";
import { encodeAbstractSockaddr } from "./sockaddr.ts";

/** The first word of data of an entry that is there to say something, and of no other. */
export const NO_SLOT = 0xffff_ffff;

/** The other word: the number of a thread takes 22 bits, what is left of its start time the others. */
const TID_BITS = 22;

function encodeThread({ tid, startTime }: Thread): number {
  return ((startTime << TID_BITS) | tid) >>> 0;
}

/** Says that an epoll, which `eventfd` interrupts, is of the calling thread. */
export function markOwner(libc: Libc, epfd: number, eventfd: number): void {
  const thread = currentThread(libc);
  if (thread === null) return;
  const view = new DataView(new ArrayBuffer(epoll_event.size));
  view.setUint32(epoll_event.data, NO_SLOT, true);
  view.setUint32(epoll_event.data + 4, encodeThread(thread), true);
  libc.epoll_ctl(epfd, EPOLL_CTL_ADD, eventfd, new Uint8Array(view.buffer));
}

/** Has a descriptor that is not waited for be closed with the epoll, if its thread leaves both. */
export function addBelonging(libc: Libc, epfd: number, fd: number): void {
  const view = new DataView(new ArrayBuffer(epoll_event.size));
  view.setUint32(epoll_event.events, EPOLLET, true);
  view.setUint32(epoll_event.data, NO_SLOT, true);
  libc.epoll_ctl(epfd, EPOLL_CTL_ADD, fd, new Uint8Array(view.buffer));
}

/** An epoll, by one of its descriptors, and the entry that says whose it is. */
interface Owned {
  readonly epfd: number;
  readonly mark: Registration;
  readonly entries: readonly Registration[];
}

function ownedEpolls(libc: Libc): Owned[] {
  return findEpolls(libc).flatMap((epfd) => {
    const entries = readRegistrations(libc, epfd) ?? [];
    const mark = entries.find((entry) => isMark(libc, entry));
    return mark === undefined ? [] : [{ epfd, mark, entries }];
  });
}

function isMark(libc: Libc, { fd, events, data }: Registration): boolean {
  return Number(data & 0xffff_ffffn) === NO_SLOT && events === (EPOLLERR | EPOLLHUP) &&
    describeFd(libc, fd) === "anon_inode:[eventfd]";
}

/**
 * Closes what epolls watch whose threads are gone, and the epolls, and returns how many they were. Of
 * those of the calling thread `isLeft` says, by the eventfd, whether they are of a program that has
 * ended.
 */
export function closeOrphans(libc: Libc, isLeft: (eventfd: number) => boolean): number {
  const current = currentThread(libc);
  if (current === null) return 0;
  // One at a time: a number that two threads close may be somebody else's the second time.
  const lock = takeLock(libc);
  if (lock < 0) return 0;
  try {
    const orphans = ownedEpolls(libc).filter(({ mark }) => {
      const owner = Number(mark.data >> 32n);
      if (owner === encodeThread(current)) return isLeft(mark.fd);
      const tid = owner % 2 ** TID_BITS;
      const startTime = threadStartTime(libc, tid);
      return startTime === null || encodeThread({ tid, startTime }) !== owner;
    });
    closeAll(libc, orphans);
    return orphans.length;
  } finally {
    libc.close(lock);
  }
}

function closeAll(libc: Libc, orphans: readonly Owned[]): void {
  // An epoll may have two descriptors. Each number is closed once: it may be reused at once.
  const eventfds = new Set(orphans.map(({ mark }) => mark.fd));
  // A thread of the runtime's may still block in `poll`.
  for (const fd of eventfds) libc.write(fd, ONE);
  const fds = orphans.flatMap(({ epfd, entries }) => [
    epfd,
    // An entry lives as long as its file, which may have another number, and the number another file.
    ...entries.filter(({ fd, inode }) => inode !== null && socketInode(libc, fd) === inode)
      .map(({ fd }) => fd),
  ]);
  for (const fd of new Set([...eventfds, ...fds])) libc.close(fd);
}

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** A lock of this process, which is let go by closing it; negative while somebody has it. */
function takeLock(libc: Libc): number {
  const pid = readPid(libc);
  if (pid === null) return -1;
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  const result = libc.bind(fd, encodeAbstractSockaddr(`multipath-mptcp-orphans-${pid}`));
  if (result === 0) return fd;
  libc.close(fd);
  return result;
}

function readPid(libc: Libc): string | null {
  const buf = new Uint8Array(32);
  const length = libc.readlink("/proc/self", buf);
  return length < 0 ? null : new TextDecoder().decode(buf.subarray(0, length));
}
