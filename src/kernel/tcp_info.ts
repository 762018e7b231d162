/**
 * TCP_INFO: what the kernel knows of one TCP connection.
 *
 * @module
 */

import {
  SOL_TCP,
  TCP_INFO,
  tcp_info,
  TCPI_OPT_ECN,
  TCPI_OPT_ECN_SEEN,
  TCPI_OPT_SACK,
  TCPI_OPT_SYN_DATA,
  TCPI_OPT_TIMESTAMPS,
  TCPI_OPT_WSCALE,
} from "../../ffi/linux/abi.ts";
import { check } from "../error.ts";
import type { TcpCaState, TcpInfo, TcpOptions, TcpState } from "./info_types.ts";
import { getOption } from "../poll/socket.ts";
import { StructReader } from "./struct_reader.ts";

/** Longer than the struct is today: the kernel copies what it has, and says how much. */
export const TCP_INFO_LENGTH = 512;

/** net/tcp_states.h, from 1. */
const STATES: readonly TcpState[] = [
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
  "NEW_SYN_RECV",
];

/** The name of a state; `undefined` for one that this module does not know. */
export function tcpStateName(state: number): TcpState | undefined {
  return STATES[state - 1];
}

/** The states of a connection whose peer has ended its direction. */
const ENDED_BY_PEER: readonly (TcpState | undefined)[] = [
  "CLOSE_WAIT",
  "CLOSING",
  "LAST_ACK",
  "TIME_WAIT",
  "CLOSE",
];

/** Whether the peer has ended its direction: the kernel counts the FIN among the bytes received. */
export function hasReceivedEnd(state: number | TcpState | undefined): boolean {
  return ENDED_BY_PEER.includes(typeof state === "number" ? tcpStateName(state) : state);
}

/** linux/tcp.h, `enum tcp_ca_state`. */
const CA_STATES: readonly TcpCaState[] = ["Open", "Disorder", "CWR", "Recovery", "Loss"];

const tcpInfo = new Uint8Array(TCP_INFO_LENGTH);

/** TCP_INFO of a socket; of an MPTCP one, that of its first subflow. */
export function readTcpInfo(fd: number): TcpInfo {
  const length = check("getsockopt", getOption(fd, SOL_TCP, TCP_INFO, tcpInfo), {
    operation: "TCP_INFO",
  });
  return decodeTcpInfo(tcpInfo.subarray(0, length));
}

/** Reads as much of a `struct tcp_info` as there is. */
export function decodeTcpInfo(buf: Uint8Array): TcpInfo {
  const struct = new StructReader(buf);
  const at = tcp_info;
  const state = struct.u8(at.tcpi_state);
  const caState = struct.u8(at.tcpi_ca_state);
  // Two bytes of bit-fields, which fill a byte from its low end on little-endian machines.
  const wscale = struct.u8(at.tcpi_options + 1);
  const bits = struct.u8(at.tcpi_options + 2);
  return {
    state: state === undefined ? undefined : tcpStateName(state),
    caState: caState === undefined ? undefined : CA_STATES[caState],
    options: decodeOptions(struct.u8(at.tcpi_options)),
    sndWscale: wscale === undefined ? undefined : wscale & 0xf,
    rcvWscale: wscale === undefined ? undefined : wscale >> 4,
    deliveryRateAppLimited: bits === undefined ? undefined : (bits & 1) !== 0,
    retransmits: struct.u8(at.tcpi_retransmits),
    probes: struct.u8(at.tcpi_probes),
    backoff: struct.u8(at.tcpi_backoff),
    rto: struct.u32(at.tcpi_rto),
    ato: struct.u32(at.tcpi_ato),
    sndMss: struct.u32(at.tcpi_snd_mss),
    rcvMss: struct.u32(at.tcpi_rcv_mss),
    unacked: struct.u32(at.tcpi_unacked),
    sacked: struct.u32(at.tcpi_sacked),
    lost: struct.u32(at.tcpi_lost),
    retrans: struct.u32(at.tcpi_retrans),
    lastDataSent: struct.u32(at.tcpi_last_data_sent),
    lastDataRecv: struct.u32(at.tcpi_last_data_recv),
    lastAckRecv: struct.u32(at.tcpi_last_ack_recv),
    pmtu: struct.u32(at.tcpi_pmtu),
    rcvSsthresh: struct.u32(at.tcpi_rcv_ssthresh),
    rtt: struct.u32(at.tcpi_rtt),
    rttvar: struct.u32(at.tcpi_rttvar),
    sndSsthresh: struct.u32(at.tcpi_snd_ssthresh),
    sndCwnd: struct.u32(at.tcpi_snd_cwnd),
    advmss: struct.u32(at.tcpi_advmss),
    reordering: struct.u32(at.tcpi_reordering),
    rcvRtt: struct.u32(at.tcpi_rcv_rtt),
    rcvSpace: struct.u32(at.tcpi_rcv_space),
    totalRetrans: struct.u32(at.tcpi_total_retrans),
    pacingRate: struct.rate(at.tcpi_pacing_rate),
    maxPacingRate: struct.rate(at.tcpi_max_pacing_rate),
    bytesAcked: struct.u64(at.tcpi_bytes_acked),
    bytesReceived: struct.u64(at.tcpi_bytes_received),
    segsOut: struct.u32(at.tcpi_segs_out),
    segsIn: struct.u32(at.tcpi_segs_in),
    notsentBytes: struct.u32(at.tcpi_notsent_bytes),
    minRtt: struct.u32(at.tcpi_min_rtt),
    dataSegsIn: struct.u32(at.tcpi_data_segs_in),
    dataSegsOut: struct.u32(at.tcpi_data_segs_out),
    deliveryRate: struct.u64(at.tcpi_delivery_rate),
    busyTime: struct.u64(at.tcpi_busy_time),
    rwndLimited: struct.u64(at.tcpi_rwnd_limited),
    sndbufLimited: struct.u64(at.tcpi_sndbuf_limited),
    delivered: struct.u32(at.tcpi_delivered),
    deliveredCe: struct.u32(at.tcpi_delivered_ce),
    bytesSent: struct.u64(at.tcpi_bytes_sent),
    bytesRetrans: struct.u64(at.tcpi_bytes_retrans),
    dsackDups: struct.u32(at.tcpi_dsack_dups),
    reordSeen: struct.u32(at.tcpi_reord_seen),
    rcvOoopack: struct.u32(at.tcpi_rcv_ooopack),
    sndWnd: struct.u32(at.tcpi_snd_wnd),
    rcvWnd: struct.u32(at.tcpi_rcv_wnd),
    rehash: struct.u32(at.tcpi_rehash),
    totalRto: struct.u16(at.tcpi_total_rto),
    totalRtoRecoveries: struct.u16(at.tcpi_total_rto_recoveries),
    totalRtoTime: struct.u32(at.tcpi_total_rto_time),
  };
}

function decodeOptions(options: number | undefined): TcpOptions | undefined {
  if (options === undefined) return undefined;
  return {
    timestamps: (options & TCPI_OPT_TIMESTAMPS) !== 0,
    sack: (options & TCPI_OPT_SACK) !== 0,
    wscale: (options & TCPI_OPT_WSCALE) !== 0,
    ecn: (options & TCPI_OPT_ECN) !== 0,
    ecnSeen: (options & TCPI_OPT_ECN_SEEN) !== 0,
    synData: (options & TCPI_OPT_SYN_DATA) !== 0,
  };
}
