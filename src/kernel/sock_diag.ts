/**
 * What the kernel reports on sockets over netlink, as `ss` shows it: on those of other processes too.
 *
 * @module
 */

import { AF_INET6, IPPROTO_MPTCP, IPPROTO_TCP, sockaddr_in } from "../../ffi/linux/abi.ts";
import {
  INET_DIAG_INFO,
  inet_diag_msg,
  INET_DIAG_NOCOOKIE,
  inet_diag_req,
  INET_DIAG_REQ_PROTOCOL,
  inet_diag_req_v2,
  inet_diag_sockid,
  INET_DIAG_ULP_INFO,
  INET_ULP_INFO_MPTCP,
  MPTCP_SUBFLOW_ATTR_FLAGS,
  MPTCP_SUBFLOW_ATTR_TOKEN_LOC,
  MPTCP_SUBFLOW_FLAG_BKUP_LOC,
  MPTCP_SUBFLOW_FLAG_BKUP_REM,
  MPTCP_SUBFLOW_FLAG_MCAP_LOC,
  NETLINK_SOCK_DIAG,
  SOCK_DIAG_BY_FAMILY,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCPDIAG_GETSOCK,
} from "../../ffi/linux/abi_netlink.ts";
import { encodeSockaddr, sockaddrAddress } from "../../ffi/linux/sockaddr.ts";
import { AttributeBuilder, Attributes } from "../netlink/attributes.ts";
import type { Message } from "../netlink/message.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { check } from "../error.ts";

/** The two ends of a connection, as sockaddrs of one family. */
export interface Ends {
  readonly local: Uint8Array;
  readonly remote: Uint8Array;
}

/** An MPTCP connection of any process. */
export interface DiagnosedConnection extends Ends {
  /** As much of a `struct mptcp_info` as the kernel gave. */
  readonly info: Uint8Array;
}

/** A subflow of an MPTCP connection of any process. */
export interface DiagnosedSubflow extends Ends {
  /** Names the connection. */
  readonly token: number;
  /** Whether either end wants it used only while no other works. */
  readonly backup: boolean;
  /** As much of a `struct tcp_info` as the kernel gave. */
  readonly info: Uint8Array;
}

const ALL_STATES = 0xffffffff;
/** Connected, in both directions or still in one. */
const OPEN_STATES = 1 << TCP_ESTABLISHED | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 |
  1 << TCP_CLOSE_WAIT;
/**
 * The length of a `struct tcp_info` on Linux 5.7 and 5.8: they do not know INET_DIAG_REQ_PROTOCOL, and
 * list the TCP sockets instead of the MPTCP ones.
 */
const TCP_INFO_BEFORE_5_9 = 232;

/**
 * Whether the SYN that began a connection, as it was answered, asked for MPTCP; `null` where the
 * kernel does not say: it has forgotten the connection, or before 6.15 wants CAP_NET_ADMIN for it.
 *
 * The kernel notes in the subflow that it asked. It takes that back when it drops the request: after
 * SYNs that were not answered, or at once while it holds the network to be a black hole for MPTCP.
 */
export function askedForMptcp(ends: Ends, interfaceIndex: number, netns?: string): boolean | null {
  const { result, messages } = ask(ends, interfaceIndex, netns);
  const payload = messages[0]?.payload;
  if (result < 0 || payload === undefined) return null;
  const flags = new Attributes(payload.subarray(inet_diag_msg.size))
    .nested(INET_DIAG_ULP_INFO).nested(INET_ULP_INFO_MPTCP).u32(MPTCP_SUBFLOW_ATTR_FLAGS);
  return flags === undefined ? null : (flags & MPTCP_SUBFLOW_FLAG_MCAP_LOC) !== 0;
}

function ask(ends: Ends, interfaceIndex: number, netns?: string) {
  using socket = new NetlinkSocket(NETLINK_SOCK_DIAG, netns);
  const request = encodeRequest({
    family: ends.local[sockaddr_in.sin_family]!,
    protocol: IPPROTO_TCP,
    states: ALL_STATES,
  });
  const id = request.subarray(inet_diag_req_v2.id);
  const { sin_port } = sockaddr_in;
  id.set(ends.local.subarray(sin_port, sin_port + 2), inet_diag_sockid.idiag_sport);
  id.set(ends.remote.subarray(sin_port, sin_port + 2), inet_diag_sockid.idiag_dport);
  id.set(sockaddrAddress(ends.local), inet_diag_sockid.idiag_src);
  id.set(sockaddrAddress(ends.remote), inet_diag_sockid.idiag_dst);
  new DataView(id.buffer, id.byteOffset).setUint32(inet_diag_sockid.idiag_if, interfaceIndex, true);
  return socket.request(SOCK_DIAG_BY_FAMILY, request);
}

/**
 * Lists the open MPTCP connections of both families, for {@linkcode NetlinkSocket.dump} and `scan`. The
 * newer request is about one family at a time, and the kernel walks its table for each.
 */
export function connectionsRequest(): Uint8Array {
  const protocol = new AttributeBuilder().u32(INET_DIAG_REQ_PROTOCOL, IPPROTO_MPTCP).build();
  return new Uint8Array([...subflowsRequest(), ...protocol]);
}

/** Lists the open TCP connections of both families, subflows among them. */
export function subflowsRequest(): Uint8Array {
  const request = new Uint8Array(inet_diag_req.size);
  // Without this there is no INET_DIAG_ULP_INFO either.
  request[inet_diag_req.idiag_ext] = 1 << (INET_DIAG_INFO - 1);
  new DataView(request.buffer).setUint32(inet_diag_req.idiag_states, OPEN_STATES, true);
  return request;
}

/** The type of both requests. */
export const LIST_SOCKETS: number = TCPDIAG_GETSOCK;

/** Whether information of so many bytes is that of an MPTCP connection. */
export function isMptcpInfo(length: number): boolean {
  return length !== TCP_INFO_BEFORE_5_9;
}

/** The MPTCP connections in a network namespace, since Linux 5.9; those that fell back among them. */
export function mptcpConnections(netns?: string): DiagnosedConnection[] {
  return list(connectionsRequest(), "list the MPTCP connections", netns)
    .flatMap(({ payload }) => decodeConnection(payload))
    .filter(({ info }) => isMptcpInfo(info.byteLength));
}

/**
 * The subflows of the MPTCP connections in a network namespace: TCP sockets that say whose they are.
 * Before Linux 6.15 they say so only to those with CAP_NET_ADMIN.
 */
export function mptcpSubflows(netns?: string): DiagnosedSubflow[] {
  return list(subflowsRequest(), "list the subflows", netns)
    .flatMap(({ payload }) => decodeSubflow(payload));
}

function list(request: Uint8Array, operation: string, netns?: string): readonly Message[] {
  using socket = new NetlinkSocket(NETLINK_SOCK_DIAG, netns);
  const { result, messages } = socket.dump(LIST_SOCKETS, request);
  check("send", result, { operation });
  return messages;
}

interface Request {
  readonly family: number;
  readonly protocol: number;
  readonly states: number;
}

function encodeRequest({ family, protocol, states }: Request): Uint8Array {
  const request = new Uint8Array(inet_diag_req_v2.size);
  const view = new DataView(request.buffer);
  view.setUint8(inet_diag_req_v2.sdiag_family, family);
  view.setUint8(inet_diag_req_v2.sdiag_protocol, protocol);
  // Without this there is no INET_DIAG_ULP_INFO either.
  view.setUint8(inet_diag_req_v2.idiag_ext, 1 << (INET_DIAG_INFO - 1));
  view.setUint32(inet_diag_req_v2.idiag_states, states, true);
  const cookie = inet_diag_req_v2.id + inet_diag_sockid.idiag_cookie;
  view.setUint32(cookie, INET_DIAG_NOCOOKIE, true);
  view.setUint32(cookie + 4, INET_DIAG_NOCOOKIE, true);
  return request;
}

const BACKUP = MPTCP_SUBFLOW_FLAG_BKUP_LOC | MPTCP_SUBFLOW_FLAG_BKUP_REM;

function decodeSubflow(payload: Uint8Array): DiagnosedSubflow[] {
  return decodeConnection(payload).flatMap((connection) => {
    const mptcp = new Attributes(payload.subarray(inet_diag_msg.size))
      .nested(INET_DIAG_ULP_INFO).nested(INET_ULP_INFO_MPTCP);
    const token = mptcp.u32(MPTCP_SUBFLOW_ATTR_TOKEN_LOC);
    if (token === undefined) return [];
    const backup = ((mptcp.u32(MPTCP_SUBFLOW_ATTR_FLAGS) ?? 0) & BACKUP) !== 0;
    return [{ ...connection, token, backup }];
  });
}

function decodeConnection(payload: Uint8Array): DiagnosedConnection[] {
  if (payload.byteLength < inet_diag_msg.size) return [];
  const info = new Attributes(payload.subarray(inet_diag_msg.size)).bytes(INET_DIAG_INFO);
  if (info === undefined) return [];
  const id = payload.subarray(inet_diag_msg.id);
  const view = new DataView(id.buffer, id.byteOffset);
  const length = payload[inet_diag_msg.idiag_family] === AF_INET6 ? 16 : 4;
  const end = (address: number, port: number) =>
    encodeSockaddr(id.slice(address, address + length), view.getUint16(port, false));
  return [{
    info,
    local: end(inet_diag_sockid.idiag_src, inet_diag_sockid.idiag_sport),
    remote: end(inet_diag_sockid.idiag_dst, inet_diag_sockid.idiag_dport),
  }];
}
