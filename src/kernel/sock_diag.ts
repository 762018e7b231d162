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
import {
  AttributeBuilder,
  Attributes,
  endOfAttribute,
  findAttribute,
} from "../netlink/attributes.ts";
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
  /** A number of net/tcp_states.h. */
  readonly state: number;
  /** Names the socket among all that there were since the machine started. */
  readonly cookie: number;
  /** As much of a `struct mptcp_info` as the kernel gave. */
  readonly info: Uint8Array;
}

/** A subflow of an MPTCP connection of any process. */
export interface DiagnosedSubflow extends DiagnosedConnection {
  /** Identifies the connection. */
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
 * Whether the SYN that began a connection, as it was answered, requested MPTCP; `null` where the
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

/** A socket in the kernel's answer, taken apart as far as it is asked: there may be tens of thousands. */
class DiagnosedSocket implements DiagnosedConnection {
  readonly info: Uint8Array;
  readonly state: number;
  readonly cookie: number;
  readonly #payload: Uint8Array;

  constructor(payload: Uint8Array, info: Uint8Array, view: DataView) {
    this.info = info;
    this.state = payload[inet_diag_msg.idiag_state]!;
    const cookie = inet_diag_msg.id + inet_diag_sockid.idiag_cookie;
    this.cookie = view.getUint32(cookie, true) + 2 ** 32 * view.getUint32(cookie + 4, true);
    this.#payload = payload;
  }

  get local(): Uint8Array {
    return this.#end(inet_diag_sockid.idiag_src, inet_diag_sockid.idiag_sport);
  }

  get remote(): Uint8Array {
    return this.#end(inet_diag_sockid.idiag_dst, inet_diag_sockid.idiag_dport);
  }

  #end(address: number, port: number): Uint8Array {
    const id = this.#payload.subarray(inet_diag_msg.id);
    const length = this.#payload[inet_diag_msg.idiag_family] === AF_INET6 ? 16 : 4;
    return encodeSockaddr(id.slice(address, address + length), id[port]! << 8 | id[port + 1]!);
  }
}

class DiagnosedSubflowSocket extends DiagnosedSocket implements DiagnosedSubflow {
  readonly token: number;
  readonly backup: boolean;

  constructor(payload: Uint8Array, info: Uint8Array, view: DataView, token: number, flags: number) {
    super(payload, info, view);
    this.token = token;
    this.backup = (flags & BACKUP) !== 0;
  }
}

function decodeSubflow(payload: Uint8Array): DiagnosedSubflow[] {
  const view = viewOf(payload);
  const info = infoOf(payload, view);
  if (info === null) return [];
  const ulp = findAttribute(view, INET_DIAG_ULP_INFO, inet_diag_msg.size, payload.byteLength);
  const end = ulp === 0 ? 0 : endOfAttribute(view, ulp);
  const mptcp = ulp === 0 ? 0 : findAttribute(view, INET_ULP_INFO_MPTCP, ulp, end);
  const token = mptcp === 0 ? 0 : findAttribute(view, MPTCP_SUBFLOW_ATTR_TOKEN_LOC, mptcp, end);
  if (token === 0) return [];
  const at = findAttribute(view, MPTCP_SUBFLOW_ATTR_FLAGS, mptcp, end);
  const flags = at === 0 ? 0 : view.getUint32(at, true);
  return [
    new DiagnosedSubflowSocket(payload, info, view, view.getUint32(token, true), flags),
  ];
}

function decodeConnection(payload: Uint8Array): DiagnosedConnection[] {
  const view = viewOf(payload);
  const info = infoOf(payload, view);
  return info === null ? [] : [new DiagnosedSocket(payload, info, view)];
}

function infoOf(payload: Uint8Array, view: DataView): Uint8Array | null {
  const at = findAttribute(view, INET_DIAG_INFO, inet_diag_msg.size, payload.byteLength);
  return at === 0 ? null : payload.subarray(at, endOfAttribute(view, at));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
