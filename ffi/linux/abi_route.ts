/**
 * The kernel's constants and layouts for rtnetlink: links, addresses, routes and rules. As in `abi.ts`
 * each name is the C name; `tests/abi_test.ts` has a C compiler check all of it.
 *
 * @module
 */

// linux/rtnetlink.h
export const RTM_NEWLINK = 16;
export const RTM_GETLINK = 18;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;

/** Multicast groups: what changes is told to those who joined. */
export const RTNLGRP_LINK = 1;
export const RTNLGRP_IPV4_IFADDR = 5;
export const RTNLGRP_IPV4_ROUTE = 7;
export const RTNLGRP_IPV6_IFADDR = 9;
export const RTNLGRP_IPV6_ROUTE = 11;

export const ifinfomsg = {
  size: 16,
  ifi_family: 0,
  ifi_type: 2,
  ifi_index: 4,
  ifi_flags: 8,
} as const;
export const rtmsg = {
  size: 12,
  rtm_family: 0,
  rtm_dst_len: 1,
  rtm_src_len: 2,
  rtm_table: 4,
  rtm_protocol: 5,
  rtm_scope: 6,
  rtm_type: 7,
  rtm_flags: 8,
} as const;
export const rtnexthop = {
  size: 8,
  rtnh_len: 0,
  rtnh_flags: 2,
  rtnh_ifindex: 4,
} as const;

export const RTA_DST = 1;
export const RTA_SRC = 2;
export const RTA_OIF = 4;
export const RTA_GATEWAY = 5;
export const RTA_PRIORITY = 6;
export const RTA_MULTIPATH = 9;
export const RTA_TABLE = 15;
export const RTA_VIA = 18;
export const RTN_UNICAST = 1;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
export const RTPROT_STATIC = 4;
export const RTNH_F_DEAD = 1;
export const RTNH_F_LINKDOWN = 16;

// linux/if_link.h
export const IFLA_IFNAME = 3;
export const IFLA_LINKINFO = 18;
export const IFLA_INFO_KIND = 1;

// linux/if.h
export const IFF_UP = 0x1;
export const IFF_LOOPBACK = 0x8;
export const IFF_LOWER_UP = 0x10000;

// linux/if_addr.h
export const IFA_FLAGS = 8;
/** Of IPv4; the same bit says "temporary" of IPv6. */
export const IFA_F_SECONDARY = 0x01;
export const IFA_F_DADFAILED = 0x08;
export const IFA_F_DEPRECATED = 0x20;
export const IFA_F_TENTATIVE = 0x40;

// linux/fib_rules.h
export const fib_rule_hdr = {
  size: 12,
  family: 0,
  dst_len: 1,
  src_len: 2,
  table: 4,
  action: 7,
} as const;
export const FRA_SRC = 2;
export const FRA_PRIORITY = 6;
export const FRA_TABLE = 15;
export const FR_ACT_TO_TBL = 1;
