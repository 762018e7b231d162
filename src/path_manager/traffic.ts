/**
 * What goes over the MPTCP connections of a network namespace, those of other processes too.
 *
 * @module
 */

import { mptcp_info, MPTCP_INFO_FLAG_FALLBACK, tcp_info } from "../../ffi/linux/abi.ts";
import { decodeMptcpInfo } from "../kernel/info.ts";
import type { MptcpInfo, TcpInfo } from "../kernel/info_types.ts";
import {
  type DiagnosedConnection,
  type DiagnosedSubflow,
  mptcpConnections,
  mptcpSubflows,
} from "../kernel/sock_diag.ts";
import { StructReader } from "../kernel/struct_reader.ts";
import { toNetAddr } from "../poll/socket.ts";
import { decodeTcpInfo, hasReceivedEnd } from "../kernel/tcp_info.ts";
import type { NetAddr } from "../types.ts";

/** A subflow. */
export interface SubflowTraffic {
  readonly localAddr: NetAddr;
  readonly remoteAddr: NetAddr;
  /** Whether either end wants it used only while no other works. */
  readonly backup: boolean;
  readonly tcp: TcpInfo;
}

/** A connection. */
export interface ConnectionTraffic {
  /** Identifies the connection, as in events. */
  readonly token: number;
  readonly localAddr: NetAddr;
  readonly remoteAddr: NetAddr;
  readonly info: MptcpInfo;
}

/** A subflow with its counters; the rest is read only if asked for. */
export interface ListedSubflow {
  /** Names the subflow among all that there were. */
  readonly key: number;
  /** Bytes sent for the first time. */
  readonly sent: number;
  /** Bytes of data received. */
  readonly received: number;
  describe(): SubflowTraffic;
}

/** A connection and its subflows. */
export interface ListedConnection {
  /** Identifies the connection, as in events. */
  readonly token: number;
  /** Empty where the kernel does not say: before Linux 6.15 it takes CAP_NET_ADMIN. */
  readonly subflows: readonly ListedSubflow[];
  describe(): ConnectionTraffic;
}

/**
 * The connections that are MPTCP now. They and their subflows are asked for one after the other: a
 * subflow established in between is there next time.
 */
export function listTraffic(netns?: string): ListedConnection[] {
  const subflows = new Map<number, ListedSubflow[]>();
  for (const diagnosed of mptcpSubflows(netns)) {
    const listed = listSubflow(diagnosed);
    const others = subflows.get(diagnosed.token);
    if (others === undefined) subflows.set(diagnosed.token, [listed]);
    else others.push(listed);
  }
  return mptcpConnections(netns).flatMap((diagnosed) => {
    const info = new StructReader(diagnosed.info);
    const token = info.u32(mptcp_info.mptcpi_token);
    const flags = info.u32(mptcp_info.mptcpi_flags) ?? 0;
    if (token === undefined || flags & MPTCP_INFO_FLAG_FALLBACK) return [];
    const own = subflows.get(token) ?? [];
    return [{ token, subflows: own, describe: () => describeConnection(token, diagnosed) }];
  });
}

function listSubflow(diagnosed: DiagnosedSubflow): ListedSubflow {
  const info = new StructReader(diagnosed.info);
  const received = info.u64(tcp_info.tcpi_bytes_received) ?? 0;
  // The kernel counts the FIN as a byte.
  const fin = received > 0 && hasReceivedEnd(diagnosed.state) ? 1 : 0;
  return {
    key: diagnosed.cookie,
    sent: (info.u64(tcp_info.tcpi_bytes_sent) ?? 0) - (info.u64(tcp_info.tcpi_bytes_retrans) ?? 0),
    received: received - fin,
    describe: () => describeSubflow(diagnosed),
  };
}

function describeSubflow({ local, remote, backup, info }: DiagnosedSubflow): SubflowTraffic {
  return {
    localAddr: toNetAddr(local),
    remoteAddr: toNetAddr(remote),
    backup,
    tcp: decodeTcpInfo(info),
  };
}

function describeConnection(
  token: number,
  { local, remote, info }: DiagnosedConnection,
): ConnectionTraffic {
  return {
    token,
    localAddr: toNetAddr(local),
    remoteAddr: toNetAddr(remote),
    info: decodeMptcpInfo(info),
  };
}
