/**
 * The public types of what the kernel reports on a connection: the fields of its structs under their
 * kernel names without the prefix. A field that the running kernel did not return is `undefined`;
 * "since" is the first kernel that has it.
 *
 * All of it is plain data: it survives `JSON.stringify`, `structuredClone` and spreading. Counters of
 * 64 bits are numbers, exact up to 2^53.
 *
 * @module
 */

/** `struct mptcp_info`, since 5.9; asked of a socket since 5.16. */
export interface MptcpInfo {
  /** Subflows in addition to the initial one: 0 for a connection with one path. Since 5.9. */
  readonly subflows?: number | undefined;
  /** Addresses that this end announced. Since 5.9. */
  readonly addAddrSignal?: number | undefined;
  /** Announced addresses that this end accepted. Since 5.9. */
  readonly addAddrAccepted?: number | undefined;
  /** The limit of `subflows`. Since 5.9. */
  readonly subflowsMax?: number | undefined;
  /** The limit of `addAddrSignal`. Since 5.9. */
  readonly addAddrSignalMax?: number | undefined;
  /** The limit of `addAddrAccepted`. Since 5.9. */
  readonly addAddrAcceptedMax?: number | undefined;
  /** The state of the connection. Since 5.9. */
  readonly flags?: MptcpInfoFlags | undefined;
  /** Names the connection at this end, in path-manager commands and events. Since 5.9. */
  readonly token?: number | undefined;
  /** The next data sequence number to write: 64 bits, as hex text ("0x1f..."). Since 5.9. */
  readonly writeSeq?: string | undefined;
  /** The first data sequence number that the peer has not acknowledged, as hex text. Since 5.9. */
  readonly sndUna?: string | undefined;
  /** The next data sequence number that is expected, as hex text. Since 5.9. */
  readonly rcvNxt?: string | undefined;
  /** Local addresses in use in addition to the initial one. Since 5.12. */
  readonly localAddrUsed?: number | undefined;
  /** The limit of `localAddrUsed`. Since 5.12. */
  readonly localAddrMax?: number | undefined;
  /** Whether data carries MPTCP checksums. Since 5.14. */
  readonly csumEnabled?: boolean | undefined;
  /** Retransmissions at the MPTCP level. Since 6.5. */
  readonly retransmits?: number | undefined;
  /** Bytes retransmitted at the MPTCP level. Since 6.5. */
  readonly bytesRetrans?: number | undefined;
  /** Bytes sent over all subflows, closed ones too. Since 6.5. */
  readonly bytesSent?: number | undefined;
  /** Bytes received over all subflows, closed ones too. Since 6.5. */
  readonly bytesReceived?: number | undefined;
  /** Bytes that the peer has acknowledged. Since 6.5. */
  readonly bytesAcked?: number | undefined;
  /** Subflows, including the initial one; 0 if all paths are lost. Since 6.8. */
  readonly subflowsTotal?: number | undefined;
  /** Endpoints with the flag laminar. Since 6.18; 0 on kernels from 6.8 to 6.17. */
  readonly endpLaminarMax?: number | undefined;
  /** Endpoints with the flag fullmesh. Since 6.18; 0 on kernels from 6.8 to 6.17. */
  readonly endpFullmeshMax?: number | undefined;
  /** Milliseconds since data was last sent. Since 6.10. */
  readonly lastDataSent?: number | undefined;
  /** Milliseconds since data was last received. Since 6.10. */
  readonly lastDataRecv?: number | undefined;
  /** Milliseconds since an acknowledgement was last received. Since 6.10. */
  readonly lastAckRecv?: number | undefined;
}

/** The bits of `mptcpi_flags`. */
export interface MptcpInfoFlags {
  /** `MPTCP_INFO_FLAG_FALLBACK`: the connection has fallen back to TCP. */
  readonly fallback: boolean;
  /** `MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED`: the handshake is complete. */
  readonly remoteKeyReceived: boolean;
}

/** `tcpi_state`: the states of TCP, by their kernel names. */
export type TcpState =
  | "ESTABLISHED"
  | "SYN_SENT"
  | "SYN_RECV"
  | "FIN_WAIT1"
  | "FIN_WAIT2"
  | "TIME_WAIT"
  | "CLOSE"
  | "CLOSE_WAIT"
  | "LAST_ACK"
  | "LISTEN"
  | "CLOSING"
  | "NEW_SYN_RECV";

/** `tcpi_ca_state`: the state of congestion control, by its kernel name. */
export type TcpCaState = "Open" | "Disorder" | "CWR" | "Recovery" | "Loss";

/** The bits of `tcpi_options`. */
export interface TcpOptions {
  /** `TCPI_OPT_TIMESTAMPS` */
  readonly timestamps: boolean;
  /** `TCPI_OPT_SACK`: selective acknowledgements. */
  readonly sack: boolean;
  /** `TCPI_OPT_WSCALE`: window scaling. */
  readonly wscale: boolean;
  /** `TCPI_OPT_ECN`: explicit congestion notification. */
  readonly ecn: boolean;
  /** `TCPI_OPT_ECN_SEEN`: a packet with an ECN codepoint was received. */
  readonly ecnSeen: boolean;
  /** `TCPI_OPT_SYN_DATA`: data of the SYN was acknowledged (TCP Fast Open). */
  readonly synData: boolean;
}

/** `struct tcp_info` of one TCP connection or one subflow. */
export interface TcpInfo {
  /** The state of the connection, such as "ESTABLISHED". */
  readonly state?: TcpState | undefined;
  /** The state of congestion control, such as "Open". */
  readonly caState?: TcpCaState | undefined;
  /** Retransmissions of the oldest unacknowledged segment so far. */
  readonly retransmits?: number | undefined;
  /** Unanswered window or keep-alive probes so far. */
  readonly probes?: number | undefined;
  /** How often the retransmission timer was doubled. */
  readonly backoff?: number | undefined;
  /** The negotiated TCP options. */
  readonly options?: TcpOptions | undefined;
  /** Window scale of the peer, a power of two. */
  readonly sndWscale?: number | undefined;
  /** Window scale of this end, a power of two. */
  readonly rcvWscale?: number | undefined;
  /** Whether `deliveryRate` was limited by the sender having nothing to send. Since 4.9. */
  readonly deliveryRateAppLimited?: boolean | undefined;
  /** Retransmission timeout, in microseconds. */
  readonly rto?: number | undefined;
  /** Delayed acknowledgement timeout, in microseconds. */
  readonly ato?: number | undefined;
  /** Largest segment to send, in bytes. */
  readonly sndMss?: number | undefined;
  /** Largest segment received, in bytes. */
  readonly rcvMss?: number | undefined;
  /** Segments sent and not acknowledged. */
  readonly unacked?: number | undefined;
  /** Segments that the peer has acknowledged out of order. */
  readonly sacked?: number | undefined;
  /** Segments considered lost. */
  readonly lost?: number | undefined;
  /** Segments retransmitted and not acknowledged. */
  readonly retrans?: number | undefined;
  /** Milliseconds since data was last sent. */
  readonly lastDataSent?: number | undefined;
  /** Milliseconds since data was last received. */
  readonly lastDataRecv?: number | undefined;
  /** Milliseconds since an acknowledgement was last received. */
  readonly lastAckRecv?: number | undefined;
  /** Path MTU, in bytes. */
  readonly pmtu?: number | undefined;
  /** Current limit of the receive window, in bytes. */
  readonly rcvSsthresh?: number | undefined;
  /** Smoothed round-trip time, in microseconds. */
  readonly rtt?: number | undefined;
  /** Mean deviation of the round-trip time, in microseconds. */
  readonly rttvar?: number | undefined;
  /** Slow-start threshold, in segments; 2147483647 for none yet. */
  readonly sndSsthresh?: number | undefined;
  /** Congestion window, in segments. */
  readonly sndCwnd?: number | undefined;
  /** Maximum segment size announced by this end, in bytes. */
  readonly advmss?: number | undefined;
  /** How many places a segment may be displaced before it is considered lost. */
  readonly reordering?: number | undefined;
  /** Round-trip time as the receiver estimates it, in microseconds. */
  readonly rcvRtt?: number | undefined;
  /** Room that the receive buffer is tuned for, in bytes. */
  readonly rcvSpace?: number | undefined;
  /** Segments retransmitted so far. */
  readonly totalRetrans?: number | undefined;
  /** Pacing rate in bytes per second; `null` for none. Since 3.15. */
  readonly pacingRate?: number | null | undefined;
  /** Limit of `pacingRate`, in bytes per second; `null` for none. Since 3.15. */
  readonly maxPacingRate?: number | null | undefined;
  /** Bytes that the peer has acknowledged. Since 4.1. */
  readonly bytesAcked?: number | undefined;
  /** Bytes received in order. Since 4.1. */
  readonly bytesReceived?: number | undefined;
  /** Segments sent. Since 4.2. */
  readonly segsOut?: number | undefined;
  /** Segments received. Since 4.2. */
  readonly segsIn?: number | undefined;
  /** Bytes written but not yet sent. Since 4.6. */
  readonly notsentBytes?: number | undefined;
  /** Minimum round-trip time, in microseconds. Since 4.6. */
  readonly minRtt?: number | undefined;
  /** Segments with data received. Since 4.6. */
  readonly dataSegsIn?: number | undefined;
  /** Segments with data sent. Since 4.6. */
  readonly dataSegsOut?: number | undefined;
  /** Rate of delivery last measured, in bytes per second. Since 4.9. */
  readonly deliveryRate?: number | undefined;
  /** Microseconds with data to send. Since 4.10. */
  readonly busyTime?: number | undefined;
  /** Microseconds of that time limited by the peer's window. Since 4.10. */
  readonly rwndLimited?: number | undefined;
  /** Microseconds of that time limited by the send buffer. Since 4.10. */
  readonly sndbufLimited?: number | undefined;
  /** Segments delivered. Since 4.18. */
  readonly delivered?: number | undefined;
  /** Segments delivered with an ECN mark. Since 4.18. */
  readonly deliveredCe?: number | undefined;
  /** Bytes of data sent, retransmissions included. Since 4.19. */
  readonly bytesSent?: number | undefined;
  /** Bytes of data retransmitted. Since 4.19. */
  readonly bytesRetrans?: number | undefined;
  /** Segments that the peer received twice, according to its DSACKs. Since 4.19. */
  readonly dsackDups?: number | undefined;
  /** Reordering events. Since 4.19. */
  readonly reordSeen?: number | undefined;
  /** Segments received out of order. Since 5.4. */
  readonly rcvOoopack?: number | undefined;
  /** The peer's window, in bytes. Since 5.4. */
  readonly sndWnd?: number | undefined;
  /** This end's window, in bytes. Since 6.2. */
  readonly rcvWnd?: number | undefined;
  /** How often the connection was rehashed to try another path. Since 6.2. */
  readonly rehash?: number | undefined;
  /** Retransmission timeouts. Since 6.7. */
  readonly totalRto?: number | undefined;
  /** Recoveries by retransmission timeout. Since 6.7. */
  readonly totalRtoRecoveries?: number | undefined;
  /** Milliseconds in such recoveries. Since 6.7. */
  readonly totalRtoTime?: number | undefined;
}
