/**
 * Connections and states of descriptors that this module did not make.
 *
 * @module
 */

import { ERRNO } from "../../ffi/linux/errno.ts";
import { Conn } from "./conn.ts";
import {
  descriptorError,
  type ForeignSocket,
  inspect,
  PEER_OF_DESCRIPTOR,
  prepareDescriptor,
  TCP_DESCRIPTOR,
} from "./descriptor.ts";
import { systemError } from "../error.ts";
import { readMptcpInfo, wireProtocol } from "../kernel/info.ts";
import { readSubflows } from "../kernel/subflows.ts";
import { readTcpInfo } from "../kernel/tcp_info.ts";
import { Stream } from "../poll/fd.ts";
import { localSockaddr, peerSockaddr, toNetAddr } from "../poll/socket.ts";
import type { MptcpConn, MptcpState, Protocol, Subflow } from "../types.ts";

/**
 * Makes a connection from a descriptor of an MPTCP or TCP socket: one returned by `detach()`, inherited
 * from another process, or opened by another library.
 *
 * The descriptor is made non-blocking and close-on-exec; its other options stay. The connection then
 * owns it, and nothing else may read, write or close it. If this throws, you still own the descriptor,
 * and it stays open.
 *
 * Requires `--allow-ffi` in Deno. Linux only.
 *
 * @param fd The descriptor of a connected socket.
 * @returns The connection.
 * @throws {TypeError} if `fd` is not a number that can be a descriptor.
 * @throws {MptcpError} codes "EBADF" (not open), "ENOTSOCK", "EAFNOSUPPORT" (not IP), "EPROTOTYPE" (not
 * TCP or MPTCP), "ENOTCONN" (listening, or not connected yet), "ERR_UNSUPPORTED" (not Linux).
 *
 * @example
 * ```ts
 * import { adoptMptcp, connectMptcp, listenMptcp } from "@multipath/mptcp";
 *
 * using listener = listenMptcp({ hostname: "127.0.0.1" });
 * const fd = (await connectMptcp({ port: listener.addr.port })).detach();
 * using conn = adoptMptcp(fd);
 * console.log(conn.protocol, conn.remoteAddr.port);
 * ```
 */
export function adoptMptcp(fd: number): MptcpConn {
  const socket = inspect(fd);
  if (socket.isListening) {
    throw descriptorError(fd, "ENOTCONN", "is listening: use listenMptcp({ fd })");
  }
  const remote = peerSockaddr(fd);
  if (typeof remote === "number") {
    throw systemError("getpeername", remote, {
      operation: `descriptor ${fd}`,
      advice: "Only a connected socket can be adopted",
    });
  }
  prepareDescriptor(fd);
  const fallback = socket.protocol === "tcp" ? TCP_DESCRIPTOR : null;
  return new Conn(new Stream(fd), remote, { fallback, peer: PEER_OF_DESCRIPTOR });
}

/**
 * The MPTCP state of any socket of this process: one returned by `detach()`, or opened by `node:net` or
 * another library. It changes nothing and keeps nothing.
 *
 * Requires `--allow-ffi` in Deno. Linux only.
 *
 * @param fd The descriptor of a TCP or MPTCP socket.
 * @returns Its state in the kernel now.
 * @throws {TypeError} if `fd` is not a number that can be a descriptor.
 * @throws {MptcpError} codes "EBADF" (not open), "ENOTSOCK", "EAFNOSUPPORT" (not IP), "EPROTOTYPE" (not
 * TCP or MPTCP), "ERR_UNSUPPORTED" (not Linux).
 *
 * @example
 * ```ts
 * import { connectMptcp, listenMptcp, mptcpState } from "@multipath/mptcp";
 *
 * using listener = listenMptcp({ hostname: "127.0.0.1" });
 * using conn = await connectMptcp({ port: listener.addr.port });
 * const { protocol, fallback, subflows } = mptcpState(conn.fd);
 * console.log(protocol, fallback?.detail, subflows.length);
 * ```
 */
export function mptcpState(fd: number): MptcpState {
  const socket = inspect(fd);
  const remote = socket.isListening ? -ERRNO.ENOTCONN : peerSockaddr(fd);
  const localAddr = toNetAddr(localSockaddr(fd));
  const protocol = protocolOf(socket);
  const state = {
    protocol,
    fallback: protocol !== "tcp"
      ? null
      : socket.protocol === "tcp"
      ? TCP_DESCRIPTOR
      : PEER_OF_DESCRIPTOR,
    isListening: socket.isListening,
    localAddr,
  };
  if (typeof remote === "number") return { ...state, remoteAddr: null, info: null, subflows: [] };
  const remoteAddr = toNetAddr(remote);
  const isTcp = protocol === "tcp";
  const info = isTcp ? null : readMptcpInfo(fd);
  const subflows: Subflow[] = (isTcp ? null : readSubflows(fd)) ??
    [{ localAddr, remoteAddr, tcp: readTcpInfo(fd) }];
  return { ...state, remoteAddr, info, subflows };
}

function protocolOf({ fd, protocol, isListening }: ForeignSocket): Protocol | "unknown" {
  return protocol === "tcp" || isListening ? protocol : wireProtocol(fd);
}
