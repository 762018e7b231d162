/**
 * `deno bench` for Bun: `bun bench/bun_runner.ts [--json] [--filter TEXT] FILE...` runs the benchmarks
 * that the files register and prints a table, or JSON of the same form.
 *
 * @module
 */

import { cpus } from "node:os";
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Bench, type Statistics } from "tinybench";
import { type Benchmark, registered } from "./suite.ts";

/** What `deno bench --json` says of a run, times in nanoseconds. */
interface Times {
  readonly n: number;
  readonly min: number;
  readonly max: number;
  readonly avg: number;
  readonly p75: number;
  readonly p99: number;
  readonly p995: number;
  readonly p999: number;
  readonly highPrecision: boolean;
  readonly usedExplicitTimers: boolean;
}

/** What it says of a benchmark. */
interface Report {
  readonly origin: string;
  readonly group: string;
  readonly name: string;
  readonly baseline: boolean;
  readonly results: readonly ({ readonly ok: Times } | { readonly failed: string })[];
}

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    filter: { type: "string", default: "" },
  },
});

const runtime = `Bun/${process.versions["bun"]} ${process.arch}-${process.platform}`;
const cpu = cpus()[0]?.model ?? "unknown";
const benches: Report[] = [];

if (!options.json) console.log(`cpu: ${cpu}\nruntime: ${runtime}`);
for (const file of files) await runSuite(pathToFileURL(resolve(file)).href);
if (options.json) console.log(JSON.stringify({ version: 1, runtime, cpu, benches }, null, 2));
// Servers that the suites have started and connections that they hold would go on.
process.exit(benches.some(({ results }) => "failed" in results[0]!) ? 1 : 0);

async function runSuite(origin: string): Promise<void> {
  await import(origin);
  if (!options.json) console.log(`\n${origin}`);
  for (const benchmark of registered.splice(0)) {
    if (!benchmark.name.includes(options.filter)) continue;
    const { name, group, baseline } = benchmark;
    const report = { origin, group, name, baseline, results: [await measure(benchmark)] };
    benches.push(report);
    if (!options.json) console.log(formatReport(report));
  }
}

async function measure({ name, fn }: Benchmark): Promise<Report["results"][number]> {
  const bench = new Bench({ name });
  bench.add(name, fn);
  const [task] = await bench.run();
  const { result } = task!;
  if (result.state === "errored") return { failed: String(result.error) };
  if (result.state !== "completed") return { failed: result.state };
  return { ok: toTimes(result.latency) };
}

/** From milliseconds. */
function toTimes({ samplesCount, min, max, mean, p75, p99, p995, p999 }: Statistics): Times {
  return {
    n: samplesCount,
    min: min * 1e6,
    max: max * 1e6,
    avg: mean * 1e6,
    p75: p75 * 1e6,
    p99: p99 * 1e6,
    p995: p995 * 1e6,
    p999: p999 * 1e6,
    highPrecision: true,
    usedExplicitTimers: false,
  };
}

function formatReport({ group, name, results: [result] }: Report): string {
  const label = `${group}: ${name}`.padEnd(72);
  if ("failed" in result!) return `${label} failed: ${result.failed}`;
  const { avg, p75, p99 } = result!.ok;
  return `${label} ${microseconds(avg)}  p75 ${microseconds(p75)}  p99 ${microseconds(p99)}`;
}

function microseconds(nanoseconds: number): string {
  return `${(nanoseconds / 1e3).toFixed(1)} µs`.padStart(11);
}
