/**
 * What a test has shown.
 *
 * @module
 */

import type { MptcpConn } from "../../types.ts";
import type { Styles } from "../ui/terminal.ts";
import { formatBytes, formatRate } from "../ui/units.ts";
import type { Intervals } from "./intervals.ts";
import type { Figures, Hello } from "./protocol.ts";

/** All that is known of a test. */
export interface Result {
  readonly hello: Hello;
  /** As measured here. */
  readonly local: Figures;
  /** As measured by the server. */
  readonly remote: Figures;
  readonly streams: readonly MptcpConn[];
  readonly intervals: Intervals;
}

/** CPU in the course of a test, in percent of one processor. */
export function cpuText({ cpu, seconds }: Pick<Figures, "cpu" | "seconds">): string {
  return `${Math.round((cpu.user + cpu.system) * 100 / Math.max(seconds, 0.001))}% CPU`;
}

/** What arrived, at the end where it did. */
function flows({ local, remote }: Result): { sent: Flow; received: Flow } {
  return { sent: flow(remote), received: flow(local) };
}

interface Flow {
  readonly bytes: number;
  readonly seconds: number;
  readonly bytesPerSecond: number;
}

function flow({ received: bytes, seconds }: Figures): Flow {
  return { bytes, seconds, bytesPerSecond: seconds > 0 ? bytes / seconds : 0 };
}

function protocolOf(streams: readonly MptcpConn[]): string {
  const protocols = new Set(streams.map(({ protocol }) => protocol));
  return protocols.size === 1 ? [...protocols][0]! : "mixed";
}

/** The summary for people. */
export function summaryLines(result: Result, styles: Styles): string[] {
  const { local, remote, streams, intervals } = result;
  const { sent, received } = flows(result);
  const line = (name: string, { bytes, seconds, bytesPerSecond }: Flow) =>
    bytes === 0 ? [] : [
      `${name.padEnd(9)} ${formatBytes(bytes)} in ${seconds.toFixed(2)} s  ` +
      styles.bold(formatRate(bytesPerSecond)),
    ];
  const protocol = protocolOf(streams);
  const fallback = streams.find((conn) => conn.fallback !== null)?.fallback;
  return [
    "",
    ...line("Sent", sent),
    ...line("Received", received),
    `${"Protocol".padEnd(9)} ${protocol.toUpperCase()}${fallback ? `: ${fallback.detail}` : ""}`,
    ...intervals.paths.map(({ path, bytes }) =>
      `${"Path".padEnd(9)} ${path}  ${formatBytes(bytes)}`
    ),
    `${"CPU".padEnd(9)} ${cpuText(local)} here, ${cpuText(remote)} at the server`,
  ];
}

/** The summary for programs. */
export function summaryJson(result: Result): string {
  const { hello, local, remote, streams, intervals } = result;
  const { direction, seconds, bytes } = hello;
  return JSON.stringify({
    test: { direction, streams: hello.streams, seconds, bytes },
    protocol: protocolOf(streams),
    fallback: streams.find((conn) => conn.fallback !== null)?.fallback ?? null,
    ...flows(result),
    paths: intervals.paths.map(({ path, bytes }) => ({ path, bytes })),
    cpu: { local: local.cpu, remote: remote.cpu },
    intervals: intervals.done,
  });
}
