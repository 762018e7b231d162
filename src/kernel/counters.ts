/**
 * The kernel's counters of MPTCP, per network namespace.
 *
 * @module
 */

import { MptcpError } from "../error.ts";
import { readProc } from "./procfs.ts";

/**
 * The counters since the network namespace was made, under their names in /proc/net/netstat
 * (`nstat` shows them with the prefix `MPTcpExt`). A counter that this kernel lacks is `undefined`.
 * Counters that this module does not know are included.
 */
export interface MptcpCounters {
  /** By name. */
  readonly [name: string]: number | undefined;
  /** SYNs with MP_CAPABLE received: clients that requested MPTCP. */
  readonly MPCapableSYNRX?: number | undefined;
  /** SYNs with MP_CAPABLE sent: connections that requested MPTCP. */
  readonly MPCapableSYNTX?: number | undefined;
  /** SYN/ACKs with MP_CAPABLE received: servers that agreed. */
  readonly MPCapableSYNACKRX?: number | undefined;
  /** Third ACKs with MP_CAPABLE received. */
  readonly MPCapableACKRX?: number | undefined;
  /** Accepted connections that fell back during the handshake. */
  readonly MPCapableFallbackACK?: number | undefined;
  /** Connections made that fell back: the SYN/ACK had no MP_CAPABLE. */
  readonly MPCapableFallbackSYNACK?: number | undefined;
  /** Connections that dropped MP_CAPABLE because their SYNs were not answered. */
  readonly MPCapableSYNTXDrop?: number | undefined;
  /** Connections that did not request MPTCP because of a black hole detected before. */
  readonly MPCapableSYNTXDisabled?: number | undefined;
  /** Connections attempted to the port of an endpoint. */
  readonly MPCapableEndpAttempt?: number | undefined;
  /** Connections that fell back because no token could be made for them. */
  readonly MPFallbackTokenInit?: number | undefined;
  /** Segments retransmitted at the MPTCP level. */
  readonly MPTCPRetrans?: number | undefined;
  /** MP_JOINs received for a connection that does not exist. */
  readonly MPJoinNoTokenFound?: number | undefined;
  /** SYNs with MP_JOIN received. */
  readonly MPJoinSynRx?: number | undefined;
  /** SYNs with MP_JOIN and the backup bit received. */
  readonly MPJoinSynBackupRx?: number | undefined;
  /** SYN/ACKs with MP_JOIN received. */
  readonly MPJoinSynAckRx?: number | undefined;
  /** SYN/ACKs with MP_JOIN and the backup bit received. */
  readonly MPJoinSynAckBackupRx?: number | undefined;
  /** SYN/ACKs with MP_JOIN received whose HMAC was wrong. */
  readonly MPJoinSynAckHMacFailure?: number | undefined;
  /** Third ACKs with MP_JOIN received: subflows that a peer has opened. */
  readonly MPJoinAckRx?: number | undefined;
  /** Third ACKs with MP_JOIN received whose HMAC was wrong. */
  readonly MPJoinAckHMacFailure?: number | undefined;
  /** MP_JOINs that the path manager rejected. */
  readonly MPJoinRejected?: number | undefined;
  /** SYNs with MP_JOIN sent. */
  readonly MPJoinSynTx?: number | undefined;
  /** Subflows that no socket could be made for. */
  readonly MPJoinSynTxCreatSkErr?: number | undefined;
  /** Subflows that could not be bound to their address. */
  readonly MPJoinSynTxBindErr?: number | undefined;
  /** Subflows whose connect failed at once. */
  readonly MPJoinSynTxConnectErr?: number | undefined;
  /** Data mappings received that contradict the one before. */
  readonly DSSNotMatching?: number | undefined;
  /** Corrupt mappings that were answered with a fallback. */
  readonly DSSCorruptionFallback?: number | undefined;
  /** Corrupt mappings that were answered with a reset. */
  readonly DSSCorruptionReset?: number | undefined;
  /** Infinite mappings sent. */
  readonly InfiniteMapTx?: number | undefined;
  /** Infinite mappings received. */
  readonly InfiniteMapRx?: number | undefined;
  /** Mappings received that do not fit the TCP sequence numbers. */
  readonly DSSNoMatchTCP?: number | undefined;
  /** Data received whose MPTCP checksum was wrong. */
  readonly DataCsumErr?: number | undefined;
  /** Segments put at the end of the out-of-order queue. */
  readonly OFOQueueTail?: number | undefined;
  /** Segments put into the out-of-order queue. */
  readonly OFOQueue?: number | undefined;
  /** Segments merged in the out-of-order queue. */
  readonly OFOMerge?: number | undefined;
  /** Segments received outside the MPTCP window. */
  readonly NoDSSInWindow?: number | undefined;
  /** Segments received twice. */
  readonly DuplicateData?: number | undefined;
  /** ADD_ADDRs received. */
  readonly AddAddr?: number | undefined;
  /** ADD_ADDRs sent. */
  readonly AddAddrTx?: number | undefined;
  /** ADD_ADDRs that were not sent. */
  readonly AddAddrTxDrop?: number | undefined;
  /** Echoes of ADD_ADDR received. */
  readonly EchoAdd?: number | undefined;
  /** Echoes of ADD_ADDR sent. */
  readonly EchoAddTx?: number | undefined;
  /** Echoes of ADD_ADDR that were not sent. */
  readonly EchoAddTxDrop?: number | undefined;
  /** ADD_ADDRs with a port received. */
  readonly PortAdd?: number | undefined;
  /** ADD_ADDRs received and dropped. */
  readonly AddAddrDrop?: number | undefined;
  /** SYNs with MP_JOIN received on another port. */
  readonly MPJoinPortSynRx?: number | undefined;
  /** SYN/ACKs with MP_JOIN received from another port. */
  readonly MPJoinPortSynAckRx?: number | undefined;
  /** Third ACKs with MP_JOIN received on another port. */
  readonly MPJoinPortAckRx?: number | undefined;
  /** SYNs with MP_JOIN received on a wrong port. */
  readonly MismatchPortSynRx?: number | undefined;
  /** Third ACKs with MP_JOIN received on a wrong port. */
  readonly MismatchPortAckRx?: number | undefined;
  /** RM_ADDRs received. */
  readonly RmAddr?: number | undefined;
  /** RM_ADDRs received and dropped. */
  readonly RmAddrDrop?: number | undefined;
  /** RM_ADDRs sent. */
  readonly RmAddrTx?: number | undefined;
  /** RM_ADDRs that were not sent. */
  readonly RmAddrTxDrop?: number | undefined;
  /** Subflows removed. */
  readonly RmSubflow?: number | undefined;
  /** MP_PRIOs sent. */
  readonly MPPrioTx?: number | undefined;
  /** MP_PRIOs received. */
  readonly MPPrioRx?: number | undefined;
  /** MP_FAILs sent. */
  readonly MPFailTx?: number | undefined;
  /** MP_FAILs received. */
  readonly MPFailRx?: number | undefined;
  /** MP_FASTCLOSEs sent. */
  readonly MPFastcloseTx?: number | undefined;
  /** MP_FASTCLOSEs received. */
  readonly MPFastcloseRx?: number | undefined;
  /** MP_TCPRSTs sent. */
  readonly MPRstTx?: number | undefined;
  /** MP_TCPRSTs received. */
  readonly MPRstRx?: number | undefined;
  /** Subflows held to be stale. */
  readonly SubflowStale?: number | undefined;
  /** Stale subflows that work again. */
  readonly SubflowRecover?: number | undefined;
  /** Send windows taken over from another subflow. */
  readonly SndWndShared?: number | undefined;
  /** Receive windows taken over from another subflow. */
  readonly RcvWndShared?: number | undefined;
  /** Conflicts with another subflow over the receive window that were settled. */
  readonly RcvWndConflictUpdate?: number | undefined;
  /** Conflicts with another subflow over the receive window. */
  readonly RcvWndConflict?: number | undefined;
  /** MPTCP connections that there are now. */
  readonly MPCurrEstab?: number | undefined;
  /** Times that the network was found to be a black hole for MPTCP. */
  readonly Blackhole?: number | undefined;
  /** Fallbacks because the first data had no MP_CAPABLE. */
  readonly MPCapableDataFallback?: number | undefined;
  /** Fallbacks because of TCP MD5 signatures. */
  readonly MD5SigFallback?: number | undefined;
  /** Fallbacks because of a bad or missing mapping. */
  readonly DssFallback?: number | undefined;
  /** Fallbacks because both ends connected at once. */
  readonly SimultConnectFallback?: number | undefined;
  /** Fallbacks that were not possible any more. */
  readonly FallbackFailed?: number | undefined;
  /** MPTCP window probes sent. */
  readonly WinProbe?: number | undefined;
}

const FILE = "/proc/thread-self/net/netstat";
const PREFIX = "MPTcpExt:";

/**
 * Reads the counters. No privilege is needed, but to enter a network namespace.
 *
 * @param options `netns`: read them in a network namespace, a name under /run/netns or a path.
 * @throws {MptcpError} code "ENOENT" where the kernel has none: it has no MPTCP.
 *
 * @example
 * ```ts
 * import { mptcpCounters } from "@multipath/mptcp/path-manager";
 *
 * const { MPCapableSYNTX, MPCapableFallbackSYNACK } = mptcpCounters();
 * console.log(`${MPCapableFallbackSYNACK} of ${MPCapableSYNTX} connections fell back`);
 * ```
 */
export function mptcpCounters(options: { netns?: string } = {}): MptcpCounters {
  const counters = parseCounters(readProc(FILE, options.netns) ?? "");
  if (counters !== null) return counters;
  throw new MptcpError(
    `${FILE} has no MPTCP counters: they need Linux 5.6 or later with CONFIG_MPTCP`,
    {
      name: "NotFound",
      code: "ENOENT",
    },
  );
}

/** The counters in the text of the file: a line of names, and a line of numbers in the same order. */
export function parseCounters(text: string): MptcpCounters | null {
  const lines = text.split("\n").filter((line) => line.startsWith(PREFIX));
  if (lines.length !== 2) return null;
  const [names, values] = lines.map((line) => line.slice(PREFIX.length).trim().split(/\s+/));
  return Object.fromEntries(names!.map((name, i) => [name, Number(values![i])]));
}
