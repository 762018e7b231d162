/**
 * The MPTCP connections and subflows of a network namespace by thousands: only what can be counted,
 * read without an object for each of them.
 *
 * @module
 */

import { AF_INET6, mptcp_info, MPTCP_INFO_FLAG_FALLBACK, tcp_info } from "../../ffi/linux/abi.ts";
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
} from "../../ffi/linux/abi_netlink.ts";
import { formatIp } from "../../ffi/linux/sockaddr.ts";
import { align, findAttribute } from "../netlink/attributes.ts";
import { NetlinkSocket, type Visit } from "../netlink/socket.ts";
import { check } from "../error.ts";
import { connectionsRequest, isMptcpInfo, LIST_SOCKETS, subflowsRequest } from "./sock_diag.ts";

/** This end of a socket; the same object for all sockets on one address. */
export interface LocalEnd {
  readonly address: string;
  /** The version of IP; IPv4-mapped addresses count as 4. */
  readonly family: 4 | 6;
}

/** A connection or a subflow, as far as it is counted. */
export interface SurveyedSocket {
  readonly end: LocalEnd;
  /** A number of net/tcp_states.h. */
  readonly state: number;
  /** Identifies the connection. */
  readonly token: number;
  /** Bytes sent, with those that were sent again; 0 where the kernel does not say (before 6.5). */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bytesRetrans: number;
}

/** A connection. */
export interface SurveyedConnection extends SurveyedSocket {
  /** Whether it became TCP. */
  readonly fallback: boolean;
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
      // The kernel puts it behind the other.
      return;
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

type Mutable<T> = { -readonly [name in keyof T]: T[name] };

const NOWHERE: LocalEnd = { address: "", family: 4 };
const SOCKET = {
  end: NOWHERE,
  state: 0,
  token: 0,
  bytesSent: 0,
  bytesReceived: 0,
  bytesRetrans: 0,
};

/**
 * Hands each open connection of an MPTCP socket to `take`, those that became TCP too. The object is the
 * same for all: what is to be kept has to be copied. Since Linux 5.9; needs no privilege.
 */
export function surveyConnections(
  take: (connection: SurveyedConnection) => void,
  netns?: string,
): void {
  const one: Mutable<SurveyedConnection> = { ...SOCKET, fallback: false, subflows: 0 };
  const ends = new LocalEnds();
  survey(connectionsRequest(), "list the MPTCP connections", netns, (view, start, end) => {
    findSpans(view, start + inet_diag_msg.size, end);
    if (spans.info === 0 || !isMptcpInfo(spans.infoEnd - spans.info)) return;
    one.token = u32(view, mptcp_info.mptcpi_token);
    if (one.token === 0) return;
    one.end = ends.at(view, start);
    one.state = view.getUint8(start + inet_diag_msg.idiag_state);
    one.fallback = (u32(view, mptcp_info.mptcpi_flags) & MPTCP_INFO_FLAG_FALLBACK) !== 0;
    one.subflows = u8(view, mptcp_info.mptcpi_subflows_total);
    one.bytesSent = u64(view, mptcp_info.mptcpi_bytes_sent);
    one.bytesReceived = u64(view, mptcp_info.mptcpi_bytes_received);
    one.bytesRetrans = u64(view, mptcp_info.mptcpi_bytes_retrans);
    take(one);
  });
}

/**
 * Hands each subflow of an open MPTCP connection to `take`, as {@linkcode surveyConnections} does.
 * Before Linux 6.15 it takes CAP_NET_ADMIN.
 */
export function surveySubflows(take: (subflow: SurveyedSubflow) => void, netns?: string): void {
  const one: Mutable<SurveyedSubflow> = {
    ...SOCKET,
    backup: false,
    rtt: 0,
    unacked: 0,
    retransmissions: 0,
  };
  const ends = new LocalEnds();
  survey(subflowsRequest(), "list the subflows", netns, (view, start, end) => {
    findSpans(view, start + inet_diag_msg.size, end);
    if (spans.ulp === 0 || spans.info === 0) return;
    const mptcp = findAttribute(view, INET_ULP_INFO_MPTCP, spans.ulp, spans.ulpEnd);
    if (mptcp === 0) return;
    const token = findAttribute(view, MPTCP_SUBFLOW_ATTR_TOKEN_LOC, mptcp, spans.ulpEnd);
    if (token === 0) return;
    const flags = findAttribute(view, MPTCP_SUBFLOW_ATTR_FLAGS, mptcp, spans.ulpEnd);
    one.end = ends.at(view, start);
    one.state = view.getUint8(start + inet_diag_msg.idiag_state);
    one.token = view.getUint32(token, true);
    one.backup = flags !== 0 && (view.getUint32(flags, true) & BACKUP) !== 0;
    one.rtt = u32(view, tcp_info.tcpi_rtt);
    one.unacked = u32(view, tcp_info.tcpi_unacked);
    one.retransmissions = u32(view, tcp_info.tcpi_total_retrans);
    one.bytesSent = u64(view, tcp_info.tcpi_bytes_sent);
    one.bytesReceived = u64(view, tcp_info.tcpi_bytes_received);
    one.bytesRetrans = u64(view, tcp_info.tcpi_bytes_retrans);
    take(one);
  });
}

function survey(
  request: Uint8Array,
  operation: string,
  netns: string | undefined,
  visit: Visit,
): void {
  using socket = new NetlinkSocket(NETLINK_SOCK_DIAG, netns);
  const { result } = socket.scan(LIST_SOCKETS, request, visit);
  check("send", result, { operation });
}

/** The addresses of this end: there are few, with thousands of sockets on each. */
class LocalEnds {
  /** By the address as a number, and IPv6 addresses by their four words. */
  readonly #ends = new Map<number | string, LocalEnd>();

  at(view: DataView, start: number): LocalEnd {
    const at = start + inet_diag_msg.id + inet_diag_sockid.idiag_src;
    if (view.getUint8(start + inet_diag_msg.idiag_family) !== AF_INET6) return this.#ipv4(view, at);
    const one = view.getUint32(at);
    const two = view.getUint32(at + 4);
    const three = view.getUint32(at + 8);
    // An IPv6 socket has the same address IPv4-mapped.
    if (one === 0 && two === 0 && three === 0xffff) return this.#ipv4(view, at + 12);
    const key = `${one} ${two} ${three} ${view.getUint32(at + 12)}`;
    return this.#ends.get(key) ?? this.#add(key, view, at, 16);
  }

  #ipv4(view: DataView, at: number): LocalEnd {
    const key = view.getUint32(at);
    return this.#ends.get(key) ?? this.#add(key, view, at, 4);
  }

  #add(key: number | string, view: DataView, at: number, length: 4 | 16): LocalEnd {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at, length);
    const end: LocalEnd = { address: formatIp(bytes), family: length === 4 ? 4 : 6 };
    this.#ends.set(key, end);
    return end;
  }
}
