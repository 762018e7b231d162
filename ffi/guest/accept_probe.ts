/**
 * The last check of a graft: that connections are accepted. It takes the event loop, so it comes
 * after the server was started.
 *
 * @module
 */

import { setTimeout } from "node:timers";
import { EPOLL_CLOEXEC, EPOLL_CTL_ADD, epoll_event, EPOLLIN } from "../linux/abi.ts";
import type { Libc } from "../linux/libc.ts";
import { describeFd } from "../linux/procfs.ts";

/** How often it is looked whether connections wait, and the milliseconds between. */
const LOOKS = 40;
const INTERVAL = 25;

/** How long a probe takes at most, in milliseconds. */
export const PROBE_TIMEOUT: number = LOOKS * INTERVAL;

/** A listening socket that the runtime is to accept from. */
export interface Listening {
  readonly fd: number;
  /** Connects to it; `null` where that fails, which is no fault of the runtime's. */
  readonly connect: () => Promise<Disposable | null>;
  /** True once the server is to end: its descriptor may be anything by then. */
  readonly isOver: () => boolean;
}

/**
 * False if a connection waits for a second and the runtime, whose event loop turns meanwhile, does not
 * accept it. No connection, no evidence: true.
 */
export async function probeAccept(libc: Libc, listening: Listening): Promise<boolean> {
  const { fd, connect, isOver } = listening;
  const identity = describeFd(libc, fd);
  using _conn = await connect();
  for (let i = 0; i < LOOKS; i++) {
    if (isOver() || describeFd(libc, fd) !== identity) return true;
    if (!hasPending(libc, fd)) return true;
    await new Promise((resolve) => setTimeout(resolve, i === 0 ? 0 : INTERVAL));
  }
  return false;
}

/** Whether connections wait to be accepted, asked through an epoll of its own. */
function hasPending(libc: Libc, fd: number): boolean {
  const event = new Uint8Array(epoll_event.size);
  new DataView(event.buffer).setUint32(epoll_event.events, EPOLLIN, true);
  const epfd = libc.epoll_create1(EPOLL_CLOEXEC);
  if (epfd < 0) return false;
  libc.epoll_ctl(epfd, EPOLL_CTL_ADD, fd, event);
  const count = libc.epoll_wait(epfd, new Uint8Array(epoll_event.size), 1, 0);
  libc.close(epfd);
  return count > 0;
}
