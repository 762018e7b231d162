/*
 * The system headers that ffi/abi*.ts and ffi/errno.ts transcribe, and what they may lack.
 *
 * Debian 12 has the headers of Linux 6.1. Constants that came later are declared here as the kernel
 * declares them, unless the headers have them:
 *
 *   MPTCP_EVENT_LISTENER_CREATED, MPTCP_EVENT_LISTENER_CLOSED  since 6.2
 *   MPTCP_FULL_INFO                                            since 6.5
 *   TCP_IS_MPTCP                                               since 6.10
 *   MPTCP_PM_ADDR_FLAG_LAMINAR, MPTCP_PM_EV_FLAG_SERVER_SIDE   since 6.18
 *   MPTCP_PM_EV_FLAG_DENY_JOIN_ID0                             since 6.18, and late 6.1
 *
 * Structs that grow, or contain one that does, are declared here in any case, with C's natural types,
 * so that the compiler lays them out:
 *
 *   struct tcp_info            rcv_wnd since 6.2, total_rto* since 6.7
 *   struct mptcp_info          retransmits and bytes_* since 6.5, subflows_total since 6.8,
 *                              last_* since 6.10, endp_laminar_max and endp_fullmesh_max since 6.18
 *   struct mptcp_subflow_info  since 6.5
 *   struct mptcp_full_info     since 6.5
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define tcp_info tcp_info_of_libc
#include <netinet/tcp.h>
#undef tcp_info

#include <linux/fib_rules.h>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/version.h>

#define mptcp_info mptcp_info_of_headers
#define mptcp_subflow_info mptcp_subflow_info_of_headers
#define mptcp_full_info mptcp_full_info_of_headers
#include <linux/mptcp.h>
#undef mptcp_info
#undef mptcp_subflow_info
#undef mptcp_full_info

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
enum { MPTCP_EVENT_LISTENER_CREATED = 15, MPTCP_EVENT_LISTENER_CLOSED = 16 };
#endif

#ifndef MPTCP_FULL_INFO
#define MPTCP_FULL_INFO 4
#endif

#ifndef TCP_IS_MPTCP
#define TCP_IS_MPTCP 43
#endif

#ifndef MPTCP_PM_ADDR_FLAG_LAMINAR
#define MPTCP_PM_ADDR_FLAG_LAMINAR (1 << 5)
#endif

#ifndef MPTCP_PM_EV_FLAG_DENY_JOIN_ID0
#define MPTCP_PM_EV_FLAG_DENY_JOIN_ID0 (1 << 0)
#endif

#ifndef MPTCP_PM_EV_FLAG_SERVER_SIDE
#define MPTCP_PM_EV_FLAG_SERVER_SIDE (1 << 1)
#endif

struct tcp_info {
  uint8_t tcpi_state;
  uint8_t tcpi_ca_state;
  uint8_t tcpi_retransmits;
  uint8_t tcpi_probes;
  uint8_t tcpi_backoff;
  uint8_t tcpi_options;
  uint8_t tcpi_snd_wscale : 4, tcpi_rcv_wscale : 4;
  uint8_t tcpi_delivery_rate_app_limited : 1, tcpi_fastopen_client_fail : 2;
  uint32_t tcpi_rto, tcpi_ato, tcpi_snd_mss, tcpi_rcv_mss;
  uint32_t tcpi_unacked, tcpi_sacked, tcpi_lost, tcpi_retrans, tcpi_fackets;
  uint32_t tcpi_last_data_sent, tcpi_last_ack_sent, tcpi_last_data_recv, tcpi_last_ack_recv;
  uint32_t tcpi_pmtu, tcpi_rcv_ssthresh, tcpi_rtt, tcpi_rttvar;
  uint32_t tcpi_snd_ssthresh, tcpi_snd_cwnd, tcpi_advmss, tcpi_reordering;
  uint32_t tcpi_rcv_rtt, tcpi_rcv_space, tcpi_total_retrans;
  uint64_t tcpi_pacing_rate, tcpi_max_pacing_rate, tcpi_bytes_acked, tcpi_bytes_received;
  uint32_t tcpi_segs_out, tcpi_segs_in, tcpi_notsent_bytes, tcpi_min_rtt;
  uint32_t tcpi_data_segs_in, tcpi_data_segs_out;
  uint64_t tcpi_delivery_rate, tcpi_busy_time, tcpi_rwnd_limited, tcpi_sndbuf_limited;
  uint32_t tcpi_delivered, tcpi_delivered_ce;
  uint64_t tcpi_bytes_sent, tcpi_bytes_retrans;
  uint32_t tcpi_dsack_dups, tcpi_reord_seen, tcpi_rcv_ooopack, tcpi_snd_wnd;
  uint32_t tcpi_rcv_wnd, tcpi_rehash;
  uint16_t tcpi_total_rto, tcpi_total_rto_recoveries;
  uint32_t tcpi_total_rto_time;
};

struct mptcp_info {
  uint8_t mptcpi_subflows;
  uint8_t mptcpi_add_addr_signal;
  uint8_t mptcpi_add_addr_accepted;
  uint8_t mptcpi_subflows_max;
  uint8_t mptcpi_add_addr_signal_max;
  uint8_t mptcpi_add_addr_accepted_max;
  uint32_t mptcpi_flags;
  uint32_t mptcpi_token;
  uint64_t mptcpi_write_seq, mptcpi_snd_una, mptcpi_rcv_nxt;
  uint8_t mptcpi_local_addr_used;
  uint8_t mptcpi_local_addr_max;
  uint8_t mptcpi_csum_enabled;
  uint32_t mptcpi_retransmits;
  uint64_t mptcpi_bytes_retrans, mptcpi_bytes_sent, mptcpi_bytes_received, mptcpi_bytes_acked;
  uint8_t mptcpi_subflows_total;
  uint8_t mptcpi_endp_laminar_max;
  uint8_t mptcpi_endp_fullmesh_max;
  uint8_t reserved;
  uint32_t mptcpi_last_data_sent, mptcpi_last_data_recv, mptcpi_last_ack_recv;
};

struct mptcp_subflow_info {
  uint32_t id;
  struct mptcp_subflow_addrs addrs;
};

struct mptcp_full_info {
  uint32_t size_tcpinfo_kernel, size_tcpinfo_user;
  uint32_t size_sfinfo_kernel, size_sfinfo_user;
  uint32_t num_subflows, size_arrays_user;
  uint64_t subflow_info, tcp_info;
  struct mptcp_info mptcp_info;
};

/* struct epoll_event as every machine but x86-64 has it: not packed. */
struct epoll_event_of_aarch64 {
  uint32_t events;
  uint64_t data;
};
