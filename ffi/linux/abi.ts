/**
 * The kernel's constants and struct layouts, as x86-64 and aarch64 Linux have them.
 *
 * Each name is the C name; the header is given per group, and "since" is the first kernel that
 * knows the value. System headers are never read at run time: a kernel may be newer than they are.
 * `tests/abi_test.ts` has a C compiler check every value, size and offset in this file.
 *
 * @module
 */

import process from "node:process";

// sys/socket.h, linux/in.h: domains, types, protocols
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const IPPROTO_TCP = 6;
/** linux/in.h, since 5.6. */
export const IPPROTO_MPTCP = 262;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;
export const MSG_PEEK = 2;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;

// asm-generic/socket.h
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_PRIORITY = 12;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const SO_PEERCRED = 17;
export const SO_RCVLOWAT = 18;
export const SO_BINDTODEVICE = 25;
export const SO_ACCEPTCONN = 30;
export const SO_RCVBUFFORCE = 33;
export const SO_MARK = 36;
export const SO_PROTOCOL = 38;
export const SO_DOMAIN = 39;
/** Since 5.1; read since 5.8. */
export const SO_BINDTOIFINDEX = 62;

// linux/in.h
export const SOL_IP = 0;
export const IP_TOS = 1;
export const IP_FREEBIND = 15;
export const IP_TRANSPARENT = 19;

// linux/in6.h
export const SOL_IPV6 = 41;
export const IPV6_V6ONLY = 26;
export const IPV6_TCLASS = 67;
export const IPV6_TRANSPARENT = 75;
export const IPV6_FREEBIND = 78;

// linux/tcp.h
export const SOL_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_MAXSEG = 2;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;
export const TCP_DEFER_ACCEPT = 9;
export const TCP_INFO = 11;
export const TCP_CONGESTION = 13;
export const TCP_FASTOPEN = 23;
export const TCP_NOTSENT_LOWAT = 25;
/** Since 4.11. */
export const TCP_FASTOPEN_CONNECT = 30;
/** Since 6.10. */
export const TCP_IS_MPTCP = 43;

/** Bits of `tcpi_options`. */
export const TCPI_OPT_TIMESTAMPS = 1;
export const TCPI_OPT_SACK = 2;
export const TCPI_OPT_WSCALE = 4;
export const TCPI_OPT_ECN = 8;
export const TCPI_OPT_ECN_SEEN = 16;
export const TCPI_OPT_SYN_DATA = 32;

// linux/mptcp.h
export const SOL_MPTCP = 284;
/** Since 5.16. */
export const MPTCP_INFO = 1;
/** Since 5.16. */
export const MPTCP_TCPINFO = 2;
/** Since 5.16. */
export const MPTCP_SUBFLOW_ADDRS = 3;
/** Since 6.5. */
export const MPTCP_FULL_INFO = 4;
export const MPTCP_INFO_FLAG_FALLBACK = 1;
export const MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED = 2;

// sys/epoll.h, sys/eventfd.h, poll.h, fcntl.h, sched.h
export const EPOLL_CLOEXEC = 0o2000000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLLRDHUP = 0x2000;
export const EPOLLONESHOT = 0x40000000;
/** Bit 31, as the signed number that bitwise operators give. */
export const EPOLLET: number = 1 << 31;
export const EFD_CLOEXEC = 0o2000000;
export const EFD_NONBLOCK = 0o4000;
export const POLLIN = 0x001;
export const O_RDONLY = 0;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const FD_CLOEXEC = 1;
export const F_DUPFD_CLOEXEC = 1030;
export const F_SETPIPE_SZ = 1031;
export const SPLICE_F_MOVE = 1;
export const SPLICE_F_NONBLOCK = 2;
export const CLONE_NEWNET = 0x40000000;

/** net/if.h: the longest name of an interface, with its NUL. */
export const IF_NAMESIZE = 16;

/** Where a field begins, in bytes, for each field of a C struct; `size` is the whole struct's. */
export type Layout = Readonly<Record<string, number>> & { readonly size: number };

/** linux/in.h. `sin_port` and `sin_addr` are big-endian. */
export const sockaddr_in = { size: 16, sin_family: 0, sin_port: 2, sin_addr: 4 } as const;

/** linux/in6.h. `sin6_scope_id` is in host order. */
export const sockaddr_in6 = {
  size: 28,
  sin6_family: 0,
  sin6_port: 2,
  sin6_flowinfo: 4,
  sin6_addr: 8,
  sin6_scope_id: 24,
} as const;

/** sys/un.h. */
export const sockaddr_un = { size: 110, sun_family: 0, sun_path: 2 } as const;

/** sys/socket.h, what `SO_PEERCRED` gives. */
export const ucred = { size: 12, pid: 0, uid: 4, gid: 8 } as const;

/** sys/socket.h: large enough for an address of any family. */
export const sockaddr_storage = { size: 128, ss_family: 0 } as const;

/** netdb.h; the pointers are 64-bit. glibc and musl agree. */
export const addrinfo = {
  size: 48,
  ai_flags: 0,
  ai_family: 4,
  ai_socktype: 8,
  ai_protocol: 12,
  ai_addrlen: 16,
  ai_addr: 24,
  ai_canonname: 32,
  ai_next: 40,
} as const;

/** sys/epoll.h: packed on x86-64 and nowhere else. `data` is 64 bits wide. */
export const epoll_event: { readonly size: number; readonly events: 0; readonly data: number } =
  process.arch === "x64" ? { size: 12, events: 0, data: 4 } : { size: 16, events: 0, data: 8 };

/** poll.h. */
export const pollfd = { size: 8, fd: 0, events: 4, revents: 6 } as const;

/** asm-generic/socket.h. */
export const linger = { size: 8, l_onoff: 0, l_linger: 4 } as const;

/**
 * linux/mptcp.h, the head of `struct mptcp_info`. The kernel copies what fits and says how much it
 * was; it may be shorter or longer than this.
 */
export const mptcp_info = {
  size: 96,
  mptcpi_subflows: 0,
  mptcpi_add_addr_signal: 1,
  mptcpi_add_addr_accepted: 2,
  mptcpi_subflows_max: 3,
  mptcpi_add_addr_signal_max: 4,
  mptcpi_add_addr_accepted_max: 5,
  mptcpi_flags: 8,
  mptcpi_token: 12,
  mptcpi_write_seq: 16,
  mptcpi_snd_una: 24,
  mptcpi_rcv_nxt: 32,
  mptcpi_local_addr_used: 40,
  mptcpi_local_addr_max: 41,
  mptcpi_csum_enabled: 42,
  mptcpi_retransmits: 44,
  mptcpi_bytes_retrans: 48,
  mptcpi_bytes_sent: 56,
  mptcpi_bytes_received: 64,
  mptcpi_bytes_acked: 72,
  mptcpi_subflows_total: 80,
  mptcpi_endp_laminar_max: 81,
  mptcpi_endp_fullmesh_max: 82,
  mptcpi_last_data_sent: 84,
  mptcpi_last_data_recv: 88,
  mptcpi_last_ack_recv: 92,
} as const;

/** linux/mptcp.h, since 5.16: the header before an array of per-subflow elements. */
export const mptcp_subflow_data = {
  size: 16,
  size_subflow_data: 0,
  num_subflows: 4,
  size_kernel: 8,
  size_user: 12,
} as const;

/** linux/mptcp.h, since 5.16: two `sockaddr_storage`. */
export const mptcp_subflow_addrs = { size: 256, ss_local: 0, ss_remote: 128 } as const;

/** linux/mptcp.h, since 6.5: an element of the first array of `mptcp_full_info`. */
export const mptcp_subflow_info = { size: 264, id: 0, addrs: 8 } as const;

/** linux/mptcp.h, since 6.5: two arrays by their addresses, and MPTCP_INFO at the same moment. */
export const mptcp_full_info = {
  size: 136,
  size_tcpinfo_kernel: 0,
  size_tcpinfo_user: 4,
  size_sfinfo_kernel: 8,
  size_sfinfo_user: 12,
  num_subflows: 16,
  size_arrays_user: 20,
  subflow_info: 24,
  tcp_info: 32,
  mptcp_info: 40,
} as const;

/** linux/tcp.h, `struct tcp_info` of 6.7. The bit-fields at 6 and 7 have no offsets in C. */
export const tcp_info = {
  size: 248,
  tcpi_state: 0,
  tcpi_ca_state: 1,
  tcpi_retransmits: 2,
  tcpi_probes: 3,
  tcpi_backoff: 4,
  tcpi_options: 5,
  tcpi_rto: 8,
  tcpi_ato: 12,
  tcpi_snd_mss: 16,
  tcpi_rcv_mss: 20,
  tcpi_unacked: 24,
  tcpi_sacked: 28,
  tcpi_lost: 32,
  tcpi_retrans: 36,
  tcpi_last_data_sent: 44,
  tcpi_last_data_recv: 52,
  tcpi_last_ack_recv: 56,
  tcpi_pmtu: 60,
  tcpi_rcv_ssthresh: 64,
  tcpi_rtt: 68,
  tcpi_rttvar: 72,
  tcpi_snd_ssthresh: 76,
  tcpi_snd_cwnd: 80,
  tcpi_advmss: 84,
  tcpi_reordering: 88,
  tcpi_rcv_rtt: 92,
  tcpi_rcv_space: 96,
  tcpi_total_retrans: 100,
  tcpi_pacing_rate: 104,
  tcpi_max_pacing_rate: 112,
  tcpi_bytes_acked: 120,
  tcpi_bytes_received: 128,
  tcpi_segs_out: 136,
  tcpi_segs_in: 140,
  tcpi_notsent_bytes: 144,
  tcpi_min_rtt: 148,
  tcpi_data_segs_in: 152,
  tcpi_data_segs_out: 156,
  tcpi_delivery_rate: 160,
  tcpi_busy_time: 168,
  tcpi_rwnd_limited: 176,
  tcpi_sndbuf_limited: 184,
  tcpi_delivered: 192,
  tcpi_delivered_ce: 196,
  tcpi_bytes_sent: 200,
  tcpi_bytes_retrans: 208,
  tcpi_dsack_dups: 216,
  tcpi_reord_seen: 220,
  tcpi_rcv_ooopack: 224,
  tcpi_snd_wnd: 228,
  tcpi_rcv_wnd: 232,
  tcpi_rehash: 236,
  tcpi_total_rto: 240,
  tcpi_total_rto_recoveries: 242,
  tcpi_total_rto_time: 244,
} as const;
