/**
 * The subflows of a connection, as lines for people and as JSON for programs.
 *
 * @module
 */

import { formatHostPort } from "../socket.ts";
import type { NetAddr, Subflow } from "../types.ts";
import { tableLines } from "./table.ts";
import type { Styles } from "./terminal.ts";
import { formatBytes, formatMicroseconds } from "./units.ts";

const COLUMNS = [
  { heading: "LOCAL" },
  { heading: "REMOTE" },
  { heading: "STATE" },
  { heading: "RTT", right: true },
  { heading: "MSS", right: true },
  { heading: "SENT", right: true },
  { heading: "RECEIVED", right: true },
] as const;

/** An address and port as "10.0.0.1:80". */
export function formatAddr({ hostname, port }: Pick<NetAddr, "hostname" | "port">): string {
  return formatHostPort(hostname, port);
}

/** A line for each subflow, under headings. */
export function subflowLines(subflows: readonly Subflow[], styles: Styles): string[] {
  const rows = subflows.map(({ localAddr, remoteAddr, tcp }) => [
    formatAddr(localAddr),
    formatAddr(remoteAddr),
    tcp.state ?? "",
    tcp.rtt === undefined ? "" : formatMicroseconds(tcp.rtt),
    String(tcp.sndMss ?? ""),
    formatBytes(sentBytes(tcp)),
    formatBytes(receivedBytes(tcp)),
  ]);
  return tableLines(COLUMNS, rows, styles);
}

/** What JSON says of a subflow. */
export interface SubflowJson {
  readonly id?: number | undefined;
  readonly localAddr: NetAddr;
  readonly remoteAddr: NetAddr;
  readonly state?: string | undefined;
  /** Microseconds. */
  readonly rtt?: number | undefined;
  readonly sndMss?: number | undefined;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** A subflow for JSON: what stays meaningful outside of this program. */
export function subflowJson({ id, localAddr, remoteAddr, tcp }: Subflow): SubflowJson {
  const { state, rtt, sndMss } = tcp;
  return {
    id,
    localAddr,
    remoteAddr,
    state,
    rtt,
    sndMss,
    bytesSent: sentBytes(tcp),
    bytesReceived: receivedBytes(tcp),
  };
}

/** Bytes sent for the first time. */
export function sentBytes({ bytesSent = 0n, bytesRetrans = 0n }: Subflow["tcp"]): number {
  return Number(bytesSent - bytesRetrans);
}

/** The states of a connection whose peer has ended its direction. */
const ENDED_BY_PEER: readonly (string | undefined)[] = [
  "CLOSE_WAIT",
  "CLOSING",
  "LAST_ACK",
  "TIME_WAIT",
  "CLOSE",
];

/** Bytes of data received: the kernel counts the FIN as one. */
export function receivedBytes({ state, bytesReceived = 0n }: Subflow["tcp"]): number {
  const fin = bytesReceived > 0n && ENDED_BY_PEER.includes(state) ? 1 : 0;
  return Number(bytesReceived) - fin;
}
