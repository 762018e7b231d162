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
  /** Subflows beside the initial one: 0 for a connection with one path. Since 5.9. */
  readonly subflows?: number | undefined;
  /** Addresses that this end has announced. Since 5.9. */
  readonly addAddrSignal?: number | undefined;
  /** Announced addresses that this end has accepted. Since 5.9. */
  readonly addAddrAccepted?: number | undefined;
  /** The limit of `subflows`. Since 5.9. */
  readonly subflowsMax?: number | undefined;
  /** The limit of `addAddrSignal`. Since 5.9. */
  readonly addAddrSignalMax?: number | undefined;
  /** The limit of `addAddrAccepted`. Since 5.9. */
  readonly addAddrAcceptedMax?: number | undefined;
  /** What the connection has come to. Since 5.9. */
  readonly flags?: MptcpInfoFlags | undefined;
  /** Names the connection at this end, in path-manager commands and events. Since 5.9. */
  readonly token?: number | undefined;
  /** The next data sequence number to write: 64 bits, as hex text ("0x1f..."). Since 5.9. */
  readonly writeSeq?: string | undefined;
  /** The first data sequence number that the peer has not acknowledged, as hex text. Since 5.9. */
  readonly sndUna?: string | undefined;
  /** The next data sequence number that is expected, as hex text. Since 5.9. */
  readonly rcvNxt?: string | undefined;
  /** Local addresses in use beside the initial one. Since 5.12. */
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
  /** Subflows, the initial one included. 0: every path is lost, the kernel waits for a new one. Since 6.8. */
  readonly subflowsTotal?: number | undefined;
  /** Endpoints with the flag laminar. Since 6.18; 0 on kernels from 6.8 to then. */
  readonly endpLaminarMax?: number | undefined;
  /** Endpoints with the flag fullmesh. Since 6.18; 0 on kernels from 6.8 to then. */
  readonly endpFullmeshMax?: number | undefined;
  /** Milliseconds since data was last sent. Since 6.10. */
  readonly lastDataSent?: number | undefined;
  /** Milliseconds since data last came. Since 6.10. */
  readonly lastDataRecv?: number | undefined;
  /** Milliseconds since an acknowledgement last came. Since 6.10. */
  readonly lastAckRecv?: number | undefined;
}

/** The bits of `mptcpi_flags`. */
export interface MptcpInfoFlags {
  /** `MPTCP_INFO_FLAG_FALLBACK`: the connection has fallen back to TCP. */
  readonly fallback: boolean;
  /** `MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED`: the handshake is over. */
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

/** `tcpi_ca_state`: what congestion control is doing, by its kernel name. */
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
  /** `TCPI_OPT_ECN_SEEN`: a packet with an ECN codepoint has come. */
  readonly ecnSeen: boolean;
  /** `TCPI_OPT_SYN_DATA`: data of the SYN was acknowledged (TCP Fast Open). */
  readonly synData: boolean;
}

/** `struct tcp_info` of one TCP connection: of one subflow. */
export interface TcpInfo {
  /** The state of the connection, as "ESTABLISHED". */
  readonly state?: TcpState | undefined;
  /** What congestion control is doing, as "Open". */
  readonly caState?: TcpCaState | undefined;
  /** Retransmissions of the segment that is unacknowledged, without an answer so far. */
  readonly retransmits?: number | undefined;
  /** Window or keep-alive probes without an answer so far. */
  readonly probes?: number | undefined;
  /** How often the retransmission timer was doubled. */
  readonly backoff?: number | undefined;
  /** What was negotiated. */
  readonly options?: TcpOptions | undefined;
  /** Window scale of the peer, a power of two. */
  readonly sndWscale?: number | undefined;
  /** Window scale of this end, a power of two. */
  readonly rcvWscale?: number | undefined;
  /** Whether `deliveryRate` was held down by the sender having nothing to send. Since 4.9. */
  readonly deliveryRateAppLimited?: boolean | undefined;
  /** Retransmission timeout, in microseconds. */
  readonly rto?: number | undefined;
  /** Delayed acknowledgement timeout, in microseconds. */
  readonly ato?: number | undefined;
  /** Largest segment to send, in bytes. */
  readonly sndMss?: number | undefined;
  /** Largest segment that came, in bytes. */
  readonly rcvMss?: number | undefined;
  /** Segments sent and not acknowledged. */
  readonly unacked?: number | undefined;
  /** Segments that the peer has acknowledged out of order. */
  readonly sacked?: number | undefined;
  /** Segments held to be lost. */
  readonly lost?: number | undefined;
  /** Segments retransmitted and not acknowledged. */
  readonly retrans?: number | undefined;
  /** Milliseconds since data was last sent. */
  readonly lastDataSent?: number | undefined;
  /** Milliseconds since data last came. */
  readonly lastDataRecv?: number | undefined;
  /** Milliseconds since an acknowledgement last came. */
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
  /** Largest segment that this end has announced, in bytes. */
  readonly advmss?: number | undefined;
  /** How many places a segment may be displaced before it is held to be lost. */
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
  /** Bytes written and not sent yet. Since 4.6. */
  readonly notsentBytes?: number | undefined;
  /** Least round-trip time, in microseconds. Since 4.6. */
  readonly minRtt?: number | undefined;
  /** Segments with data received. Since 4.6. */
  readonly dataSegsIn?: number | undefined;
  /** Segments with data sent. Since 4.6. */
  readonly dataSegsOut?: number | undefined;
  /** Rate of delivery last measured, in bytes per second. Since 4.9. */
  readonly deliveryRate?: number | undefined;
  /** Microseconds with data to send. Since 4.10. */
  readonly busyTime?: number | undefined;
  /** Microseconds of it that the peer's window held up. Since 4.10. */
  readonly rwndLimited?: number | undefined;
  /** Microseconds of it that the send buffer held up. Since 4.10. */
  readonly sndbufLimited?: number | undefined;
  /** Segments delivered. Since 4.18. */
  readonly delivered?: number | undefined;
  /** Segments delivered with an ECN mark. Since 4.18. */
  readonly deliveredCe?: number | undefined;
  /** Bytes of data sent, retransmissions included. Since 4.19. */
  readonly bytesSent?: number | undefined;
  /** Bytes of data retransmitted. Since 4.19. */
  readonly bytesRetrans?: number | undefined;
  /** Segments that the peer got twice, by its DSACKs. Since 4.19. */
  readonly dsackDups?: number | undefined;
  /** Reordering events. Since 4.19. */
  readonly reordSeen?: number | undefined;
  /** Segments received out of order. Since 5.4. */
  readonly rcvOoopack?: number | undefined;
  /** The peer's window, in bytes. Since 5.4. */
  readonly sndWnd?: number | undefined;
  /** This end's window, in bytes. Since 6.2. */
  readonly rcvWnd?: number | undefined;
  /** How often another path was tried by a new hash. Since 6.2. */
  readonly rehash?: number | undefined;
  /** Retransmission timeouts. Since 6.7. */
  readonly totalRto?: number | undefined;
  /** Recoveries by retransmission timeout. Since 6.7. */
  readonly totalRtoRecoveries?: number | undefined;
  /** Milliseconds in such recoveries. Since 6.7. */
  readonly totalRtoTime?: number | undefined;
}
