/**
 * The table of connections and subflows, with what goes over each.
 *
 * @module
 */

import {
  type ConnectionTraffic,
  type ListedConnection,
  listTraffic,
  type SubflowTraffic,
} from "../../path_manager/traffic.ts";
import { tokenText } from "./event_line.ts";
import { formatAddr } from "../ui/subflow_table.ts";
import { tableLines } from "../ui/table.ts";
import type { Styles } from "../ui/terminal.ts";
import { count, formatMicroseconds, formatRate } from "../ui/units.ts";

/** Bytes per second, each way. */
export interface Rates {
  readonly sent: number;
  readonly received: number;
}

/** A subflow with its rates since the last look. */
export interface SubflowRates extends SubflowTraffic {
  readonly rates: Rates;
}

/** A connection with those of its subflows, and their sums. */
export interface ConnectionRates extends ConnectionTraffic {
  readonly rates: Rates;
  readonly subflows: readonly SubflowRates[];
}

/** All connections, of which the busiest are described. */
export interface TrafficState {
  readonly count: number;
  /** Those of all connections. */
  readonly subflows: number;
  /** Those of all connections together. */
  readonly rates: Rates;
  /** The busiest first. */
  readonly connections: readonly ConnectionRates[];
}

interface Sample {
  readonly time: number;
  readonly sent: number;
  readonly received: number;
}

/** A connection that has been measured, and not described. */
interface Measured {
  readonly listed: ListedConnection;
  readonly rates: Rates;
  readonly subflows: readonly Rates[];
}

const NOTHING: Rates = { sent: 0, received: 0 };

/** Rates from one look at the counters to the next. */
export class RateMeter {
  #samples: Map<number, Sample> = new Map();

  /** The rates since the last call; 0 for what was not there then. */
  measure(connections: readonly ListedConnection[], time: number): Measured[] {
    const samples = new Map<number, Sample>();
    const measured = connections.map((listed): Measured => {
      const subflows = listed.subflows.map(({ key, sent, received }) => {
        const sample = { time, sent, received };
        samples.set(key, sample);
        return ratesBetween(this.#samples.get(key), sample);
      });
      return { listed, subflows, rates: sum(subflows) };
    });
    this.#samples = samples;
    return measured;
  }
}

function ratesBetween(before: Sample | undefined, now: Sample): Rates {
  if (before === undefined || now.time <= before.time) return NOTHING;
  const rate = (kind: "sent" | "received") =>
    Math.max(0, 1000 * (now[kind] - before[kind]) / (now.time - before.time));
  return { sent: rate("sent"), received: rate("received") };
}

function sum(parts: readonly Rates[]): Rates {
  let [sent, received] = [0, 0];
  for (const part of parts) {
    sent += part.sent;
    received += part.received;
  }
  return { sent, received };
}

/** Asks the kernel for all connections, and describes at most `limit`: the busiest. */
export function look(meter: RateMeter, netns: string | undefined, limit: number): TrafficState {
  const all = meter.measure(listTraffic(netns), performance.now());
  const busy = ({ rates }: Measured) => rates.sent + rates.received;
  const shown = all.toSorted((a, b) => busy(b) - busy(a) || a.listed.token - b.listed.token)
    .slice(0, limit);
  return {
    count: all.length,
    subflows: all.reduce((total, { subflows }) => total + subflows.length, 0),
    rates: sum(all.map(({ rates }) => rates)),
    connections: shown.map(({ listed, rates, subflows }) => ({
      ...listed.describe(),
      rates,
      subflows: listed.subflows.map((one, i) => ({ ...one.describe(), rates: subflows[i]! })),
    })),
  };
}

const COLUMNS = [
  { heading: "TOKEN" },
  { heading: "LOCAL" },
  { heading: "REMOTE" },
  { heading: "STATE" },
  { heading: "RTT", right: true },
  { heading: "SENDING", right: true },
  { heading: "RECEIVING", right: true },
] as const;

/** The sums, and under them a line for each connection with a line for each of its subflows. */
export function trafficLines(
  { count: total, subflows, rates: { sent, received }, connections }: TrafficState,
  styles: Styles,
): string[] {
  return [
    `${styles.bold("MPTCP")}  ${count(total, "connection")}, ` +
    `${count(subflows, "subflow")}, sending ${formatRate(sent)}, receiving ${formatRate(received)}`,
    "",
    ...tableLines(COLUMNS, connections.flatMap(connectionRows), styles),
  ];
}

function connectionRows(connection: ConnectionRates): string[][] {
  const { token, localAddr, remoteAddr, rates, subflows } = connection;
  return [
    [tokenText(token), formatAddr(localAddr), formatAddr(remoteAddr), "", "", ...rateCells(rates)],
    ...subflows.map(({ localAddr, remoteAddr, backup, tcp, rates }, i) => [
      i < subflows.length - 1 ? "├ path" : "└ path",
      formatAddr(localAddr),
      formatAddr(remoteAddr),
      `${tcp.state ?? ""}${backup ? " backup" : ""}`,
      tcp.rtt === undefined ? "" : formatMicroseconds(tcp.rtt),
      ...rateCells(rates),
    ]),
  ];
}

function rateCells({ sent, received }: Rates): [string, string] {
  return [formatRate(sent), formatRate(received)];
}
