/**
 * What `get` shows while bytes come: a bar with the rate of every path on a terminal, and a line when
 * a path falls silent or goes.
 *
 * @module
 */

import type { MptcpClientConnection } from "../../http/mod.ts";
import { LiveLines } from "../ui/live_lines.ts";
import { type PathRate, PathRates } from "../ui/path_rates.ts";
import type { Terminal } from "../ui/terminal.ts";
import { formatBar, formatBytes, formatClock, formatRate } from "../ui/units.ts";
import { PathWatch } from "./path_watch.ts";

const INTERVAL = 250;
/** Milliseconds that rates are taken over. */
const WINDOW = 2000;

/** What is shown. */
export interface ProgressOptions {
  /** What is fetched, as people know it. */
  readonly name: string;
  /** Bytes that are to come, those of an earlier transfer included; `null` if that is not known. */
  readonly total: number | null;
  /** Bytes that were there before. */
  readonly offset: number;
  /** Whether to draw. */
  readonly bar: boolean;
  /** Whether to report lost paths. */
  readonly paths: boolean;
}

/** The progress of one transfer. Disposing of it ends it. */
export class Progress implements Disposable {
  readonly #options: ProgressOptions;
  readonly #terminal: Terminal;
  readonly #connection: MptcpClientConnection | null;
  readonly #lines: LiveLines;
  readonly #rates = new PathRates(({ tcp }) => Number(tcp.bytesReceived ?? 0), WINDOW);
  readonly #watch = new PathWatch();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #start: number = performance.now();
  #samples: { time: number; bytes: number }[];
  #isOver = false;
  /** Bytes so far, those of an earlier transfer not included. */
  bytes = 0;

  constructor(
    options: ProgressOptions,
    connection: MptcpClientConnection | null,
    terminal: Terminal,
  ) {
    this.#options = options;
    this.#terminal = terminal;
    this.#connection = connection;
    this.#lines = new LiveLines(terminal);
    this.#samples = [{ time: this.#start, bytes: 0 }];
    this.#timer = setInterval(() => this.#update(), INTERVAL);
  }

  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#timer);
    if (this.#options.bar) this.#draw(performance.now(), true);
    this.#lines.end();
  }

  #update(): void {
    const time = performance.now();
    if (this.#options.paths && this.#connection?.isOpen) {
      for (const text of this.#watch.update(this.#connection.subflows(), time)) {
        const line = this.#terminal.errorStyles.yellow(text);
        if (this.#options.bar) this.#lines.say(line);
        else this.#terminal.warn(line);
      }
    }
    if (this.#options.bar) this.#draw(time, false);
  }

  /** Draws rates of the last moments, or at the end of all the time. */
  #draw(time: number, isEnd: boolean): void {
    this.#samples.push({ time, bytes: this.bytes });
    while (this.#samples.length > 2 && this.#samples[1]!.time <= time - WINDOW) {
      this.#samples.shift();
    }
    const paths = this.#rates.sample(this.#connection?.subflows() ?? [], time);
    const seconds = (time - this.#start) / 1000;
    const shown = isEnd ? paths.map((path) => ({ ...path, rate: path.bytes / seconds })) : paths;
    this.#lines.draw([this.#summary(time, isEnd), ...this.#pathLines(shown, isEnd)]);
  }

  #summary(time: number, isEnd: boolean): string {
    const { name, total, offset } = this.#options;
    const so = offset + this.bytes;
    const first = isEnd ? { time: this.#start, bytes: 0 } : this.#samples[0]!;
    const rate = (this.bytes - first.bytes) * 1000 / Math.max(1, time - first.time);
    const seconds = (time - this.#start) / 1000;
    const label = shorten(name, 20).padEnd(20);
    if (total === null) {
      return `${label}  ${formatBytes(so)}  ${formatRate(rate)}  ${formatClock(seconds)}`;
    }
    const percent = `${total === 0 ? 100 : Math.floor(so * 100 / total)}%`.padStart(4);
    const left = isEnd
      ? formatClock(seconds)
      : rate > 0
      ? `${formatClock((total - so) / rate)} left`
      : "";
    const figures = `${percent}  ${formatBytes(so)} of ${formatBytes(total)}  ${
      formatRate(rate)
    }  ${left}`;
    const width = this.#terminal.columns - label.length - 58;
    const bar = width >= 8
      ? `  ▕${formatBar(total === 0 ? 1 : so / total, Math.min(width, 40))}▏`
      : "";
    return `${label}${bar}${figures}`;
  }

  /** Nothing where there is one path: it would be said twice. */
  #pathLines(paths: readonly PathRate[], isEnd: boolean): string[] {
    if (paths.length < 2) return [];
    const width = Math.max(...paths.map(({ path }) => path.length));
    const fastest = Math.max(...paths.map(({ rate }) => rate), 1);
    return paths.map(({ path, rate, bytes, isOpen }) => {
      const figures = `${formatRate(rate).padStart(11)}  ${formatBytes(bytes).padStart(8)}`;
      return `  ${path.padEnd(width)}  ${figures}  ${
        isOpen || isEnd ? formatBar(rate / fastest, 20) : "lost"
      }`;
    });
  }
}

function shorten(text: string, columns: number): string {
  return text.length > columns ? `${text.slice(0, columns - 1)}…` : text;
}
