/**
 * The addresses of a host, by rtnetlink.
 *
 * @module
 */

import { AF_INET6 } from "../../ffi/linux/abi.ts";
import {
  IFA_ADDRESS,
  IFA_LOCAL,
  ifaddrmsg,
  NETLINK_ROUTE,
  RT_SCOPE_UNIVERSE,
  RTM_GETADDR,
  RTM_NEWADDR,
} from "../../ffi/linux/abi_netlink.ts";
import { libc } from "../../ffi/runtime.ts";
import { formatIp } from "../../ffi/linux/sockaddr.ts";
import { inNetns } from "../poll/socket.ts";
import { check } from "../error.ts";
import type { HostAddress } from "./types.ts";
import { Attributes } from "../netlink/attributes.ts";
import type { Message } from "../netlink/message.ts";
import { NetlinkSocket } from "../netlink/socket.ts";

/** All addresses in a network namespace. */
export function hostAddresses(netns?: string): HostAddress[] {
  using socket = new NetlinkSocket(NETLINK_ROUTE, netns);
  const { result, messages } = socket.dump(RTM_GETADDR, new Uint8Array(ifaddrmsg.size));
  check("send", result, { operation: "list the addresses of this host" });
  const news = messages.filter(({ type }) => type === RTM_NEWADDR);
  return inNetns(netns, () => news.flatMap(decodeAddress));
}

/** To be called in the namespace, which knows the names of its interfaces. */
function decodeAddress({ payload }: Message): HostAddress[] {
  if (payload.byteLength < ifaddrmsg.size) return [];
  const attributes = new Attributes(payload.subarray(ifaddrmsg.size));
  const v6 = payload[ifaddrmsg.ifa_family] === AF_INET6;
  const length = v6 ? 16 : 4;
  // Of a point-to-point link, IFA_ADDRESS is the other end.
  const bytes = attributes.bytes(IFA_LOCAL, length) ?? attributes.bytes(IFA_ADDRESS, length);
  if (bytes === undefined) return [];
  const index = new DataView(payload.buffer, payload.byteOffset)
    .getUint32(ifaddrmsg.ifa_index, true);
  return [{
    address: formatIp(bytes),
    family: v6 ? 6 : 4,
    device: libc().if_indextoname(index) ?? String(index),
    global: payload[ifaddrmsg.ifa_scope] === RT_SCOPE_UNIVERSE,
  }];
}
