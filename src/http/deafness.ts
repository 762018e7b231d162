/**
 * The last check of a graft: that what connects is accepted. It takes the event loop, so it comes
 * after `serveMptcp` has returned.
 *
 * @module
 */

import { EPOLL_CLOEXEC, EPOLL_CTL_ADD, epoll_event, EPOLLIN } from "../../ffi/linux/abi.ts";
import { describeFd } from "../../ffi/linux/procfs.ts";
import { libc } from "../../ffi/runtime.ts";
import { connectMptcp } from "../net/connect.ts";
import type { MptcpConn, NetAddr } from "../types.ts";

/** How often it is looked whether connections wait, and the milliseconds between. */
const LOOKS = 40;
const INTERVAL = 25;

/** A listening socket that the runtime is to accept from. */
export interface Listening {
  readonly fd: number;
  readonly addr: NetAddr;
  readonly netns?: string | undefined;
  /** True once the server is to end: its descriptor may be anything by then. */
  isOver(): boolean;
}

/**
 * True if a connection waits for a second and the runtime, whose event loop turns meanwhile, does not
 * accept it. No connection, no evidence: false.
 */
export async function isDeaf(listening: Listening): Promise<boolean> {
  const identity = describeFd(libc(), listening.fd);
  using _conn = await connectTo(listening);
  for (let i = 0; i < LOOKS; i++) {
    if (listening.isOver() || describeFd(libc(), listening.fd) !== identity) return false;
    if (!hasPending(listening.fd)) return false;
    await new Promise((resolve) => setTimeout(resolve, i === 0 ? 0 : INTERVAL));
  }
  return true;
}

/** The empty line that HTTP allows before a request: with `TCP_DEFER_ACCEPT` something has to come. */
const EMPTY_LINE = new TextEncoder().encode("\r\n");

async function connectTo({ addr, netns }: Listening): Promise<MptcpConn | null> {
  const loopback: Record<string, string> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  try {
    const conn = await connectMptcp({
      hostname: loopback[addr.hostname] ?? addr.hostname,
      port: addr.port,
      mptcp: "off",
      signal: AbortSignal.timeout(LOOKS * INTERVAL),
      ...(netns !== undefined && { netns }),
    });
    // A new connection has room: this does not wait.
    await conn.write(EMPTY_LINE);
    return conn;
  } catch {
    // A firewall, an address that is not here yet, a full backlog.
    return null;
  }
}

/** Whether connections wait to be accepted, asked through an epoll of its own. */
function hasPending(fd: number): boolean {
  const event = new Uint8Array(epoll_event.size);
  new DataView(event.buffer).setUint32(epoll_event.events, EPOLLIN, true);
  const epfd = libc().epoll_create1(EPOLL_CLOEXEC);
  if (epfd < 0) return false;
  libc().epoll_ctl(epfd, EPOLL_CTL_ADD, fd, event);
  const count = libc().epoll_wait(epfd, new Uint8Array(epoll_event.size), 1, 0);
  libc().close(epfd);
  return count > 0;
}
