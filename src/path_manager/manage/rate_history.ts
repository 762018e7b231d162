/**
 * What has moved over each path lately, and how fast.
 *
 * @module
 */

import type { PathSample } from "./types.ts";

/** For how many milliseconds it is kept. */
const KEPT = 3000;

interface Entry {
  readonly at: number;
  readonly total: number;
  readonly byPath: ReadonlyMap<string, number>;
}

/** See the module's documentation. Rates are in bytes per millisecond. */
export class RateHistory {
  readonly #entries: Entry[] = [];

  /** Forgets all. */
  clear(): void {
    this.#entries.length = 0;
  }

  /** Adds what has moved until now. */
  add(at: number, paths: readonly PathSample[]): void {
    const byPath = new Map(paths.map(({ path, acked, received }) => [path, acked + received]));
    let total = 0;
    for (const bytes of byPath.values()) total += bytes;
    const entries = this.#entries;
    entries.push({ at, total, byPath });
    let old = 0;
    while (entries[old + 1] !== undefined && entries[old + 1]!.at < at - KEPT) old++;
    if (old > 0) entries.splice(0, old);
  }

  /** For how long there is a history, in milliseconds. */
  get length(): number {
    return (this.#entries.at(-1)?.at ?? 0) - (this.#entries[0]?.at ?? 0);
  }

  /** The rate of all paths, from `from` to `until` milliseconds ago. */
  rate(from: number, until = 0): number {
    return this.#between(from, until, ({ total }) => total);
  }

  /** The rate of one path. */
  rateOf(path: string, from: number, until = 0): number {
    return this.#between(from, until, ({ byPath }) => byPath.get(path) ?? 0);
  }

  #between(from: number, until: number, value: (entry: Entry) => number): number {
    const last = this.#entries.at(-1);
    if (last === undefined) return 0;
    const begin = this.#nearest(last.at - from);
    const end = this.#nearest(last.at - until);
    const time = end.at - begin.at;
    return time <= 0 ? 0 : Math.max(0, value(end) - value(begin)) / time;
  }

  /** The newest entry that is not younger, or the oldest there is. */
  #nearest(at: number): Entry {
    const entries = this.#entries;
    let i = entries.length - 1;
    while (i > 0 && entries[i]!.at > at) i--;
    return entries[i]!;
  }
}

/** A rate in words: "94 Mbit/s". */
export function rateText(bytesPerMillisecond: number): string {
  const rate = bytesPerMillisecond * 8 / 1000;
  return `${rate < 10 ? rate.toFixed(1) : rate.toFixed(0)} Mbit/s`;
}
