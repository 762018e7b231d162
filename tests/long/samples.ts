/**
 * What a process holds, and whether it grows.
 *
 * @module
 */

import { readdirSync } from "node:fs";
import process from "node:process";

/** What a process held at a moment when it had nothing to do. */
export interface Sample {
  /** Since the start. */
  readonly seconds: number;
  /** Connections made until then. */
  readonly connections: number;
  /** Bytes. */
  readonly rss: number;
  readonly heap: number;
  readonly descriptors: number;
  readonly timers: number;
}

/** What is measured of a process. */
export type Quantity = "rss" | "heap" | "descriptors" | "timers";

/** A bound on what may be added for each connection, and what may come and go by itself. */
interface Limit {
  readonly perConnection: number;
  readonly noise: number;
}

/** What may grow, by how much. */
export const LIMITS: Readonly<Record<Quantity, Limit>> = {
  rss: { perConnection: 100, noise: 24 * 2 ** 20 },
  heap: { perConnection: 20, noise: 4 * 2 ** 20 },
  descriptors: { perConnection: 0, noise: 2 },
  timers: { perConnection: 0, noise: 2 },
};

/** The part of the samples that is left out: caches fill, code is compiled. */
const WARM_UP = 0.25;

/** Collects what is garbage. */
export async function collect(): Promise<void> {
  const { gc, Bun } = globalThis as unknown as {
    gc?: () => void;
    Bun?: { gc(isSync: boolean): void };
  };
  for (let i = 0; i < 4; i++) {
    if (Bun !== undefined) Bun.gc(true);
    else gc?.();
    // Finalizers run in later turns.
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The open descriptors of this process. */
export function countDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

interface HeapStats {
  readonly objectTypeCounts: Readonly<Record<string, number>>;
  readonly heapSize: number;
}

const jsc = "bun:jsc";
const heapStats: (() => HeapStats) | null = "Bun" in globalThis
  ? (await import(jsc)).heapStats
  : null;

/** Bun tells of objects alone: those that are set are among them, and no others after a collection. */
function countTimers(): number {
  if (heapStats !== null) return heapStats().objectTypeCounts.Timeout ?? 0;
  return process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
}

/** What this process holds now. */
export async function takeSample(seconds: number, connections: number): Promise<Sample> {
  await collect();
  const { rss, heapUsed } = process.memoryUsage();
  return {
    seconds,
    connections,
    rss,
    heap: heapStats?.().heapSize ?? heapUsed,
    descriptors: countDescriptors(),
    timers: countTimers(),
  };
}

/** How a quantity changed. */
export interface Trend {
  readonly quantity: Quantity;
  /** By each connection. */
  readonly perConnection: number;
  /**
   * After the warm-up. Of memory, from the beginning to the end of a straight line through the samples.
   * What is counted goes back where it was, unless it leaks: so of that, from the least of the first
   * third to the least of the last.
   */
  readonly growth: number;
  readonly limit: number;
  readonly isFlat: boolean;
}

/** How all quantities changed after the warm-up. */
export function trendsOf(samples: readonly Sample[]): Trend[] {
  const warm = samples.slice(Math.ceil(samples.length * WARM_UP));
  const span = warm.length < 3 ? 0 : warm.at(-1)!.connections - warm[0]!.connections;
  return (Object.keys(LIMITS) as Quantity[]).map((quantity) => {
    const { perConnection: most, noise } = LIMITS[quantity];
    const isCounted = quantity === "descriptors" || quantity === "timers";
    const growth = span === 0
      ? 0
      : isCounted
      ? riseOfLeast(warm, quantity)
      : slopeOf(warm, quantity) * span;
    const perConnection = span === 0 ? 0 : growth / span;
    const limit = Math.max(noise, most * span);
    return { quantity, perConnection, growth, limit, isFlat: growth <= limit };
  });
}

function riseOfLeast(samples: readonly Sample[], quantity: Quantity): number {
  const third = Math.ceil(samples.length / 3);
  const least = (some: readonly Sample[]) => Math.min(...some.map((sample) => sample[quantity]));
  return least(samples.slice(-third)) - least(samples.slice(0, third));
}

/** Least squares. */
function slopeOf(samples: readonly Sample[], quantity: Quantity): number {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const x = samples.map(({ connections }) => connections);
  const y = samples.map((sample) => sample[quantity]);
  const [meanX, meanY] = [mean(x), mean(y)];
  const covariance = mean(x.map((value, i) => (value - meanX) * (y[i]! - meanY)));
  return covariance / mean(x.map((value) => (value - meanX) ** 2));
}

/** Durations, of which as many are kept as there is room for, each with the same chance. */
export class Durations {
  readonly #kept = new Float64Array(20_000);
  #count = 0;

  add(milliseconds: number): void {
    const { length } = this.#kept;
    const at = this.#count < length ? this.#count : Math.floor(Math.random() * this.#count);
    if (at < length) this.#kept[at] = milliseconds;
    this.#count++;
  }

  /** In milliseconds; NaN where there are none. */
  percentile(percent: number): number {
    const kept = this.#kept.subarray(0, Math.min(this.#count, this.#kept.length)).toSorted();
    return kept[Math.floor(kept.length * percent / 100)] ?? NaN;
  }
}
