/**
 * What goes over the MPTCP connections of a network namespace, those of other processes too.
 *
 * @module
 */

import { decodeMptcpInfo } from "../kernel/info.ts";
import type { MptcpInfo, TcpInfo } from "../kernel/info_types.ts";
import { mptcpConnections, mptcpSubflows } from "../kernel/sock_diag.ts";
import { toNetAddr } from "../poll/socket.ts";
import { decodeTcpInfo } from "../kernel/tcp_info.ts";
import type { NetAddr } from "../types.ts";

/** A subflow. */
export interface SubflowTraffic {
  readonly localAddr: NetAddr;
  readonly remoteAddr: NetAddr;
  /** Whether either end wants it used only while no other works. */
  readonly backup: boolean;
  readonly tcp: TcpInfo;
}

/** A connection and its subflows. */
export interface ConnectionTraffic {
  /** Names the connection, as in events. */
  readonly token: number;
  readonly localAddr: NetAddr;
  readonly remoteAddr: NetAddr;
  readonly info: MptcpInfo;
  /** Empty where the kernel does not say: before Linux 6.15 it takes CAP_NET_ADMIN. */
  readonly subflows: readonly SubflowTraffic[];
}

/**
 * The connections that are MPTCP now. They and their subflows are asked for one after the other: a
 * subflow established in between is there next time.
 */
export function listTraffic(netns?: string): ConnectionTraffic[] {
  const subflows = Map.groupBy(mptcpSubflows(netns), ({ token }) => token);
  return mptcpConnections(netns).flatMap(({ info, local, remote }) => {
    const decoded = decodeMptcpInfo(info);
    const { token, flags } = decoded;
    if (token === undefined || flags?.fallback) return [];
    return [{
      token,
      localAddr: toNetAddr(local),
      remoteAddr: toNetAddr(remote),
      info: decoded,
      subflows: (subflows.get(token) ?? []).map(({ local, remote, backup, info }) => ({
        localAddr: toNetAddr(local),
        remoteAddr: toNetAddr(remote),
        backup,
        tcp: decodeTcpInfo(info),
      })),
    }];
  });
}
