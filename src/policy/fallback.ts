/**
 * Whether the kernel gives MPTCP sockets, and what to do when it does not.
 *
 * @module
 */

import { IPPROTO_MPTCP, IPPROTO_TCP } from "../../ffi/linux/abi.ts";
import { ERRNO, errnoName } from "../../ffi/linux/errno.ts";
import { getenv, libc } from "../../ffi/runtime.ts";
import { check, MptcpError, systemError } from "../error.ts";
import { openSocket } from "../poll/socket.ts";
import { formatHostPort } from "../show.ts";
import type { Fallback, MptcpMode, Protocol } from "../types.ts";

/** A new socket, and how it came to be what it is. */
export interface OpenedSocket {
  readonly fd: number;
  /** `AF_INET` or `AF_INET6`. */
  readonly domain: number;
  readonly protocol: Protocol;
  readonly fallback: Fallback | null;
}

/** Why a connection may turn out to be TCP. */
export interface Origin {
  /** Why its socket, or its listener's, is a TCP socket; `null` if it is an MPTCP one. */
  readonly fallback: Fallback | null;
  /** Why an MPTCP socket ends up with a TCP connection. */
  readonly peer: Fallback;
}

/** The refusals of `socket(..., IPPROTO_MPTCP)` that mean "no MPTCP here", and nothing else. */
const REFUSALS: Readonly<Record<number, string>> = {
  [-ERRNO.EINVAL]: "this kernel is older than Linux 5.6, the first with MPTCP",
  [-ERRNO.EPROTONOSUPPORT]: "this kernel was built without CONFIG_MPTCP or CONFIG_MPTCP_IPV6",
  [-ERRNO.ENOPROTOOPT]:
    "MPTCP is switched off in this network namespace; `sysctl -w net.mptcp.enabled=1` switches it on",
  [-ERRNO.EPERM]: "a seccomp filter or a security module does not allow this process MPTCP sockets",
  [-ERRNO.EACCES]: "a security module such as SELinux does not allow this process MPTCP sockets",
};

const OFF_BY_CALLER: Fallback = { reason: "off", detail: 'Switched off by mptcp: "off"' };
const OFF_BY_ENVIRONMENT: Fallback = {
  reason: "off",
  detail: "Switched off for this process by the environment variable NO_MPTCP",
};

/** The fallback of a connection whose other end answered without MPTCP. */
export const PEER_OF_CLIENT: Fallback = {
  reason: "peer",
  detail: "The server does not support MPTCP, or something on the path removed the option",
};

/** The fallback of a connection whose other end asked without MPTCP. */
export const PEER_OF_SERVER: Fallback = {
  reason: "peer",
  detail: "The client did not request MPTCP, or something on the path removed the option",
};

/**
 * Makes a stream socket in the first domain that will do, by the mode: MPTCP in any of the domains
 * before TCP in the last. Throws what is no refusal of MPTCP, as EMFILE.
 */
export function openStream(domains: number[], mode: MptcpMode, netns?: string): OpenedSocket {
  const off = switchedOff(mode);
  if (off !== null) {
    if (isRequired(mode)) throw requiredError(off);
    return openTcp(domains, off, netns);
  }
  let refusal = 0;
  for (const domain of domains) {
    const fd = openSocket(domain, IPPROTO_MPTCP, netns);
    if (fd >= 0) return { fd, domain, protocol: "mptcp", fallback: null };
    if (!isRefusal(fd)) throw socketError(fd);
    refusal = fd;
  }
  const fallback = kernelFallback(refusal);
  if (isRequired(mode)) throw requiredError(fallback, -refusal);
  return openTcp(domains, fallback, netns);
}

/** Why sockets are the runtime's own on this platform. Throws where MPTCP is required. */
export function runtimeFallback(platform: string, mode: MptcpMode = "prefer"): Fallback {
  const fallback = switchedOff(mode) ?? noPlatform(platform);
  if (isRequired(mode)) throw requiredError(fallback);
  return fallback;
}

/** The fallback of a platform that cannot have MPTCP. */
export function noPlatform(platform: string): Fallback {
  return { reason: "not-linux", detail: `MPTCP is unavailable: ${platform}` };
}

function openTcp(domains: number[], fallback: Fallback, netns?: string): OpenedSocket {
  // The last domain is the plain one: without MPTCP there are no paths of two families to join.
  const domain = domains.at(-1)!;
  const fd = openSocket(domain, IPPROTO_TCP, netns);
  if (fd < 0) throw socketError(fd);
  return { fd, domain, protocol: "tcp", fallback };
}

/** EAFNOSUPPORT is no refusal of MPTCP, but one of IPv6: the next domain may do. */
function isRefusal(result: number): boolean {
  return result in REFUSALS || result === -ERRNO.EAFNOSUPPORT;
}

function socketError(result: number): MptcpError {
  const advice = result === -ERRNO.EMFILE
    ? "This process has no file descriptors left: close some, or raise the limit (ulimit -n)"
    : undefined;
  return systemError("socket", result, advice === undefined ? {} : { advice });
}

/** Why MPTCP sockets are not even asked for; `null` where they are. */
export function switchedOff(mode: MptcpMode): Fallback | null {
  if (mode === "off") return OFF_BY_CALLER;
  const value = getenv("NO_MPTCP");
  return value === null || value === "" || value === "0" ? null : OFF_BY_ENVIRONMENT;
}

/** The fallback for a refusal of the kernel. */
export function kernelFallback(result: number): Fallback {
  const code = errnoName(-result);
  const reason = REFUSALS[result] ?? "this kernel has no IPv6";
  return {
    reason: "kernel",
    code,
    detail: `The kernel refused an MPTCP socket (${code}): ${reason}`,
  };
}

function isRequired(mode: MptcpMode): boolean {
  return mode === "require" || mode === "require-peer";
}

/** The error of a socket that has to be an MPTCP one. */
export function requiredError(fallback: Fallback, errno?: number): MptcpError {
  return new MptcpError(`MPTCP is required but unavailable. ${fallback.detail}`, {
    code: fallback.code ?? (fallback.reason === "off" ? "ERR_MPTCP_OFF" : "ERR_MPTCP_UNSUPPORTED"),
    fallback,
    ...(errno !== undefined && { errno, syscall: "socket" }),
  });
}

/**
 * The error of a connection that has to use MPTCP and does not.
 *
 * @param fallback Why it is TCP; `null` where the kernel cannot tell whether it is.
 */
export function peerRequiredError(
  address: string,
  port: number,
  fallback: Fallback | null,
): MptcpError {
  const why = fallback === null
    ? "this kernel does not report whether the connection uses it. Linux 5.16 or later does"
    : `the connection fell back to TCP. ${fallback.detail}`;
  return new MptcpError(
    `connect ${formatHostPort(address, port)}: MPTCP is required but ${why}`,
    { code: "ERR_MPTCP_PEER", address, port, ...(fallback !== null && { fallback }) },
  );
}

/** 0 if the kernel makes an MPTCP socket, or its refusal. */
export function probe(domain: number, netns?: string): number {
  const fd = openSocket(domain, IPPROTO_MPTCP, netns);
  if (fd < 0 && !isRefusal(fd)) throw socketError(fd);
  if (fd < 0) return fd;
  check("close", libc().close(fd));
  return 0;
}
