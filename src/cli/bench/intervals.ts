/**
 * What is told while a test runs: a line at each interval, and below it what each path carried.
 *
 * @module
 */

import type { MptcpConn, Subflow } from "../../types.ts";
import { type PathRate, PathRates } from "../ui/path_rates.ts";
import { receivedBytes, sentBytes } from "../ui/subflow_table.ts";
import type { Terminal } from "../ui/terminal.ts";
import { formatBar, formatRate } from "../ui/units.ts";
import type { Traffic } from "./streams.ts";

/** A part of a test. */
export interface Interval {
  /** Seconds since the beginning. */
  readonly start: number;
  readonly end: number;
  readonly sentBytesPerSecond: number;
  readonly receivedBytesPerSecond: number;
  readonly paths: readonly { readonly path: string; readonly bytesPerSecond: number }[];
}

/** How intervals are told. */
export interface IntervalOptions {
  /** Milliseconds. */
  readonly interval: number;
  /** Whether they are kept for JSON, and not printed. */
  readonly json: boolean;
}

/** Bytes that a subflow has carried, both ways. */
function carried({ tcp }: Subflow): number {
  return sentBytes(tcp) + receivedBytes(tcp);
}

/** Milliseconds between two looks at the paths, which are gone at the end of a test. */
const SAMPLING = 100;

/** The intervals of a test. Disposing of it ends them. */
export class Intervals implements Disposable {
  readonly #traffic: Traffic;
  readonly #streams: readonly MptcpConn[];
  readonly #options: IntervalOptions;
  readonly #terminal: Terminal;
  readonly #rates: PathRates;
  readonly #start: number = performance.now();
  readonly #timers: readonly ReturnType<typeof setInterval>[];
  #last: { time: number; sent: number; received: number };
  /** Those that are over. */
  readonly done: Interval[] = [];
  /** What each path has carried so far, by its path. */
  paths: readonly PathRate[] = [];

  constructor(
    traffic: Traffic,
    streams: readonly MptcpConn[],
    options: IntervalOptions,
    terminal: Terminal,
  ) {
    this.#traffic = traffic;
    this.#streams = streams;
    this.#options = options;
    this.#terminal = terminal;
    this.#rates = new PathRates(carried, options.interval);
    this.#last = { time: this.#start, sent: 0, received: 0 };
    this.#timers = [
      setInterval(() => this.#sample(), SAMPLING),
      setInterval(() => this.#tick(), options.interval),
    ];
  }

  /** Ends the intervals, the last of which may be shorter. */
  finish(): void {
    this[Symbol.dispose]();
    if (performance.now() - this.#last.time > this.#options.interval / 10) this.#tick();
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  #sample(): void {
    const subflows = this.#streams.flatMap((conn) => conn.subflows());
    if (subflows.length > 0) this.paths = this.#rates.sample(subflows, performance.now());
  }

  #tick(): void {
    const time = performance.now();
    const { sent, received } = this.#traffic;
    const seconds = (time - this.#last.time) / 1000;
    const interval: Interval = {
      start: (this.#last.time - this.#start) / 1000,
      end: (time - this.#start) / 1000,
      sentBytesPerSecond: (sent - this.#last.sent) / seconds,
      receivedBytesPerSecond: (received - this.#last.received) / seconds,
      paths: this.paths.map(({ path, rate }) => ({ path, bytesPerSecond: rate })),
    };
    this.#last = { time, sent, received };
    this.done.push(interval);
    if (!this.#options.json) this.#print(interval);
  }

  #print({ start, end, sentBytesPerSecond, receivedBytesPerSecond, paths }: Interval): void {
    const { styles, outIsTerminal } = this.#terminal;
    const sums = [
      ...sentBytesPerSecond > 0 ? [`${formatRate(sentBytesPerSecond).padStart(11)} sent`] : [],
      ...receivedBytesPerSecond > 0
        ? [`${formatRate(receivedBytesPerSecond).padStart(11)} received`]
        : [],
    ];
    const span = `${start.toFixed(1).padStart(5)}-${end.toFixed(1).padEnd(5)} s`;
    this.#terminal.print(`${span}  ${styles.bold(sums.join("  ") || "nothing")}`);
    if (paths.length < 2) return;
    const width = Math.max(...paths.map(({ path }) => path.length));
    const fastest = Math.max(1, ...paths.map(({ bytesPerSecond }) => bytesPerSecond));
    for (const { path, bytesPerSecond } of paths) {
      const bar = styles.cyan(formatBar(bytesPerSecond / fastest, 30).trimEnd());
      const line = `  ${path.padEnd(width)}  ${formatRate(bytesPerSecond).padStart(11)}`;
      this.#terminal.print(outIsTerminal ? `${line}  ${bar}` : line);
    }
  }
}
