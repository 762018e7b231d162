/**
 * Single system calls on sockets, typed: each says what it wants, and either gives its answer or
 * throws an `MptcpError` that names the call.
 *
 * @module
 */

import {
  CLONE_NEWNET,
  linger,
  O_CLOEXEC,
  O_RDONLY,
  SO_ERROR,
  SO_LINGER,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  sockaddr_storage,
  SOL_SOCKET,
} from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { libc } from "../../ffi/runtime.ts";
import { decodeSockaddr } from "../../ffi/linux/sockaddr.ts";
import { check } from "../error.ts";
import type { NetAddr } from "../types.ts";

/** `socket(2)` for a non-blocking stream, in a network namespace if one is named; fd or `-errno`. */
export function openSocket(domain: number, protocol: number, netns?: string): number {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  return inNetns(netns, () => libc().socket(domain, type, protocol));
}

/** A socket option that is a C `int`; the value or `-errno`. */
export function getIntOption(fd: number, level: number, optname: number): number {
  optlen[0] = 4;
  const result = libc().getsockopt(fd, level, optname, intBytes, optlen);
  return result < 0 ? result : int[0]!;
}

/** Sets a socket option that is a C `int`; 0 or `-errno`. */
export function setIntOption(fd: number, level: number, optname: number, value: number): number {
  int[0] = value;
  return libc().setsockopt(fd, level, optname, intBytes);
}

const int = new Int32Array(1);
const intBytes = new Uint8Array(int.buffer);
const optlen = new Uint32Array(1);
const addr = new Uint8Array(sockaddr_storage.size);

/**
 * Fills `value` with a socket option. Gives the length that the kernel returned, of which no more
 * than `value.byteLength` was written, or `-errno`.
 */
export function getOption(fd: number, level: number, optname: number, value: Uint8Array): number {
  optlen[0] = value.byteLength;
  const result = libc().getsockopt(fd, level, optname, value, optlen);
  return result < 0 ? result : optlen[0]!;
}

/** The pending error of a socket as `-errno`, and clears it; 0 if there is none. */
export function takeSocketError(fd: number): number {
  const error = getIntOption(fd, SOL_SOCKET, SO_ERROR);
  return error < 0 ? error : -error;
}

/** Makes `close` of a socket reset its connection, and drop what was not sent yet. */
export function resetOnClose(fd: number): void {
  libc().setsockopt(fd, SOL_SOCKET, SO_LINGER, encodeLinger(0));
}

/** Undoes {@linkcode resetOnClose}: `close` ends the connection as the kernel usually does. */
export function finishOnClose(fd: number): void {
  libc().setsockopt(fd, SOL_SOCKET, SO_LINGER, encodeLinger(null));
}

/** A `struct linger`: seconds that `close` waits for, or `null` for the kernel's own way. */
export function encodeLinger(seconds: number | null): Uint8Array {
  const view = new DataView(new ArrayBuffer(linger.size));
  view.setInt32(linger.l_onoff, Number(seconds !== null), true);
  view.setInt32(linger.l_linger, seconds ?? 0, true);
  return new Uint8Array(view.buffer);
}

/** The sockaddr of this end. */
export function localSockaddr(fd: number): Uint8Array {
  optlen[0] = addr.byteLength;
  check("getsockname", libc().getsockname(fd, addr, optlen));
  return addr.slice(0, optlen[0]);
}

/** The sockaddr of the other end, or `-errno`. */
export function peerSockaddr(fd: number): Uint8Array | number {
  optlen[0] = addr.byteLength;
  const result = libc().getpeername(fd, addr, optlen);
  return result < 0 ? result : addr.slice(0, optlen[0]);
}

/** A sockaddr as users see it. */
export function toNetAddr(sockaddr: Uint8Array): NetAddr {
  const { hostname, port } = decodeSockaddr(sockaddr);
  return { transport: "tcp", hostname, port };
}

/**
 * Runs `action` with the calling thread inside a network namespace, and always puts it back; where
 * it is, if none is named.
 */
export function inNetns<T>(netns: string | undefined, action: () => T): T {
  if (netns === undefined) return action();
  const path = netns.includes("/") ? netns : `/run/netns/${netns}`;
  const context = { operation: `network namespace "${netns}"` };
  const there = check("open", libc().open(path, O_RDONLY | O_CLOEXEC), {
    ...context,
    advice: "`ip netns list` lists the names",
  });
  try {
    const here = check("open", libc().open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    try {
      check("setns", libc().setns(there, CLONE_NEWNET), {
        ...context,
        advice: "Entering a network namespace needs CAP_SYS_ADMIN and a path to a namespace",
      });
      try {
        return action();
      } finally {
        check("setns", libc().setns(here, CLONE_NEWNET), { operation: "leave network namespace" });
      }
    } finally {
      libc().close(here);
    }
  } finally {
    libc().close(there);
  }
}

/** True for the errno of a call that should simply be made again. */
export function isInterrupted(result: number): boolean {
  return result === -ERRNO.EINTR;
}
