/**
 * What each call may fail with, by its man page, and what this module makes of it.
 *
 * @module
 */

import { SOL_TCP, TCP_IS_MPTCP } from "../../ffi/linux/abi.ts";
import type { ERRNO } from "../../ffi/linux/errno.ts";
import type { Libc } from "../../ffi/linux/libc.ts";

type ErrnoName = keyof typeof ERRNO;

/** The failures of one call. */
export interface Failures {
  /** Those that users never see: the call is made again, or does without. */
  readonly hidden: readonly ErrnoName[];
  /** Those that users are told of. */
  readonly told: readonly ErrnoName[];
  /** Whether the call is one that can fail so. */
  applies?(args: readonly unknown[]): boolean;
}

/** By the names of the calls. */
export const FAILURES: Readonly<Partial<Record<keyof Libc, Failures>>> = {
  socket: { hidden: [], told: ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] },
  bind: { hidden: [], told: ["EACCES", "EADDRINUSE", "EADDRNOTAVAIL", "ENOMEM"] },
  listen: { hidden: [], told: ["EADDRINUSE"] },
  accept4: {
    hidden: ["EINTR", "ECONNABORTED", "EPROTO", "ENETDOWN", "EHOSTUNREACH", "ENETUNREACH"],
    told: ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPERM"],
  },
  connect: {
    hidden: [],
    told: ["ECONNREFUSED", "ENETUNREACH", "ETIMEDOUT", "EADDRNOTAVAIL", "EACCES", "ENOBUFS"],
  },
  recv: {
    hidden: ["EINTR", "EAGAIN"],
    told: ["ECONNRESET", "ETIMEDOUT", "ENOMEM", "ENOTCONN"],
  },
  send: {
    hidden: ["EINTR", "EAGAIN"],
    told: ["ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOBUFS", "ENOMEM"],
  },
  shutdown: { hidden: [], told: ["ENOTCONN", "ENOBUFS"] },
  // The descriptor is free all the same, says close(2) of Linux.
  close: { hidden: ["EINTR", "EIO"], told: [] },
  getsockname: { hidden: [], told: ["ENOBUFS"] },
  setsockopt: { hidden: [], told: ["ENOMEM", "ENOBUFS", "ENOPROTOOPT", "EINVAL"] },
  // Kernels before 6.10 do not know the option, and are asked in another way.
  getsockopt: {
    hidden: ["EOPNOTSUPP", "ENOPROTOOPT"],
    told: [],
    applies: ([, level, optname]) => level === SOL_TCP && optname === TCP_IS_MPTCP,
  },
  epoll_ctl: { hidden: [], told: ["ENOMEM", "ENOSPC"] },
  epoll_wait: { hidden: ["EINTR"], told: [] },
};
