/**
 * The links, addresses and routes of a network namespace, by rtnetlink. Reading needs no privilege.
 *
 * @module
 */

import { AF_INET6 } from "../../ffi/linux/abi.ts";
import {
  IFA_ADDRESS,
  IFA_LOCAL,
  ifaddrmsg,
  RT_SCOPE_UNIVERSE,
  RTM_GETADDR,
  RTM_NEWADDR,
} from "../../ffi/linux/abi_netlink.ts";
import {
  IFA_F_DADFAILED,
  IFA_F_DEPRECATED,
  IFA_F_SECONDARY,
  IFA_F_TENTATIVE,
  IFA_FLAGS,
  IFF_LOOPBACK,
  IFF_LOWER_UP,
  IFF_UP,
  ifinfomsg,
  IFLA_IFNAME,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  RTA_DST,
  RTA_GATEWAY,
  RTA_MULTIPATH,
  RTA_OIF,
  RTA_PRIORITY,
  RTA_TABLE,
  RTA_VIA,
  RTM_GETLINK,
  RTM_GETROUTE,
  RTM_NEWLINK,
  RTM_NEWROUTE,
  rtmsg,
  RTN_UNICAST,
  rtnexthop,
  RTNH_F_DEAD,
  RTNH_F_LINKDOWN,
} from "../../ffi/linux/abi_route.ts";
import { formatIp } from "../../ffi/linux/sockaddr.ts";
import { check } from "../error.ts";
import { align, Attributes } from "../netlink/attributes.ts";
import type { Message } from "../netlink/message.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";

/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** The kind of a virtual interface, as "veth" or "wireguard"; undefined for hardware. */
  readonly kind: string | undefined;
  /** Switched on, and with a carrier. */
  readonly up: boolean;
  readonly loopback: boolean;
}

/** An address of an interface. */
export interface LinkAddress {
  /** The index of the interface. */
  readonly link: number;
  readonly family: 4 | 6;
  readonly address: string;
  /** The length of the prefix that is on the link. */
  readonly prefix: number;
  /** False for loopback and link-local addresses. */
  readonly global: boolean;
  /** False while duplicates are looked for, when one was found, and once the address is deprecated. */
  readonly usable: boolean;
  /** Of IPv4, not the first of its network; of IPv6, a temporary one. */
  readonly secondary: boolean;
}

/** A unicast route that works now, out by one interface. */
export interface Route {
  /** The index of the interface. */
  readonly link: number;
  readonly family: 4 | 6;
  /** The network that it leads to; `null` for the default route. */
  readonly destination: string | null;
  /** The length of the network's prefix; 0 for the default route. */
  readonly prefix: number;
  readonly gateway: string | undefined;
  /** Of two routes the lower counts. */
  readonly metric: number;
  readonly table: number;
}

/** What a network namespace has. */
export interface Network {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
}

/** Reads all, through a socket of NETLINK_ROUTE. */
export function readNetwork(socket: NetlinkSocket): Network {
  return {
    links: list(socket, RTM_GETLINK, ifinfomsg.size, "links")
      .filter(({ type }) => type === RTM_NEWLINK).flatMap(decodeLink),
    addresses: list(socket, RTM_GETADDR, ifaddrmsg.size, "addresses")
      .filter(({ type }) => type === RTM_NEWADDR).flatMap(decodeAddress),
    routes: list(socket, RTM_GETROUTE, rtmsg.size, "routes")
      .filter(({ type }) => type === RTM_NEWROUTE).flatMap(decodeRoute),
  };
}

function list(socket: NetlinkSocket, type: number, size: number, what: string): readonly Message[] {
  const { result, messages } = socket.dump(type, new Uint8Array(size));
  check("send", result, { operation: `list the ${what} of this host` });
  return messages;
}

function decodeLink({ payload }: Message): Link[] {
  if (payload.byteLength < ifinfomsg.size) return [];
  const view = viewOf(payload);
  const attributes = new Attributes(payload.subarray(ifinfomsg.size));
  const index = view.getInt32(ifinfomsg.ifi_index, true);
  const flags = view.getUint32(ifinfomsg.ifi_flags, true);
  return [{
    index,
    name: attributes.string(IFLA_IFNAME) ?? String(index),
    kind: attributes.nested(IFLA_LINKINFO).string(IFLA_INFO_KIND),
    up: (flags & IFF_UP) !== 0 && (flags & IFF_LOWER_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
  }];
}

const UNUSABLE = IFA_F_DADFAILED | IFA_F_TENTATIVE | IFA_F_DEPRECATED;

function decodeAddress({ payload }: Message): LinkAddress[] {
  if (payload.byteLength < ifaddrmsg.size) return [];
  const attributes = new Attributes(payload.subarray(ifaddrmsg.size));
  const family = familyOf(payload[ifaddrmsg.ifa_family]!);
  const length = family === 6 ? 16 : 4;
  // Of a point-to-point link, IFA_ADDRESS is the other end.
  const bytes = attributes.bytes(IFA_LOCAL, length) ?? attributes.bytes(IFA_ADDRESS, length);
  if (bytes === undefined) return [];
  const flags = attributes.u32(IFA_FLAGS) ?? payload[ifaddrmsg.ifa_flags]!;
  return [{
    link: viewOf(payload).getUint32(ifaddrmsg.ifa_index, true),
    family,
    address: formatIp(bytes),
    prefix: payload[ifaddrmsg.ifa_prefixlen]!,
    global: payload[ifaddrmsg.ifa_scope] === RT_SCOPE_UNIVERSE,
    usable: (flags & UNUSABLE) === 0,
    secondary: (flags & IFA_F_SECONDARY) !== 0,
  }];
}

const NOT_WORKING = RTNH_F_DEAD | RTNH_F_LINKDOWN;

function decodeRoute({ payload }: Message): Route[] {
  if (payload.byteLength < rtmsg.size || payload[rtmsg.rtm_type] !== RTN_UNICAST) return [];
  const attributes = new Attributes(payload.subarray(rtmsg.size));
  const family = familyOf(payload[rtmsg.rtm_family]!);
  const bytes = attributes.bytes(RTA_DST, family === 6 ? 16 : 4);
  const common = {
    family,
    destination: bytes === undefined ? null : formatIp(bytes),
    prefix: payload[rtmsg.rtm_dst_len]!,
    metric: attributes.u32(RTA_PRIORITY) ?? 0,
    table: attributes.u32(RTA_TABLE) ?? payload[rtmsg.rtm_table]!,
  };
  const hops = attributes.bytes(RTA_MULTIPATH);
  if (hops !== undefined) return nextHops(hops).map((hop) => ({ ...common, ...hop }));
  const link = attributes.u32(RTA_OIF);
  const flags = viewOf(payload).getUint32(rtmsg.rtm_flags, true);
  if (link === undefined || (flags & NOT_WORKING) !== 0) return [];
  return [{ ...common, link, gateway: gatewayOf(attributes) }];
}

/** The next hops of a route that has several. */
function nextHops(bytes: Uint8Array): Pick<Route, "link" | "gateway">[] {
  const view = viewOf(bytes);
  const hops = [];
  for (let at = 0; at + rtnexthop.size <= bytes.byteLength;) {
    const length = view.getUint16(at + rtnexthop.rtnh_len, true);
    if (length < rtnexthop.size || at + length > bytes.byteLength) break;
    if ((bytes[at + rtnexthop.rtnh_flags]! & NOT_WORKING) === 0) {
      const attributes = new Attributes(bytes.subarray(at + rtnexthop.size, at + length));
      const link = view.getInt32(at + rtnexthop.rtnh_ifindex, true);
      hops.push({ link, gateway: gatewayOf(attributes) });
    }
    at += align(length);
  }
  return hops;
}

function gatewayOf(attributes: Attributes): string | undefined {
  // RTA_VIA has the family before the address.
  const bytes = attributes.bytes(RTA_GATEWAY) ?? attributes.bytes(RTA_VIA)?.subarray(2);
  return bytes?.byteLength === 4 || bytes?.byteLength === 16 ? formatIp(bytes) : undefined;
}

function familyOf(family: number): 4 | 6 {
  return family === AF_INET6 ? 6 : 4;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
