/**
 * The kernel's constants and layouts for netlink: messages, generic netlink, the MPTCP path manager,
 * socket diagnosis, addresses. As in `abi.ts` each name is the C name, the header is given per
 * group, and "since" is the first kernel that knows the value; `tests/abi_test.ts` has a C compiler
 * check all of it.
 *
 * @module
 */

// sys/socket.h, linux/netlink.h
export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;
export const NETLINK_GENERIC = 16;
export const SOL_NETLINK = 270;
export const NETLINK_ADD_MEMBERSHIP = 1;
/** Since 4.3: an error need not repeat the request. */
export const NETLINK_CAP_ACK = 10;
/** Since 4.12: an error comes with a text. */
export const NETLINK_EXT_ACK = 11;

export const sockaddr_nl = { size: 12, nl_family: 0, nl_pid: 4, nl_groups: 8 } as const;
export const nlmsghdr = {
  size: 16,
  nlmsg_len: 0,
  nlmsg_type: 4,
  nlmsg_flags: 6,
  nlmsg_seq: 8,
  nlmsg_pid: 12,
} as const;
export const nlattr = { size: 4, nla_len: 0, nla_type: 2 } as const;
/** Bits of `nla_type` that are not the type. */
export const NLA_F_NESTED = 0x8000;
export const NLA_F_NET_BYTEORDER = 0x4000;

export const NLM_F_REQUEST = 0x001;
export const NLM_F_ACK = 0x004;
/** Of a request that makes something: it must not be there yet; make it. */
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
/** The dump is not of one moment: what it lists changed meanwhile. */
export const NLM_F_DUMP_INTR = 0x010;
export const NLM_F_DUMP = 0x300;
/** On an error: the request is not repeated in it. Since 4.3. */
export const NLM_F_CAPPED = 0x100;
/** On an error: attributes follow. Since 4.12. */
export const NLM_F_ACK_TLVS = 0x200;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSGERR_ATTR_MSG = 1;

// linux/genetlink.h
export const genlmsghdr = { size: 4, cmd: 0, version: 1 } as const;
export const GENL_ID_CTRL = 0x10;
export const CTRL_CMD_GETFAMILY = 3;
export const CTRL_ATTR_FAMILY_ID = 1;
export const CTRL_ATTR_FAMILY_NAME = 2;
export const CTRL_ATTR_MCAST_GROUPS = 7;
export const CTRL_ATTR_MCAST_GRP_NAME = 1;
export const CTRL_ATTR_MCAST_GRP_ID = 2;

// linux/mptcp.h, linux/mptcp_pm.h (since 6.6 a file of its own)
export const MPTCP_PM_VER = 1;

/** Since 5.7. */
export const MPTCP_PM_CMD_ADD_ADDR = 1;
export const MPTCP_PM_CMD_DEL_ADDR = 2;
export const MPTCP_PM_CMD_GET_ADDR = 3;
export const MPTCP_PM_CMD_FLUSH_ADDRS = 4;
export const MPTCP_PM_CMD_SET_LIMITS = 5;
export const MPTCP_PM_CMD_GET_LIMITS = 6;
/** Since 5.12. */
export const MPTCP_PM_CMD_SET_FLAGS = 7;
/** Since 5.19. */
export const MPTCP_PM_CMD_ANNOUNCE = 8;
export const MPTCP_PM_CMD_REMOVE = 9;
export const MPTCP_PM_CMD_SUBFLOW_CREATE = 10;
export const MPTCP_PM_CMD_SUBFLOW_DESTROY = 11;

export const MPTCP_PM_ATTR_ADDR = 1;
export const MPTCP_PM_ATTR_RCV_ADD_ADDRS = 2;
export const MPTCP_PM_ATTR_SUBFLOWS = 3;
export const MPTCP_PM_ATTR_TOKEN = 4;
export const MPTCP_PM_ATTR_LOC_ID = 5;
export const MPTCP_PM_ATTR_ADDR_REMOTE = 6;

export const MPTCP_PM_ADDR_ATTR_FAMILY = 1;
export const MPTCP_PM_ADDR_ATTR_ID = 2;
export const MPTCP_PM_ADDR_ATTR_ADDR4 = 3;
export const MPTCP_PM_ADDR_ATTR_ADDR6 = 4;
/** In host order, whatever older descriptions of the protocol say. */
export const MPTCP_PM_ADDR_ATTR_PORT = 5;
export const MPTCP_PM_ADDR_ATTR_FLAGS = 6;
export const MPTCP_PM_ADDR_ATTR_IF_IDX = 7;

export const MPTCP_PM_ADDR_FLAG_SIGNAL = 1;
export const MPTCP_PM_ADDR_FLAG_SUBFLOW = 2;
export const MPTCP_PM_ADDR_FLAG_BACKUP = 4;
/** Since 5.15. */
export const MPTCP_PM_ADDR_FLAG_FULLMESH = 8;
/** Since 5.18. */
export const MPTCP_PM_ADDR_FLAG_IMPLICIT = 16;
/** Since 6.18. */
export const MPTCP_PM_ADDR_FLAG_LAMINAR = 32;

// enum mptcp_event_type, since 5.12
export const MPTCP_EVENT_CREATED = 1;
export const MPTCP_EVENT_ESTABLISHED = 2;
export const MPTCP_EVENT_CLOSED = 3;
export const MPTCP_EVENT_ANNOUNCED = 6;
export const MPTCP_EVENT_REMOVED = 7;
export const MPTCP_EVENT_SUB_ESTABLISHED = 10;
export const MPTCP_EVENT_SUB_CLOSED = 11;
export const MPTCP_EVENT_SUB_PRIORITY = 13;
/** Since 6.2. */
export const MPTCP_EVENT_LISTENER_CREATED = 15;
/** Since 6.2. */
export const MPTCP_EVENT_LISTENER_CLOSED = 16;

// enum mptcp_event_attr. Ports are in network order here.
export const MPTCP_ATTR_TOKEN = 1;
export const MPTCP_ATTR_LOC_ID = 3;
export const MPTCP_ATTR_REM_ID = 4;
export const MPTCP_ATTR_SADDR4 = 5;
export const MPTCP_ATTR_SADDR6 = 6;
export const MPTCP_ATTR_DADDR4 = 7;
export const MPTCP_ATTR_DADDR6 = 8;
export const MPTCP_ATTR_SPORT = 9;
export const MPTCP_ATTR_DPORT = 10;
export const MPTCP_ATTR_BACKUP = 11;
export const MPTCP_ATTR_ERROR = 12;
/** Since 6.18. */
export const MPTCP_ATTR_FLAGS = 13;
export const MPTCP_ATTR_IF_IDX = 15;
export const MPTCP_ATTR_RESET_REASON = 16;
export const MPTCP_ATTR_SERVER_SIDE = 18;
/** Bits of `MPTCP_ATTR_FLAGS`, since 6.18. */
export const MPTCP_PM_EV_FLAG_DENY_JOIN_ID0 = 1;
export const MPTCP_PM_EV_FLAG_SERVER_SIDE = 2;

// linux/sock_diag.h, linux/inet_diag.h
export const SOCK_DIAG_BY_FAMILY = 20;
/**
 * The older question, about both families at once. It asks for TCP, but since 5.9 takes
 * INET_DIAG_REQ_PROTOCOL.
 */
export const TCPDIAG_GETSOCK = 18;
export const inet_diag_req = { size: 60, idiag_ext: 3, id: 4, idiag_states: 52 } as const;
/** Since 4.5, with CONFIG_INET_DIAG_DESTROY. Needs CAP_NET_ADMIN. */
export const SOCK_DESTROY = 21;
export const inet_diag_sockid = {
  size: 48,
  idiag_sport: 0,
  idiag_dport: 2,
  idiag_src: 4,
  idiag_dst: 20,
  idiag_if: 36,
  idiag_cookie: 40,
} as const;
export const inet_diag_req_v2 = {
  size: 56,
  sdiag_family: 0,
  sdiag_protocol: 1,
  idiag_ext: 2,
  idiag_states: 4,
  id: 8,
} as const;
export const inet_diag_msg = { size: 72, idiag_family: 0, idiag_state: 1, id: 4 } as const;
export const INET_DIAG_NOCOOKIE = 0xffffffff;
export const INET_DIAG_INFO = 2;
/** Since 5.4; without CAP_NET_ADMIN since 6.15. */
export const INET_DIAG_ULP_INFO = 19;
/** Of a request: a protocol that does not fit into `sdiag_protocol`. Since 5.9. */
export const INET_DIAG_REQ_PROTOCOL = 3;
export const INET_ULP_INFO_MPTCP = 3;
export const MPTCP_SUBFLOW_ATTR_TOKEN_LOC = 2;
export const MPTCP_SUBFLOW_ATTR_FLAGS = 8;
/** The connection began with it: the SYN of the peer, or of this end, requested MPTCP. */
export const MPTCP_SUBFLOW_FLAG_MCAP_REM = 1;
export const MPTCP_SUBFLOW_FLAG_MCAP_LOC = 2;
/** The peer, or this end, wants it used only while no other works. */
export const MPTCP_SUBFLOW_FLAG_BKUP_REM = 16;
export const MPTCP_SUBFLOW_FLAG_BKUP_LOC = 32;

// net/tcp_states.h
export const TCP_ESTABLISHED = 1;
export const TCP_FIN_WAIT1 = 4;
export const TCP_FIN_WAIT2 = 5;
export const TCP_CLOSE_WAIT = 8;

// linux/rtnetlink.h, linux/if_addr.h
export const RTM_NEWADDR = 20;
export const RTM_GETADDR = 22;
export const ifaddrmsg = {
  size: 8,
  ifa_family: 0,
  ifa_prefixlen: 1,
  ifa_flags: 2,
  ifa_scope: 3,
  ifa_index: 4,
} as const;
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const RT_SCOPE_UNIVERSE = 0;
