/**
 * What the kernel knows of a connection: which protocol it speaks, and MPTCP_INFO.
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
  SO_PROTOCOL,
  SOL_MPTCP,
  SOL_SOCKET,
  SOL_TCP,
  TCP_INFO,
  tcp_info,
  TCP_IS_MPTCP,
} from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { libc } from "../../ffi/runtime.ts";
import { systemError } from "../error.ts";
import type { MptcpInfo, MptcpInfoFlags } from "./info_types.ts";
import { getIntOption, getOption, openSocket } from "../poll/socket.ts";
import { StructReader } from "./struct_reader.ts";
import type { Protocol } from "../types.ts";

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

/** Data of an MPTCP connection that its peer has not acknowledged. */
export interface Outgoing {
  /** Identifies the connection. */
  readonly token: number;
  /** The low 32 bits of the first data sequence number that is not acknowledged. */
  readonly sndUna: number;
}

const progress = new Uint32Array(mptcp_info.mptcpi_rcv_nxt / 4);
const progressBytes = new Uint8Array(progress.buffer);

/** What waits for an acknowledgement; `null` when nothing does, or the connection is not MPTCP. */
export function readOutgoing(fd: number): Outgoing | null {
  const length = getOption(fd, SOL_MPTCP, MPTCP_INFO, progressBytes);
  if (length < progressBytes.byteLength) return null;
  if (progress[mptcp_info.mptcpi_flags / 4]! & MPTCP_INFO_FLAG_FALLBACK) return null;
  const sndUna = progress[mptcp_info.mptcpi_snd_una / 4]!;
  if (progress[mptcp_info.mptcpi_write_seq / 4] === sndUna) return null;
  return { token: progress[mptcp_info.mptcpi_token / 4]!, sndUna };
}

/** How far a peer has acknowledged what it was sent: equal as long as nothing more has been. */
export interface Acknowledged {
  readonly protocol: "mptcp" | "tcp";
  /** The low 32 bits of a data sequence number, or of a number of bytes. */
  readonly upTo: number;
}

/**
 * Asks how far; `null` where the kernel does not tell (TCP before 4.1, MPTCP before 5.16).
 *
 * @param isMptcp Whether the connection was MPTCP; it may have fallen back.
 */
export function readAcknowledged(fd: number, isMptcp: boolean): Acknowledged | null {
  if (isMptcp && getOption(fd, SOL_MPTCP, MPTCP_INFO, progressBytes) >= progressBytes.byteLength) {
    const isFallback = progress[mptcp_info.mptcpi_flags / 4]! & MPTCP_INFO_FLAG_FALLBACK;
    if (!isFallback) return { protocol: "mptcp", upTo: progress[mptcp_info.mptcpi_snd_una / 4]! };
  }
  if (getOption(fd, SOL_TCP, TCP_INFO, tcpProgressBytes) < tcpProgressBytes.byteLength) return null;
  return { protocol: "tcp", upTo: tcpProgress[tcp_info.tcpi_bytes_acked / 4]! };
}

const tcpProgress = new Uint32Array(tcp_info.tcpi_bytes_acked / 4 + 2);
const tcpProgressBytes = new Uint8Array(tcpProgress.buffer);

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
  const struct = new StructReader(buf);
  const at = mptcp_info;
  const checksum = struct.u8(at.mptcpi_csum_enabled);
  return {
    subflows: struct.u8(at.mptcpi_subflows),
    addAddrSignal: struct.u8(at.mptcpi_add_addr_signal),
    addAddrAccepted: struct.u8(at.mptcpi_add_addr_accepted),
    subflowsMax: struct.u8(at.mptcpi_subflows_max),
    addAddrSignalMax: struct.u8(at.mptcpi_add_addr_signal_max),
    addAddrAcceptedMax: struct.u8(at.mptcpi_add_addr_accepted_max),
    flags: decodeFlags(struct.u32(at.mptcpi_flags)),
    token: struct.u32(at.mptcpi_token),
    writeSeq: struct.hex64(at.mptcpi_write_seq),
    sndUna: struct.hex64(at.mptcpi_snd_una),
    rcvNxt: struct.hex64(at.mptcpi_rcv_nxt),
    localAddrUsed: struct.u8(at.mptcpi_local_addr_used),
    localAddrMax: struct.u8(at.mptcpi_local_addr_max),
    csumEnabled: checksum === undefined ? undefined : checksum !== 0,
    retransmits: struct.u32(at.mptcpi_retransmits),
    bytesRetrans: struct.u64(at.mptcpi_bytes_retrans),
    bytesSent: struct.u64(at.mptcpi_bytes_sent),
    bytesReceived: struct.u64(at.mptcpi_bytes_received),
    bytesAcked: struct.u64(at.mptcpi_bytes_acked),
    subflowsTotal: struct.u8(at.mptcpi_subflows_total),
    endpLaminarMax: struct.u8(at.mptcpi_endp_laminar_max),
    endpFullmeshMax: struct.u8(at.mptcpi_endp_fullmesh_max),
    lastDataSent: struct.u32(at.mptcpi_last_data_sent),
    lastDataRecv: struct.u32(at.mptcpi_last_data_recv),
    lastAckRecv: struct.u32(at.mptcpi_last_ack_recv),
  };
}

function decodeFlags(flags: number | undefined): MptcpInfoFlags | undefined {
  if (flags === undefined) return undefined;
  return {
    fallback: (flags & MPTCP_INFO_FLAG_FALLBACK) !== 0,
    remoteKeyReceived: (flags & MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED) !== 0,
  };
}
