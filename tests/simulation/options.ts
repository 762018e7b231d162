/**
 * The socket options of the simulated kernel.
 *
 * @module
 */

import {
  MPTCP_FULL_INFO,
  mptcp_full_info,
  MPTCP_INFO,
  mptcp_info,
  MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED,
  mptcp_subflow_addrs,
  mptcp_subflow_info,
  SO_ERROR,
  SO_LINGER,
  SO_PROTOCOL,
  SOL_MPTCP,
  SOL_SOCKET,
  SOL_TCP,
  TCP_INFO,
  tcp_info,
  TCP_IS_MPTCP,
} from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { type Kernel, sockaddrOf } from "./kernel.ts";
import type { Sock } from "./sock.ts";

const TCP_ESTABLISHED = 1;
const TCP_CLOSE = 7;

/** 0 or `-errno`. */
export function setSockOption(
  sock: Sock,
  level: number,
  optname: number,
  optval: Uint8Array,
): number {
  if (level === SOL_MPTCP) return -ERRNO.ENOPROTOOPT;
  const name = level === SOL_SOCKET && optname === SO_LINGER ? "SO_LINGER" : `${level} ${optname}`;
  sock.options.set(name, optval.slice());
  return 0;
}

/** 0 or `-errno`. */
export function getSockOption(
  kernel: Kernel,
  sock: Sock,
  level: number,
  optname: number,
  optval: Uint8Array,
  optlen: Uint32Array,
): number {
  if (level === SOL_SOCKET && optname === SO_ERROR) return giveInt(-sock.takeError());
  if (level === SOL_SOCKET && optname === SO_PROTOCOL) return giveInt(sock.protocol);
  if (level === SOL_TCP && optname === TCP_IS_MPTCP) return giveInt(Number(claimsMptcp(sock)));
  if (level === SOL_TCP && optname === TCP_INFO) return give(tcpInfo(sock));
  if (level === SOL_MPTCP) {
    if (!claimsMptcp(sock)) return sock.isIpv6 ? -ERRNO.ENOPROTOOPT : -ERRNO.EOPNOTSUPP;
    if (optname === MPTCP_INFO) return give(mptcpInfo(sock));
    if (optname === MPTCP_FULL_INFO) return fullInfo(kernel, sock, optval, optlen);
    return -ERRNO.EOPNOTSUPP;
  }
  const known = sock.options.get(`${level} ${optname}`);
  return known === undefined ? giveInt(0) : give(known);

  function give(bytes: Uint8Array): number {
    const length = Math.min(bytes.byteLength, optlen[0]!);
    optval.set(bytes.subarray(0, length));
    optlen[0] = length;
    return 0;
  }

  function giveInt(value: number): number {
    return give(new Uint8Array(new Int32Array([value]).buffer));
  }
}

/** Before a connection is there its socket calls itself MPTCP, whatever will come of it. */
function claimsMptcp(sock: Sock): boolean {
  if (!sock.isMptcpSocket || sock.hasFallenBack) return false;
  return sock.mptcp === null || !sock.mptcp.hasFallenBack;
}

/** MPTCP_INFO of a socket, as Linux 6.18 has it. */
export function mptcpInfo(sock: Sock): Uint8Array {
  const view = new DataView(new ArrayBuffer(mptcp_info.size));
  const { mptcp, outgoing, incoming } = sock;
  if (mptcp !== null && sock.state !== "closed") {
    view.setUint8(mptcp_info.mptcpi_subflows, Math.max(mptcp.subflows.length - 1, 0));
    view.setUint8(mptcp_info.mptcpi_subflows_total, mptcp.subflows.length);
    view.setUint32(mptcp_info.mptcpi_flags, MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED, true);
    view.setUint32(mptcp_info.mptcpi_token, tokenOf(sock), true);
  }
  view.setBigUint64(mptcp_info.mptcpi_write_seq, BigInt(outgoing?.sent ?? 0), true);
  view.setBigUint64(mptcp_info.mptcpi_snd_una, BigInt(outgoing?.arrived ?? 0), true);
  view.setBigUint64(mptcp_info.mptcpi_rcv_nxt, BigInt(incoming?.arrived ?? 0), true);
  return new Uint8Array(view.buffer);
}

/** The token of a connection at one end. */
export function tokenOf(sock: Sock): number {
  const { clientToken, serverToken, subflows } = sock.mptcp!;
  const isClient = subflows.length === 0 || subflows[0]!.client.port === sock.local!.port;
  return isClient ? clientToken : serverToken;
}

function tcpInfo({ state, outgoing }: Sock): Uint8Array {
  const view = new DataView(new ArrayBuffer(tcp_info.size));
  view.setUint8(tcp_info.tcpi_state, state === "connected" ? TCP_ESTABLISHED : TCP_CLOSE);
  view.setUint32(tcp_info.tcpi_notsent_bytes, outgoing?.queue.length ?? 0, true);
  return new Uint8Array(view.buffer);
}

function fullInfo(kernel: Kernel, sock: Sock, optval: Uint8Array, optlen: Uint32Array): number {
  const at = mptcp_full_info;
  const view = new DataView(optval.buffer, optval.byteOffset);
  const { subflows } = sock.mptcp!;
  const addresses = kernel.bufferAt(view.getBigUint64(at.subflow_info, true));
  const infos = kernel.bufferAt(view.getBigUint64(at.tcp_info, true));
  const room = view.getUint32(at.size_arrays_user, true);
  const isClient = tokenOf(sock) === sock.mptcp!.clientToken;
  for (const [i, { id, client, server }] of subflows.slice(0, room).entries()) {
    const start = i * mptcp_subflow_info.size;
    new DataView(addresses.buffer).setUint32(start, id, true);
    const [local, remote] = isClient ? [client, server] : [server, client];
    const pair = start + mptcp_subflow_info.addrs;
    addresses.set(sockaddrOf(sock.isIpv6, local), pair + mptcp_subflow_addrs.ss_local);
    addresses.set(sockaddrOf(sock.isIpv6, remote), pair + mptcp_subflow_addrs.ss_remote);
    infos.set(tcpInfo(sock), i * tcp_info.size);
  }
  view.setUint32(at.num_subflows, subflows.length, true);
  view.setUint32(at.size_tcpinfo_user, tcp_info.size, true);
  view.setUint32(at.size_sfinfo_user, mptcp_subflow_info.size, true);
  optlen[0] = mptcp_full_info.size;
  return 0;
}
