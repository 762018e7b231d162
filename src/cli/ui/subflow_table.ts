/**
 * The subflows of a connection, as lines for people and as JSON for programs.
 *
 * @module
 */

import { hasReceivedEnd } from "../../kernel/tcp_info.ts";
import { formatHostPort } from "../../show.ts";
import type { NetAddr, Subflow } from "../../types.ts";
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

/** The report on a subflow; --json prints it as it is. */
export interface SubflowReport {
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

/** What of a subflow means something outside of this program. */
export function reportOf({ id, localAddr, remoteAddr, tcp }: Subflow): SubflowReport {
  const { state, rtt, sndMss } = tcp;
  const [bytesSent, bytesReceived] = [sentBytes(tcp), receivedBytes(tcp)];
  return { id, localAddr, remoteAddr, state, rtt, sndMss, bytesSent, bytesReceived };
}

/** A line for each subflow, under headings. */
export function subflowLines(subflows: readonly SubflowReport[], styles: Styles): string[] {
  const rows = subflows.map((subflow) => [
    formatAddr(subflow.localAddr),
    formatAddr(subflow.remoteAddr),
    subflow.state ?? "",
    subflow.rtt === undefined ? "" : formatMicroseconds(subflow.rtt),
    String(subflow.sndMss ?? ""),
    formatBytes(subflow.bytesSent),
    formatBytes(subflow.bytesReceived),
  ]);
  return tableLines(COLUMNS, rows, styles);
}

/** Bytes sent for the first time. */
export function sentBytes({ bytesSent = 0, bytesRetrans = 0 }: Subflow["tcp"]): number {
  return bytesSent - bytesRetrans;
}

/** Bytes of data received: the kernel counts the FIN as one. */
export function receivedBytes({ state, bytesReceived = 0 }: Subflow["tcp"]): number {
  const fin = bytesReceived > 0 && hasReceivedEnd(state) ? 1 : 0;
  return bytesReceived - fin;
}
