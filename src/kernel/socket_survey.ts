/**
 * The MPTCP connections and subflows of a network namespace by thousands: only what can be counted,
 * read without an object for each attribute.
 *
 * @module
 */

import { AF_INET, AF_INET6, mptcp_info, tcp_info } from "../../ffi/linux/abi.ts";
import {
  INET_DIAG_INFO,
  inet_diag_msg,
  inet_diag_sockid,
  INET_DIAG_ULP_INFO,
  INET_ULP_INFO_MPTCP,
  MPTCP_SUBFLOW_ATTR_FLAGS,
  MPTCP_SUBFLOW_ATTR_TOKEN_LOC,
  MPTCP_SUBFLOW_FLAG_BKUP_LOC,
  MPTCP_SUBFLOW_FLAG_BKUP_REM,
  NETLINK_SOCK_DIAG,
  NLA_F_NESTED,
  NLA_F_NET_BYTEORDER,
  nlattr,
  SOCK_DIAG_BY_FAMILY,
} from "../../ffi/linux/abi_netlink.ts";
import { formatIp, isIpv4Mapped } from "../../ffi/linux/sockaddr.ts";
import { align } from "../netlink/attributes.ts";
import { NetlinkSocket, type Visit } from "../netlink/socket.ts";
import { check } from "../error.ts";
import { connectionsRequest, subflowsRequest } from "./sock_diag.ts";
import { tcpStateName } from "./tcp_info.ts";
import type { TcpState } from "./info_types.ts";

/** This end of a socket; the same object for all sockets on one address. */
export interface LocalEnd {
  readonly address: string;
  /** The version of IP; IPv4-mapped addresses count as 4. */
  readonly family: 4 | 6;
}

/** A connection or a subflow, as far as it is counted. */
export interface SurveyedSocket {
  readonly end: LocalEnd;
  readonly state: TcpState | undefined;
  /** Names the connection. */
  readonly token: number;
  /** Bytes sent, with those that were sent again; 0 where the kernel does not say (before 6.5). */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bytesRetrans: number;
}

/** A connection. */
export interface SurveyedConnection extends SurveyedSocket {
  /** Subflows, the first included. */
  readonly subflows: number;
}

/** A subflow. */
export interface SurveyedSubflow extends SurveyedSocket {
  /** Whether either end wants it used only while no other works. */
  readonly backup: boolean;
  /** The smoothed round-trip time in microseconds. */
  readonly rtt: number;
  /** Segments sent and not acknowledged. */
  readonly unacked: number;
  /** Segments sent again. */
  readonly retransmissions: number;
}

const TYPE_MASK = ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER);
const BACKUP = MPTCP_SUBFLOW_FLAG_BKUP_LOC | MPTCP_SUBFLOW_FLAG_BKUP_REM;

/** Where the value of each attribute lies that is looked at; 0 for one that is missing. */
interface Spans {
  info: number;
  infoEnd: number;
  ulp: number;
  ulpEnd: number;
}

const spans: Spans = { info: 0, infoEnd: 0, ulp: 0, ulpEnd: 0 };

/** The offset of the value of an attribute between two others; 0 where it is missing. */
function findAttribute(view: DataView, type: number, start: number, end: number): number {
  for (let at = start; at + nlattr.size <= end;) {
    const length = view.getUint16(at + nlattr.nla_len, true);
    if (length < nlattr.size || at + length > end) return 0;
    if ((view.getUint16(at + nlattr.nla_type, true) & TYPE_MASK) === type) return at + nlattr.size;
    at += align(length);
  }
  return 0;
}

/** Fills in `spans` in one pass. */
function findSpans(view: DataView, start: number, end: number): void {
  spans.info = spans.ulp = 0;
  for (let at = start; at + nlattr.size <= end;) {
    const length = view.getUint16(at + nlattr.nla_len, true);
    if (length < nlattr.size || at + length > end) return;
    const type = view.getUint16(at + nlattr.nla_type, true) & TYPE_MASK;
    if (type === INET_DIAG_INFO) {
      spans.info = at + nlattr.size;
      spans.infoEnd = at + length;
    } else if (type === INET_DIAG_ULP_INFO) {
      spans.ulp = at + nlattr.size;
      spans.ulpEnd = at + length;
    }
    at += align(length);
  }
}

/** A field of the struct in `spans.info`; 0 where the kernel's is shorter. */
function u8(view: DataView, offset: number): number {
  const at = spans.info + offset;
  return at < spans.infoEnd ? view.getUint8(at) : 0;
}

function u32(view: DataView, offset: number): number {
  const at = spans.info + offset;
  return at + 4 <= spans.infoEnd ? view.getUint32(at, true) : 0;
}

/** As a number: exact to 2^53. */
function u64(view: DataView, offset: number): number {
  const at = spans.info + offset;
  if (at + 8 > spans.infoEnd) return 0;
  return view.getUint32(at, true) + 2 ** 32 * view.getUint32(at + 4, true);
}

/** Lists the open MPTCP connections. Since Linux 5.9; needs no privilege. */
export function surveyConnections(netns?: string): SurveyedConnection[] {
  const found: SurveyedConnection[] = [];
  const ends = new LocalEnds();
  survey(connectionsRequest, "list the MPTCP connections", netns, (view, start, end) => {
    findSpans(view, start + inet_diag_msg.size, end);
    const token = spans.info === 0 ? 0 : u32(view, mptcp_info.mptcpi_token);
    if (token === 0) return;
    found.push({
      end: ends.at(view, start),
      state: tcpStateName(view.getUint8(start + inet_diag_msg.idiag_state)),
      token,
      subflows: u8(view, mptcp_info.mptcpi_subflows_total),
      bytesSent: u64(view, mptcp_info.mptcpi_bytes_sent),
      bytesReceived: u64(view, mptcp_info.mptcpi_bytes_received),
      bytesRetrans: u64(view, mptcp_info.mptcpi_bytes_retrans),
    });
  });
  return found;
}

/** Lists the subflows of open MPTCP connections. Before Linux 6.15 it takes CAP_NET_ADMIN. */
export function surveySubflows(netns?: string): SurveyedSubflow[] {
  const found: SurveyedSubflow[] = [];
  const ends = new LocalEnds();
  survey(subflowsRequest, "list the subflows", netns, (view, start, end) => {
    findSpans(view, start + inet_diag_msg.size, end);
    if (spans.ulp === 0 || spans.info === 0) return;
    const mptcp = findAttribute(view, INET_ULP_INFO_MPTCP, spans.ulp, spans.ulpEnd);
    if (mptcp === 0) return;
    const token = findAttribute(view, MPTCP_SUBFLOW_ATTR_TOKEN_LOC, mptcp, spans.ulpEnd);
    if (token === 0) return;
    const flags = findAttribute(view, MPTCP_SUBFLOW_ATTR_FLAGS, mptcp, spans.ulpEnd);
    found.push({
      end: ends.at(view, start),
      state: tcpStateName(view.getUint8(start + inet_diag_msg.idiag_state)),
      token: view.getUint32(token, true),
      backup: flags !== 0 && (view.getUint32(flags, true) & BACKUP) !== 0,
      rtt: u32(view, tcp_info.tcpi_rtt),
      unacked: u32(view, tcp_info.tcpi_unacked),
      retransmissions: u32(view, tcp_info.tcpi_total_retrans),
      bytesSent: u64(view, tcp_info.tcpi_bytes_sent),
      bytesReceived: u64(view, tcp_info.tcpi_bytes_received),
      bytesRetrans: u64(view, tcp_info.tcpi_bytes_retrans),
    });
  });
  return found;
}

function survey(
  request: (family: number) => Uint8Array,
  operation: string,
  netns: string | undefined,
  visit: Visit,
): void {
  using socket = new NetlinkSocket(NETLINK_SOCK_DIAG, netns);
  for (const family of [AF_INET, AF_INET6]) {
    const { result } = socket.scan(SOCK_DIAG_BY_FAMILY, request(family), visit);
    check("send", result, { operation });
  }
}

/** The addresses of this end: there are few, with thousands of sockets on each. */
class LocalEnds {
  readonly #ends = new Map<string | number, LocalEnd>();

  at(view: DataView, start: number): LocalEnd {
    const at = start + inet_diag_msg.id + inet_diag_sockid.idiag_src;
    const v6 = view.getUint8(start + inet_diag_msg.idiag_family) === AF_INET6;
    const first = view.getUint32(at);
    const key = v6
      ? `${first} ${view.getUint32(at + 4)} ${view.getUint32(at + 8)} ${view.getUint32(at + 12)}`
      : first;
    let end = this.#ends.get(key);
    if (end === undefined) {
      const made = localEnd(new Uint8Array(view.buffer, at, v6 ? 16 : 4));
      // An IPv6 socket has the same address IPv4-mapped.
      end = this.#ends.get(made.address) ?? made;
      this.#ends.set(key, end).set(end.address, end);
    }
    return end;
  }
}

function localEnd(bytes: Uint8Array): LocalEnd {
  const address = formatIp(isIpv4Mapped(bytes) ? bytes.subarray(12) : bytes);
  return { address, family: address.includes(":") ? 6 : 4 };
}
