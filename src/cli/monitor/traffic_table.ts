/**
 * The table of connections and subflows, with what goes over each.
 *
 * @module
 */

import {
  type ConnectionTraffic,
  listTraffic,
  type SubflowTraffic,
} from "../../path_manager/traffic.ts";
import { tokenText } from "./event_line.ts";
import { formatAddr, receivedBytes, sentBytes } from "../ui/subflow_table.ts";
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
export interface ConnectionRates extends Omit<ConnectionTraffic, "subflows"> {
  readonly rates: Rates;
  readonly subflows: readonly SubflowRates[];
}

interface Sample {
  readonly time: number;
  readonly sent: number;
  readonly received: number;
}

const NOTHING: Rates = { sent: 0, received: 0 };

/** Rates from one look at the counters to the next. */
export class RateMeter {
  #samples: Map<string, Sample> = new Map();

  /** The rates since the last call; 0 for what was not there then. */
  measure(connections: readonly ConnectionTraffic[], time: number): ConnectionRates[] {
    const samples = new Map<string, Sample>();
    const measured = connections.map((connection): ConnectionRates => {
      const subflows = connection.subflows.map((subflow) => {
        const key = `${connection.token} ${formatAddr(subflow.localAddr)} ${
          formatAddr(subflow.remoteAddr)
        }`;
        const sample = { time, sent: sentBytes(subflow.tcp), received: receivedBytes(subflow.tcp) };
        samples.set(key, sample);
        return { ...subflow, rates: ratesBetween(this.#samples.get(key), sample) };
      });
      return { ...connection, subflows, rates: sum(subflows) };
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

function sum(parts: readonly { readonly rates: Rates }[]): Rates {
  return {
    sent: parts.reduce((total, { rates }) => total + rates.sent, 0),
    received: parts.reduce((total, { rates }) => total + rates.received, 0),
  };
}

/** Asks the kernel, and gives the connections with their rates, the busiest first. */
export function look(meter: RateMeter, netns: string | undefined): ConnectionRates[] {
  const busy = ({ rates }: ConnectionRates) => rates.sent + rates.received;
  return meter.measure(listTraffic(netns), performance.now())
    .sort((a, b) => busy(b) - busy(a) || a.token - b.token);
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
export function trafficLines(connections: readonly ConnectionRates[], styles: Styles): string[] {
  const subflows = connections.reduce((total, { subflows }) => total + subflows.length, 0);
  const { sent, received } = sum(connections);
  return [
    `${styles.bold("MPTCP")}  ${count(connections.length, "connection")}, ` +
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
