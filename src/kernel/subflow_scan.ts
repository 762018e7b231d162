/**
 * What the subflows of all processes are doing, read often: a dump finds them, and single ones are
 * asked for again by their sockets. Nothing is decoded that is not needed.
 *
 * @module
 */

import { AF_INET6, IPPROTO_TCP, tcp_info } from "../../ffi/linux/abi.ts";
import {
  INET_DIAG_INFO,
  inet_diag_msg,
  inet_diag_req,
  inet_diag_req_v2,
  inet_diag_sockid,
  INET_DIAG_ULP_INFO,
  INET_ULP_INFO_MPTCP,
  MPTCP_SUBFLOW_ATTR_FLAGS,
  MPTCP_SUBFLOW_ATTR_TOKEN_LOC,
  MPTCP_SUBFLOW_FLAG_BKUP_LOC,
  MPTCP_SUBFLOW_FLAG_BKUP_REM,
  MPTCP_SUBFLOW_FLAG_MCAP_LOC,
  MPTCP_SUBFLOW_FLAG_MCAP_REM,
  nlattr,
  SOCK_DESTROY,
  SOCK_DIAG_BY_FAMILY,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCPDIAG_GETSOCK,
} from "../../ffi/linux/abi_netlink.ts";
import { formatIp, isIpv4Mapped } from "../../ffi/linux/sockaddr.ts";
import { check } from "../error.ts";
import { align } from "../netlink/attributes.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";

/** A subflow at one moment. Times are in milliseconds. */
export interface ScannedSubflow {
  /** Names its socket, as the kernel does: the ports, the addresses, the interface, a cookie. */
  readonly id: Uint8Array;
  /** AF_INET or AF_INET6. */
  readonly family: number;
  /** Identifies the connection. */
  readonly token: number;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly localPort: number;
  readonly remotePort: number;
  /** Whether the connection began with it. */
  readonly initial: boolean;
  /** Whether this end, or the peer, wants it used only while no other works. */
  readonly backupHere: boolean;
  readonly backupThere: boolean;
  readonly acked: number;
  readonly received: number;
  readonly inFlight: number;
  readonly unsent: number;
  readonly retransmits: number;
  readonly busy: number;
  readonly rtt: number;
  readonly minRtt: number;
}

/** Those that can still carry something. */
const STATES = 1 << TCP_ESTABLISHED | 1 << TCP_CLOSE_WAIT | 1 << TCP_FIN_WAIT1;

/** All subflows that the kernel shows: before Linux 6.15 none, without CAP_NET_ADMIN. */
export function scanSubflows(socket: NetlinkSocket): ScannedSubflow[] {
  const found: ScannedSubflow[] = [];
  const question = new Uint8Array(inet_diag_req.size);
  question[inet_diag_req.idiag_ext] = 1 << (INET_DIAG_INFO - 1);
  new DataView(question.buffer).setUint32(inet_diag_req.idiag_states, STATES, true);
  // The kernel walks a table of a size that follows from the memory of the machine: once is enough.
  const { result, messages } = socket.dump(TCPDIAG_GETSOCK, question);
  check("send", result, { operation: "list the subflows" });
  for (const { payload } of messages) {
    const subflow = decode(payload);
    if (subflow !== null) found.push(subflow);
  }
  return found;
}

/** The same subflow now; `null` once it is gone. */
export function lookAgain(
  socket: NetlinkSocket,
  { id, family }: Pick<ScannedSubflow, "id" | "family">,
): ScannedSubflow | null {
  const question = request(family);
  question.set(id, inet_diag_req_v2.id);
  const { result, messages } = socket.request(SOCK_DIAG_BY_FAMILY, question);
  return result < 0 || messages.length === 0 ? null : decode(messages[0]!.payload);
}

/**
 * Resets a subflow, as the network could: its connection continues over the others, which retransmit what
 * was on its way here. Needs CAP_NET_ADMIN.
 *
 * @returns 0 or `-errno`: `-EOPNOTSUPP` where the kernel has no CONFIG_INET_DIAG_DESTROY.
 */
export function destroySubflowSocket(
  socket: NetlinkSocket,
  { id, family }: Pick<ScannedSubflow, "id" | "family">,
): number {
  const question = request(family);
  question.set(id, inet_diag_req_v2.id);
  return socket.request(SOCK_DESTROY, question).result;
}

function request(family: number): Uint8Array {
  const bytes = new Uint8Array(inet_diag_req_v2.size);
  const view = new DataView(bytes.buffer);
  view.setUint8(inet_diag_req_v2.sdiag_family, family);
  view.setUint8(inet_diag_req_v2.sdiag_protocol, IPPROTO_TCP);
  // Without this there is no INET_DIAG_ULP_INFO either.
  view.setUint8(inet_diag_req_v2.idiag_ext, 1 << (INET_DIAG_INFO - 1));
  view.setUint32(inet_diag_req_v2.idiag_states, STATES, true);
  return bytes;
}

const INITIAL = MPTCP_SUBFLOW_FLAG_MCAP_LOC | MPTCP_SUBFLOW_FLAG_MCAP_REM;

function decode(payload: Uint8Array): ScannedSubflow | null {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const start = inet_diag_msg.size;
  const ulp = find(view, start, payload.byteLength, INET_DIAG_ULP_INFO);
  if (ulp < 0) return null;
  const mptcp = findIn(view, ulp, INET_ULP_INFO_MPTCP);
  const token = mptcp < 0 ? -1 : findIn(view, mptcp, MPTCP_SUBFLOW_ATTR_TOKEN_LOC);
  const flagsAt = mptcp < 0 ? -1 : findIn(view, mptcp, MPTCP_SUBFLOW_ATTR_FLAGS);
  const infoAt = find(view, start, payload.byteLength, INET_DIAG_INFO);
  if (token < 0 || infoAt < 0) return null;
  const flags = flagsAt < 0 ? 0 : view.getUint32(flagsAt + nlattr.size, true);
  const family = payload[inet_diag_msg.idiag_family]!;
  const id = inet_diag_msg.id;
  const info = infoAt + nlattr.size;
  const length = view.getUint16(infoAt, true) - nlattr.size;
  const u32 = (offset: number) => offset + 4 <= length ? view.getUint32(info + offset, true) : 0;
  const u64 = (offset: number) => u32(offset) + 2 ** 32 * u32(offset + 4);
  return {
    id: payload.slice(id, id + inet_diag_sockid.size),
    family,
    token: view.getUint32(token + nlattr.size, true),
    localAddress: addressAt(payload, id + inet_diag_sockid.idiag_src, family),
    remoteAddress: addressAt(payload, id + inet_diag_sockid.idiag_dst, family),
    localPort: view.getUint16(id + inet_diag_sockid.idiag_sport, false),
    remotePort: view.getUint16(id + inet_diag_sockid.idiag_dport, false),
    initial: (flags & INITIAL) !== 0,
    backupHere: (flags & MPTCP_SUBFLOW_FLAG_BKUP_LOC) !== 0,
    backupThere: (flags & MPTCP_SUBFLOW_FLAG_BKUP_REM) !== 0,
    acked: u64(tcp_info.tcpi_bytes_acked),
    received: u64(tcp_info.tcpi_bytes_received),
    inFlight: u32(tcp_info.tcpi_unacked) * u32(tcp_info.tcpi_snd_mss),
    unsent: u32(tcp_info.tcpi_notsent_bytes),
    retransmits: u32(tcp_info.tcpi_total_retrans),
    busy: u64(tcp_info.tcpi_busy_time) / 1000,
    rtt: u32(tcp_info.tcpi_rtt) / 1000,
    minRtt: u32(tcp_info.tcpi_min_rtt) / 1000,
  };
}

/** Where an attribute of the type is, its header included; -1 where there is none. */
function find(view: DataView, from: number, end: number, type: number): number {
  for (let at = from; at + nlattr.size <= end;) {
    const length = view.getUint16(at, true);
    if (length < nlattr.size || at + length > end) return -1;
    // Without the bits that are not the type.
    if ((view.getUint16(at + nlattr.nla_type, true) & 0x3fff) === type) return at;
    at += align(length);
  }
  return -1;
}

function findIn(view: DataView, outer: number, type: number): number {
  return find(view, outer + nlattr.size, outer + view.getUint16(outer, true), type);
}

/** The text of each address that was seen: there are few, and they are asked for often. */
const texts = new Map<string, string>();
const MAX_TEXTS = 1024;

function addressAt(bytes: Uint8Array, at: number, family: number): string {
  const raw = bytes.subarray(at, at + (family === AF_INET6 ? 16 : 4));
  const key = String.fromCharCode(...raw);
  const known = texts.get(key);
  if (known !== undefined) return known;
  const text = formatIp(isIpv4Mapped(raw) ? raw.slice(12) : raw.slice());
  if (texts.size >= MAX_TEXTS) texts.clear();
  texts.set(key, text);
  return text;
}
