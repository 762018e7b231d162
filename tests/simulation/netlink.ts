/**
 * Simulated netlink: the path manager of MPTCP, socket diagnosis and addresses, as far as this module
 * asks. The answers are put together here, byte by byte, by none of the code that reads them.
 *
 * @module
 */

import { AF_INET, AF_INET6, EPOLLERR, EPOLLIN, EPOLLOUT } from "../../ffi/linux/abi.ts";
import * as nl from "../../ffi/linux/abi_netlink.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { parseIp } from "../../ffi/linux/sockaddr.ts";
import { File } from "./file.ts";
import type { SimSubflow } from "./mptcp.ts";
import type { Network, PathObserver } from "./network.ts";
import { mptcpInfo, tokenOf } from "./options.ts";
import type { Address, Sock } from "./sock.ts";

const PM_FAMILY = 28;
const EVENTS_GROUP = 9;
const MAX_ENDPOINTS = 8;
const MAX_LIMIT = 8;
/** Datagrams that a socket holds before it loses some. */
const MAX_QUEUED = 32;

/** An endpoint of the simulated path manager. */
export interface SimEndpoint {
  id: number;
  readonly ip: string;
  readonly port: number;
  flags: number;
  readonly interfaceIndex: number;
}

type Attribute = readonly [type: number, value: Uint8Array];

/** What of the kernel is reached by netlink. */
export class NetlinkHost implements PathObserver {
  readonly endpoints: SimEndpoint[] = [];
  readonly limits: { subflows: number; addAddrAccepted: number } = {
    subflows: 2,
    addAddrAccepted: 0,
  };
  /** Interfaces by their indexes. */
  readonly interfaces: Map<number, string> = new Map([[1, "lo"], [2, "eth0"], [3, "wlan0"]]);
  readonly addresses: { ip: string; interfaceIndex: number }[] = [
    { ip: "127.0.0.1", interfaceIndex: 1 },
    { ip: "10.0.1.1", interfaceIndex: 2 },
    { ip: "10.0.2.1", interfaceIndex: 3 },
  ];
  isAdmin = true;
  readonly sockets: Set<NetlinkFile> = new Set();
  network!: Network;

  indexOf(name: string): number {
    for (const [index, known] of this.interfaces) if (known === name) return index;
    return -ERRNO.ENODEV;
  }

  nameOf(index: number): string | null {
    return this.interfaces.get(index) ?? null;
  }

  onConnection(kind: "created" | "closed", client: Sock, server: Sock): void {
    if (!this.#isHeard) return;
    const types = kind === "created"
      ? [nl.MPTCP_EVENT_CREATED, nl.MPTCP_EVENT_ESTABLISHED]
      : [nl.MPTCP_EVENT_CLOSED];
    for (const sock of [client, server]) {
      for (const type of types) this.emit(type, endsOf(sock, sock.local!, sock.remote!));
    }
  }

  onSubflow(kind: "joined" | "died" | "priority", end: Sock, subflow: SimSubflow): void {
    if (!this.#isHeard) return;
    const type = {
      joined: nl.MPTCP_EVENT_SUB_ESTABLISHED,
      died: nl.MPTCP_EVENT_SUB_CLOSED,
      priority: nl.MPTCP_EVENT_SUB_PRIORITY,
    }[kind];
    this.emit(type, endsOf(end, subflow.client, subflow.server));
  }

  get #isHeard(): boolean {
    for (const socket of this.sockets) if (socket.hasJoined) return true;
    return false;
  }

  /** Tells all who listen to events. */
  emit(type: number, attributes: readonly Attribute[]): void {
    const payload = generic(type, attributes);
    for (const socket of this.sockets) {
      if (socket.hasJoined) socket.deliver(message(PM_FAMILY, 0, 0, payload));
    }
  }
}

/** A netlink socket. */
export class NetlinkFile extends File {
  readonly #host: NetlinkHost;
  readonly #protocol: number;
  #queue: Uint8Array[] = [];
  hasJoined = false;
  /** Something was lost, which the next call says. */
  #hasLost = false;

  constructor(host: NetlinkHost, protocol: number) {
    super();
    this.#host = host;
    this.#protocol = protocol;
    host.sockets.add(this);
  }

  override poll(): number {
    const events = EPOLLOUT | (this.#hasLost ? EPOLLERR : 0);
    return this.#queue.length > 0 ? events | EPOLLIN : events;
  }

  override release(): void {
    this.#host.sockets.delete(this);
  }

  setOption(level: number, optname: number, optval: Uint8Array): number {
    if (level !== nl.SOL_NETLINK || optname !== nl.NETLINK_ADD_MEMBERSHIP) return 0;
    if (!this.#host.isAdmin) return -ERRNO.EPERM;
    this.hasJoined = new DataView(optval.buffer, optval.byteOffset).getInt32(0, true) ===
      EVENTS_GROUP;
    return 0;
  }

  deliver(datagram: Uint8Array): void {
    if (this.#queue.length >= MAX_QUEUED) this.#hasLost = true;
    else this.#queue.push(datagram);
    this.wake();
  }

  recv(buf: Uint8Array): number {
    if (this.#hasLost) {
      this.#hasLost = false;
      return -ERRNO.ENOBUFS;
    }
    const datagram = this.#queue.shift();
    if (datagram === undefined) return -ERRNO.EAGAIN;
    buf.set(datagram.subarray(0, buf.byteLength));
    return datagram.byteLength;
  }

  send(bytes: Uint8Array): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const request: Request = {
      type: view.getUint16(nl.nlmsghdr.nlmsg_type, true),
      flags: view.getUint16(nl.nlmsghdr.nlmsg_flags, true),
      seq: view.getUint32(nl.nlmsghdr.nlmsg_seq, true),
      payload: bytes.slice(nl.nlmsghdr.size),
      header: bytes.slice(0, nl.nlmsghdr.size),
    };
    const answer = answerTo(this.#host, this.#protocol, request);
    this.#reply(request, answer);
    return bytes.byteLength;
  }

  #reply({ type, flags, seq, header }: Request, answer: Answer): void {
    const isDump = (flags & nl.NLM_F_DUMP) === nl.NLM_F_DUMP;
    if (answer.error === 0) {
      const kind = answer.type ?? type;
      for (const payload of answer.payloads) this.#queue.push(message(kind, 2, seq, payload));
      if (isDump) this.#queue.push(message(nl.NLMSG_DONE, 2, seq, new Uint8Array(4)));
      else if (flags & nl.NLM_F_ACK) this.#queue.push(errorMessage(seq, 0, header, ""));
    } else {
      this.#queue.push(errorMessage(seq, -answer.error, header, answer.text ?? ""));
    }
  }
}

interface Request {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  readonly payload: Uint8Array;
  readonly header: Uint8Array;
}

interface Answer {
  /** 0 or an errno. */
  readonly error: number;
  readonly text?: string;
  readonly type?: number;
  readonly payloads: readonly Uint8Array[];
}

const OK: Answer = { error: 0, payloads: [] };

function fail(error: number, text = ""): Answer {
  return { error, text, payloads: [] };
}

function answerTo(host: NetlinkHost, protocol: number, request: Request): Answer {
  if (protocol === nl.NETLINK_GENERIC && request.type === nl.GENL_ID_CTRL) return family();
  if (protocol === nl.NETLINK_GENERIC && request.type === PM_FAMILY) {
    return pathManager(host, request);
  }
  if (protocol === nl.NETLINK_ROUTE && request.type === nl.RTM_GETADDR) {
    return { error: 0, type: nl.RTM_NEWADDR, payloads: host.addresses.map(addressMessage) };
  }
  if (protocol === nl.NETLINK_SOCK_DIAG) return diagnose(host, request);
  return fail(ERRNO.EOPNOTSUPP);
}

function family(): Answer {
  const group = nested(1, [
    [nl.CTRL_ATTR_MCAST_GRP_ID, u32(EVENTS_GROUP)],
    [nl.CTRL_ATTR_MCAST_GRP_NAME, text("mptcp_pm_events")],
  ]);
  return {
    error: 0,
    payloads: [generic(1, [
      [nl.CTRL_ATTR_FAMILY_ID, u16(PM_FAMILY)],
      nested(nl.CTRL_ATTR_MCAST_GROUPS, [group]),
    ])],
  };
}

/** Commands that change something need CAP_NET_ADMIN. */
const READING: readonly number[] = [nl.MPTCP_PM_CMD_GET_ADDR, nl.MPTCP_PM_CMD_GET_LIMITS];

function pathManager(host: NetlinkHost, { payload }: Request): Answer {
  const command = payload[0]!;
  const attributes = parse(payload.subarray(nl.genlmsghdr.size));
  if (!host.isAdmin && !READING.includes(command)) return fail(ERRNO.EPERM);
  const address = parse(attributes.get(nl.MPTCP_PM_ATTR_ADDR) ?? new Uint8Array(0));
  switch (command) {
    case nl.MPTCP_PM_CMD_GET_ADDR:
      return { error: 0, payloads: host.endpoints.map((one) => endpointMessage(one)) };
    case nl.MPTCP_PM_CMD_ADD_ADDR:
      return addEndpoint(host, address);
    case nl.MPTCP_PM_CMD_DEL_ADDR:
      return removeEndpoint(host, address.get(nl.MPTCP_PM_ADDR_ATTR_ID)?.[0] ?? 0);
    case nl.MPTCP_PM_CMD_FLUSH_ADDRS:
      host.endpoints.length = 0;
      return OK;
    case nl.MPTCP_PM_CMD_SET_FLAGS:
      return setFlags(host, address);
    case nl.MPTCP_PM_CMD_SET_LIMITS:
      return setLimits(host, attributes);
    case nl.MPTCP_PM_CMD_GET_LIMITS:
      return {
        error: 0,
        payloads: [generic(command, [
          [nl.MPTCP_PM_ATTR_RCV_ADD_ADDRS, u32(host.limits.addAddrAccepted)],
          [nl.MPTCP_PM_ATTR_SUBFLOWS, u32(host.limits.subflows)],
        ])],
      };
    default:
      return fail(ERRNO.EINVAL, "invalid token");
  }
}

function addEndpoint({ endpoints }: NetlinkHost, address: ReadonlyMap<number, Uint8Array>): Answer {
  const bytes = address.get(nl.MPTCP_PM_ADDR_ATTR_ADDR4) ??
    address.get(nl.MPTCP_PM_ADDR_ATTR_ADDR6);
  if (bytes === undefined) return fail(ERRNO.EINVAL, "missing family");
  const ip = bytes.length === 4 ? bytes.join(".") : "fd00::1";
  const port = intOf(address.get(nl.MPTCP_PM_ADDR_ATTR_PORT));
  const flags = intOf(address.get(nl.MPTCP_PM_ADDR_ATTR_FLAGS)) & 63;
  const wanted = intOf(address.get(nl.MPTCP_PM_ADDR_ATTR_ID));
  if (flags & nl.MPTCP_PM_ADDR_FLAG_FULLMESH && flags & nl.MPTCP_PM_ADDR_FLAG_SIGNAL) {
    return fail(ERRNO.EINVAL, "flags mustn't have both signal and fullmesh");
  }
  if (endpoints.length >= MAX_ENDPOINTS) return fail(ERRNO.ERANGE, "too many addresses");
  if (endpoints.some((one) => one.ip === ip && one.port === port)) return fail(ERRNO.EEXIST);
  if (wanted !== 0 && endpoints.some(({ id }) => id === wanted)) return fail(ERRNO.EBUSY);
  let id = wanted;
  if (id === 0) { for (id = 1; endpoints.some((one) => one.id === id);) id++; }
  const interfaceIndex = intOf(address.get(nl.MPTCP_PM_ADDR_ATTR_IF_IDX));
  endpoints.push({ id, ip, port, flags, interfaceIndex });
  endpoints.sort((a, b) => a.id - b.id);
  return OK;
}

function removeEndpoint({ endpoints }: NetlinkHost, id: number): Answer {
  // Without an id it is about the first address of connections, and no endpoint.
  if (id === 0) return OK;
  const index = endpoints.findIndex((one) => one.id === id);
  if (index < 0) return fail(ERRNO.EINVAL, "address not found");
  endpoints.splice(index, 1);
  return OK;
}

function setFlags({ endpoints }: NetlinkHost, address: ReadonlyMap<number, Uint8Array>): Answer {
  const ip = address.get(nl.MPTCP_PM_ADDR_ATTR_ADDR4)?.join(".");
  const id = intOf(address.get(nl.MPTCP_PM_ADDR_ATTR_ID));
  const endpoint = endpoints.find((one) => ip !== undefined ? one.ip === ip : one.id === id);
  if (endpoint === undefined) return fail(ERRNO.EINVAL, "address not found");
  const changeable = nl.MPTCP_PM_ADDR_FLAG_BACKUP | nl.MPTCP_PM_ADDR_FLAG_FULLMESH;
  const flags = intOf(address.get(nl.MPTCP_PM_ADDR_ATTR_FLAGS));
  if (flags & nl.MPTCP_PM_ADDR_FLAG_FULLMESH && endpoint.flags & nl.MPTCP_PM_ADDR_FLAG_SIGNAL) {
    return fail(ERRNO.EINVAL, "invalid addr flags");
  }
  endpoint.flags = endpoint.flags & ~changeable | flags & changeable;
  return OK;
}

function setLimits({ limits }: NetlinkHost, attributes: ReadonlyMap<number, Uint8Array>): Answer {
  const accepted = attributes.get(nl.MPTCP_PM_ATTR_RCV_ADD_ADDRS);
  const subflows = attributes.get(nl.MPTCP_PM_ATTR_SUBFLOWS);
  if (intOf(accepted) > MAX_LIMIT || intOf(subflows) > MAX_LIMIT) {
    return fail(ERRNO.EINVAL, `limit greater than maximum (${MAX_LIMIT})`);
  }
  if (accepted !== undefined) limits.addAddrAccepted = intOf(accepted);
  if (subflows !== undefined) limits.subflows = intOf(subflows);
  return OK;
}

function endpointMessage({ id, ip, port, flags, interfaceIndex }: SimEndpoint): Uint8Array {
  const { family, bytes } = parseIp(ip)!;
  const attributes: Attribute[] = [
    [nl.MPTCP_PM_ADDR_ATTR_FAMILY, u16(family)],
    [nl.MPTCP_PM_ADDR_ATTR_ID, Uint8Array.of(id)],
    [nl.MPTCP_PM_ADDR_ATTR_FLAGS, u32(flags)],
    [nl.MPTCP_PM_ADDR_ATTR_PORT, u16(port)],
    [nl.MPTCP_PM_ADDR_ATTR_IF_IDX, u32(interfaceIndex)],
    [family === AF_INET ? nl.MPTCP_PM_ADDR_ATTR_ADDR4 : nl.MPTCP_PM_ADDR_ATTR_ADDR6, bytes],
  ];
  return generic(nl.MPTCP_PM_CMD_GET_ADDR, [nested(nl.MPTCP_PM_ATTR_ADDR, attributes)]);
}

function endsOf(sock: Sock, local: Address, remote: Address): Attribute[] {
  const source = parseIp(local.ip)!.bytes;
  const target = parseIp(remote.ip)!.bytes;
  return [
    [nl.MPTCP_ATTR_TOKEN, u32(tokenOf(sock))],
    [nl.MPTCP_ATTR_LOC_ID, Uint8Array.of(0)],
    [source.length === 4 ? nl.MPTCP_ATTR_SADDR4 : nl.MPTCP_ATTR_SADDR6, source],
    [target.length === 4 ? nl.MPTCP_ATTR_DADDR4 : nl.MPTCP_ATTR_DADDR6, target],
    [nl.MPTCP_ATTR_SPORT, be16(local.port)],
    [nl.MPTCP_ATTR_DPORT, be16(remote.port)],
    [nl.MPTCP_ATTR_BACKUP, Uint8Array.of(0)],
  ];
}

function addressMessage({ ip, interfaceIndex }: NetlinkHost["addresses"][number]): Uint8Array {
  const { family, bytes } = parseIp(ip)!;
  const head = new Uint8Array(nl.ifaddrmsg.size);
  head[nl.ifaddrmsg.ifa_family] = family;
  head[nl.ifaddrmsg.ifa_scope] = interfaceIndex === 1 ? 254 : nl.RT_SCOPE_UNIVERSE;
  new DataView(head.buffer).setUint32(nl.ifaddrmsg.ifa_index, interfaceIndex, true);
  return join([head, attribute([nl.IFA_ADDRESS, bytes]), attribute([nl.IFA_LOCAL, bytes])]);
}

function diagnose(host: NetlinkHost, { type, flags, payload }: Request): Answer {
  // The older request is about both families.
  const isForBoth = type === nl.TCPDIAG_GETSOCK;
  const head = (isForBoth ? nl.inet_diag_req : nl.inet_diag_req_v2).size;
  const isDump = (flags & nl.NLM_F_DUMP) === nl.NLM_F_DUMP;
  const wantsMptcp = parse(payload.subarray(head)).has(nl.INET_DIAG_REQ_PROTOCOL);
  const ends = [...host.network.pairs].flat().filter((sock) =>
    !sock.isReleased && sock.state === "connected" &&
    (isForBoth || sock.domain === payload[nl.inet_diag_req_v2.sdiag_family])
  );
  if (isDump) {
    const shown = ends.filter((sock) => wantsMptcp && sock.isMptcpOnWire);
    return { error: 0, payloads: shown.map((sock) => diagMessage(sock, false)) };
  }
  const id = new DataView(payload.buffer, payload.byteOffset + nl.inet_diag_req_v2.id);
  const port = id.getUint16(nl.inet_diag_sockid.idiag_sport, false);
  const found = ends.find(({ local }) => local!.port === port);
  return found === undefined
    ? fail(ERRNO.ENOENT)
    : { error: 0, payloads: [diagMessage(found, true)] };
}

function diagMessage(sock: Sock, isSubflow: boolean): Uint8Array {
  const head = new Uint8Array(nl.inet_diag_msg.size);
  head[nl.inet_diag_msg.idiag_family] = sock.isIpv6 ? AF_INET6 : AF_INET;
  head[nl.inet_diag_msg.idiag_state] = nl.TCP_ESTABLISHED;
  const view = new DataView(head.buffer, nl.inet_diag_msg.id);
  view.setUint16(nl.inet_diag_sockid.idiag_sport, sock.local!.port, false);
  view.setUint16(nl.inet_diag_sockid.idiag_dport, sock.remote!.port, false);
  if (!isSubflow) return join([head, attribute([nl.INET_DIAG_INFO, mptcpInfo(sock)])]);
  const flags = sock.isMptcpSocket ? nl.MPTCP_SUBFLOW_FLAG_MCAP_LOC : 0;
  const mptcp = nested(nl.INET_ULP_INFO_MPTCP, [[nl.MPTCP_SUBFLOW_ATTR_FLAGS, u32(flags)]]);
  return join([head, attribute(nested(nl.INET_DIAG_ULP_INFO, [mptcp]))]);
}

function parse(bytes: Uint8Array): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 4 <= bytes.byteLength;) {
    const length = view.getUint16(at, true);
    attributes.set(view.getUint16(at + 2, true) & 0x3fff, bytes.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return attributes;
}

function intOf(value: Uint8Array | undefined): number {
  return [...(value ?? [])].reduce((sum, byte, i) => sum + byte * 256 ** i, 0);
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 255, value >> 8);
}

function be16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 255);
}

function u32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

function nested(type: number, attributes: readonly Attribute[]): Attribute {
  return [type | nl.NLA_F_NESTED, join(attributes.map(attribute))];
}

function attribute([type, value]: Attribute): Uint8Array {
  const bytes = new Uint8Array((4 + value.byteLength + 3) & ~3);
  bytes.set(u16(4 + value.byteLength));
  bytes.set(u16(type), 2);
  bytes.set(value, 4);
  return bytes;
}

function generic(command: number, attributes: readonly Attribute[]): Uint8Array {
  return join([Uint8Array.of(command, 1, 0, 0), ...attributes.map(attribute)]);
}

function message(type: number, flags: number, seq: number, payload: Uint8Array): Uint8Array {
  const length = nl.nlmsghdr.size + payload.byteLength;
  return join([u32(length), u16(type), u16(flags), u32(seq), u32(0), payload]);
}

function errorMessage(seq: number, error: number, header: Uint8Array, words: string): Uint8Array {
  const texts = words === "" ? [] : [attribute([nl.NLMSGERR_ATTR_MSG, text(words)])];
  const flags = nl.NLM_F_CAPPED | (words === "" ? 0 : nl.NLM_F_ACK_TLVS);
  const code = new Uint8Array(new Int32Array([error]).buffer);
  return message(nl.NLMSG_ERROR, flags, seq, join([code, header, ...texts]));
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}
