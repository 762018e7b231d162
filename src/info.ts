/**
 * What the kernel knows of a connection: which protocol it speaks, MPTCP_INFO, its subflows.
 *
 * @module
 */

import {
  AF_INET,
  IPPROTO_MPTCP,
  MPTCP_INFO,
  mptcp_info,
  MPTCP_INFO_FLAG_FALLBACK,
  MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED,
  MPTCP_SUBFLOW_ADDRS,
  mptcp_subflow_addrs,
  mptcp_subflow_data,
  SO_PROTOCOL,
  SOL_MPTCP,
  SOL_SOCKET,
  SOL_TCP,
  TCP_IS_MPTCP,
} from "../ffi/abi.ts";
import { ERRNO } from "../ffi/errno.ts";
import { libc } from "../ffi/runtime.ts";
import { getIntOption, getOption, openSocket, systemError, toNetAddr } from "./socket.ts";
import type { MptcpInfo, MptcpInfoFlags, Protocol, Subflow } from "./types.ts";

/** Longer than the struct is today: the kernel copies what it has, and says how much. */
const INFO_LENGTH = 256;

/** Which protocol a connected socket speaks on the wire, as the kernel says now. */
export function wireProtocol(fd: number): Protocol | "unknown" {
  const isMptcp = getIntOption(fd, SOL_TCP, TCP_IS_MPTCP);
  if (isMptcp === 0) return "tcp";
  // Before 6.10 the option is unknown. SO_PROTOCOL is the type of the socket, and TCP settles it.
  if (isMptcp < 0 && getIntOption(fd, SOL_SOCKET, SO_PROTOCOL) !== IPPROTO_MPTCP) return "tcp";
  const flags = readFlags(fd);
  if (flags !== null) {
    if (flags & MPTCP_INFO_FLAG_FALLBACK) return "tcp";
    // A socket that is not connected yet calls itself MPTCP too, but has no key of the peer.
    return flags & MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED ? "mptcp" : "unknown";
  }
  // The kernel forwards the question to TCP after a fallback, and knows no answer before 5.16.
  return knowsMptcpInfo() ? "tcp" : "unknown";
}

const head = new Uint32Array(mptcp_info.mptcpi_token / 4);
const headBytes = new Uint8Array(head.buffer);

/** `mptcpi_flags` alone, without an allocation; `null` when the kernel has no MPTCP_INFO to give. */
function readFlags(fd: number): number | null {
  const length = getOption(fd, SOL_MPTCP, MPTCP_INFO, headBytes);
  return length < headBytes.byteLength ? null : head[mptcp_info.mptcpi_flags / 4]!;
}

let mptcpInfoKnown: boolean | undefined;

/** Whether this kernel answers MPTCP_INFO at all (since 5.16): asked of a fresh MPTCP socket. */
function knowsMptcpInfo(): boolean {
  if (mptcpInfoKnown !== undefined) return mptcpInfoKnown;
  const fd = openSocket(AF_INET, IPPROTO_MPTCP);
  if (fd < 0) return false;
  mptcpInfoKnown = readFlags(fd) !== null;
  libc().close(fd);
  return mptcpInfoKnown;
}

/** MPTCP_INFO of a connection; `null` when it is not MPTCP. */
export function readMptcpInfo(fd: number): MptcpInfo | null {
  const buf = new Uint8Array(INFO_LENGTH);
  const length = getOption(fd, SOL_MPTCP, MPTCP_INFO, buf);
  if (length >= 0) return decodeMptcpInfo(buf.subarray(0, length));
  if (length === -ERRNO.EOPNOTSUPP || length === -ERRNO.ENOPROTOOPT) return null;
  throw systemError("getsockopt", length, { operation: "MPTCP_INFO" });
}

/** Reads as much of a `struct mptcp_info` as there is. */
export function decodeMptcpInfo(buf: Uint8Array): MptcpInfo {
  const view = new DataView(buf.buffer, buf.byteOffset, buf.byteLength);
  const has = (offset: number, size: number) => offset + size <= buf.byteLength;
  const u8 = (offset: number) => has(offset, 1) ? view.getUint8(offset) : undefined;
  const u32 = (offset: number) => has(offset, 4) ? view.getUint32(offset, true) : undefined;
  const u64 = (offset: number) => has(offset, 8) ? view.getBigUint64(offset, true) : undefined;
  const at = mptcp_info;
  const checksum = u8(at.mptcpi_csum_enabled);
  return {
    subflows: u8(at.mptcpi_subflows),
    addAddrSignal: u8(at.mptcpi_add_addr_signal),
    addAddrAccepted: u8(at.mptcpi_add_addr_accepted),
    subflowsMax: u8(at.mptcpi_subflows_max),
    addAddrSignalMax: u8(at.mptcpi_add_addr_signal_max),
    addAddrAcceptedMax: u8(at.mptcpi_add_addr_accepted_max),
    flags: decodeFlags(u32(at.mptcpi_flags)),
    token: u32(at.mptcpi_token),
    writeSeq: u64(at.mptcpi_write_seq),
    sndUna: u64(at.mptcpi_snd_una),
    rcvNxt: u64(at.mptcpi_rcv_nxt),
    localAddrUsed: u8(at.mptcpi_local_addr_used),
    localAddrMax: u8(at.mptcpi_local_addr_max),
    csumEnabled: checksum === undefined ? undefined : checksum !== 0,
    retransmits: u32(at.mptcpi_retransmits),
    bytesRetrans: u64(at.mptcpi_bytes_retrans),
    bytesSent: u64(at.mptcpi_bytes_sent),
    bytesReceived: u64(at.mptcpi_bytes_received),
    bytesAcked: u64(at.mptcpi_bytes_acked),
    subflowsTotal: u8(at.mptcpi_subflows_total),
    lastDataSent: u32(at.mptcpi_last_data_sent),
    lastDataRecv: u32(at.mptcpi_last_data_recv),
    lastAckRecv: u32(at.mptcpi_last_ack_recv),
  };
}

function decodeFlags(flags: number | undefined): MptcpInfoFlags | undefined {
  if (flags === undefined) return undefined;
  return {
    fallback: (flags & MPTCP_INFO_FLAG_FALLBACK) !== 0,
    remoteKeyReceived: (flags & MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED) !== 0,
  };
}

/** The subflows of an MPTCP connection; `null` when it is not MPTCP or the kernel is before 5.16. */
export function readSubflows(fd: number): Subflow[] | null {
  const header = mptcp_subflow_data.size;
  // The kernel's default limit is 2 subflows beside the first, its maximum 8; more are asked again.
  for (let room = 9;; room *= 2) {
    const buf = new Uint8Array(header + room * mptcp_subflow_addrs.size);
    const view = new DataView(buf.buffer);
    view.setUint32(mptcp_subflow_data.size_subflow_data, header, true);
    view.setUint32(mptcp_subflow_data.size_user, mptcp_subflow_addrs.size, true);
    const length = getOption(fd, SOL_MPTCP, MPTCP_SUBFLOW_ADDRS, buf);
    if (length === -ERRNO.EOPNOTSUPP || length === -ERRNO.ENOPROTOOPT) return null;
    if (length < 0) throw systemError("getsockopt", length, { operation: "MPTCP_SUBFLOW_ADDRS" });
    const count = view.getUint32(mptcp_subflow_data.num_subflows, true);
    if (count > room) continue;
    // The kernel says how far apart the elements are: never assume it.
    const stride = view.getUint32(mptcp_subflow_data.size_user, true);
    return Array.from({ length: count }, (_, i) => decodeSubflow(buf, header + i * stride));
  }
}

function decodeSubflow(buf: Uint8Array, offset: number): Subflow {
  return {
    localAddr: toNetAddr(buf.subarray(offset + mptcp_subflow_addrs.ss_local)),
    remoteAddr: toNetAddr(buf.subarray(offset + mptcp_subflow_addrs.ss_remote)),
  };
}
