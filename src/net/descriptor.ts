/**
 * Sockets that this module did not make: given as descriptors, and checked before they are used.
 *
 * @module
 */

import {
  AF_INET,
  AF_INET6,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  IPPROTO_MPTCP,
  IPPROTO_TCP,
  O_NONBLOCK,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_PROTOCOL,
  SOL_SOCKET,
} from "../../ffi/linux/abi.ts";
import { errnoClass } from "../../ffi/linux/errno.ts";
import { libc, unsupportedPlatform } from "../../ffi/runtime.ts";
import { check, MptcpError, unsupportedError } from "../error.ts";
import { getIntOption } from "../poll/socket.ts";
import { show } from "../show.ts";
import type { Fallback, Protocol } from "../types.ts";

/** A socket that somebody else made. */
export interface ForeignSocket {
  readonly fd: number;
  /** `AF_INET` or `AF_INET6`. */
  readonly domain: number;
  /** What it was made for, whatever it speaks. */
  readonly protocol: Protocol;
  readonly isListening: boolean;
}

/** The fallback of a descriptor that is a TCP socket. */
export const TCP_DESCRIPTOR: Fallback = {
  reason: "descriptor",
  detail:
    "The descriptor is a TCP socket: it was created for TCP, or accepted from a client that did " +
    "not request MPTCP",
};

/** The fallback of an MPTCP socket that speaks TCP, of which it is not known who connected. */
export const PEER_OF_DESCRIPTOR: Fallback = {
  reason: "peer",
  detail: "The peer, or something on the path, does not support MPTCP",
};

/** What a descriptor is. Throws unless it is a TCP or MPTCP socket. */
export function inspect(fd: number): ForeignSocket {
  const platform = unsupportedPlatform();
  if (platform !== null) throw unsupportedError(`Descriptors need Linux: ${platform}`);
  if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fffffff) {
    throw new TypeError(`Invalid fd: expected a descriptor, got ${show(fd)}`);
  }
  const domain = check("getsockopt", getIntOption(fd, SOL_SOCKET, SO_DOMAIN), {
    operation: `descriptor ${fd}`,
  });
  if (domain !== AF_INET && domain !== AF_INET6) {
    throw descriptorError(fd, "EAFNOSUPPORT", "is not an IPv4 or IPv6 socket");
  }
  const protocol = getIntOption(fd, SOL_SOCKET, SO_PROTOCOL);
  if (protocol !== IPPROTO_TCP && protocol !== IPPROTO_MPTCP) {
    throw descriptorError(fd, "EPROTOTYPE", "is not a TCP or MPTCP socket");
  }
  return {
    fd,
    domain,
    protocol: protocol === IPPROTO_MPTCP ? "mptcp" : "tcp",
    isListening: getIntOption(fd, SOL_SOCKET, SO_ACCEPTCONN) === 1,
  };
}

/** The error for a descriptor that is not what it has to be. */
export function descriptorError(fd: number, code: string, problem: string): MptcpError {
  return new MptcpError(`descriptor ${fd} ${problem}`, { name: errnoClass(code), code });
}

/** Makes calls on the descriptor return at once, and keeps it from programs that are started. */
export function prepareDescriptor(fd: number): void {
  const context = { operation: `descriptor ${fd}` };
  const flags = check("fcntl", libc().fcntl(fd, F_GETFL, 0), context);
  if ((flags & O_NONBLOCK) === 0) {
    check("fcntl", libc().fcntl(fd, F_SETFL, flags | O_NONBLOCK), context);
  }
  closeOnExec(fd);
}

/** Keeps the descriptor from programs that are started. */
export function closeOnExec(fd: number): void {
  check("fcntl", libc().fcntl(fd, F_SETFD, FD_CLOEXEC), { operation: `descriptor ${fd}` });
}
