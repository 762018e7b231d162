/**
 * Benchmarks that either runtime runs: Deno by `deno bench`, Bun by `bun_runner.ts`.
 *
 * @module
 */

/** A benchmark as `Deno.bench` takes it. */
export interface Benchmark {
  readonly name: string;
  readonly group: string;
  /** Whether the others of the group are compared with it. */
  readonly baseline: boolean;
  fn(): Promise<void>;
}

/** What was registered where the runtime does not run benchmarks itself. */
export const registered: Benchmark[] = [];

const { Deno } = globalThis as { Deno?: { bench(benchmark: Benchmark): void } };

/** Registers a benchmark. */
export const bench: (benchmark: Benchmark) => void = Deno === undefined
  ? (benchmark) => void registered.push(benchmark)
  : Deno.bench;
