/**
 * The figures of long runs: as text, and for the documentation.
 *
 * @module
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { LIMITS, type Quantity, type Sample, trendsOf } from "./samples.ts";
import type { Result } from "./subject.ts";

/** What one run has shown. */
export interface Saved {
  readonly runtime: string;
  /** How long it was to be: "connections 200000". */
  readonly mode: string;
  readonly samples: readonly Sample[];
  readonly result: Result;
  readonly flaps: number;
  /** Processes of clients that were killed. */
  readonly killed: number;
  /** Mappings that the kernel found to contradict others. */
  readonly mismatches: number;
}

/** Why a run failed; none if it did not. */
export function problemsOf({ samples, result, mismatches }: Saved): string[] {
  const problems = trendsOf(samples)
    .filter(({ isFlat }) => !isFlat)
    .map(({ quantity, growth, limit }) =>
      `${quantity} grew by ${amount(quantity, growth)}, ${amount(quantity, limit)} are allowed`
    );
  for (const [kind, count] of Object.entries(result.errors)) {
    const isKernels = kind.endsWith("WRONG_BYTE") && result.wrongTcp === 0 && mismatches > 0;
    if (!isKernels) problems.push(`${count} times: ${kind}`);
  }
  return problems;
}

const FOLDER = fileURLToPath(new URL("../../docs/", import.meta.url));
const DATA = `${FOLDER}long-runs.json`;
const PAGE = `${FOLDER}long-runs.md`;

const NAMES: Readonly<Record<Quantity, string>> = {
  rss: "RSS, MiB",
  heap: "Heap, MiB",
  descriptors: "Descriptors",
  timers: "Timers",
};

function amount(quantity: Quantity, value: number): string {
  return quantity === "rss" || quantity === "heap"
    ? (value / 2 ** 20).toFixed(1)
    : value.toFixed(value % 1 === 0 ? 0 : 1);
}

/** A run in Markdown. */
export function show(saved: Saved): string {
  const { runtime, mode, samples, result, flaps, killed, mismatches } = saved;
  const problems = problemsOf(saved);
  const { seconds, connections, victims, wrong, connect, roundTrip, ways } = result;
  const errors = Object.values(result.errors).reduce((sum, count) => sum + count, 0);
  const perSecond = Math.round(connections / seconds);
  const quantities = Object.keys(LIMITS) as Quantity[];
  const rows = samples.filter((_, i) => i % Math.ceil(samples.length / 10) === 0)
    .concat(samples.at(-1) ?? []);
  return [
    `## ${runtime}, ${mode}`,
    "",
    `- ${connections} connections in ${seconds.toFixed(0)} s (${perSecond} a second), ` +
    `${victims} of them by ${killed} processes that were killed; ${flaps} cuts of the second path.`,
    `- ${errors} errors, ${wrong} wrong bytes; the kernel counted ${mismatches} mappings that do not match.`,
    `- Connecting took ${time(connect)}, a round trip ${time(roundTrip)}.`,
    `- Result: ${problems.length === 0 ? "passed" : problems.join("; ")}.`,
    "",
    ...table(
      ["Seconds", "Connections", ...quantities.map((quantity) => NAMES[quantity])],
      [...new Set(rows)].map((sample) => [
        sample.seconds.toFixed(0),
        String(sample.connections),
        ...quantities.map((quantity) => amount(quantity, sample[quantity])),
      ]),
    ),
    "",
    ...table(
      ["After the warm-up", "Growth", "Allowed", "For each connection"],
      trendsOf(samples).map(({ quantity, growth, limit, perConnection }) => [
        NAMES[quantity],
        amount(quantity, growth),
        amount(quantity, limit),
        quantity === "rss" || quantity === "heap"
          ? `${perConnection.toFixed(1)} bytes`
          : perConnection.toExponential(1),
      ]),
    ),
    "",
    ...table(
      ["How connections and requests were used and ended", "Times"],
      Object.entries(ways).toSorted(([, a], [, b]) => b - a)
        .map(([name, count]) => [name, String(count)]),
    ),
    "",
  ].join("\n");
}

function time([median, late]: readonly [number, number]): string {
  return `${median.toFixed(1)} ms (p50), ${late.toFixed(1)} ms (p99)`;
}

function table(head: string[], rows: string[][]): string[] {
  const line = (cells: string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}

/** Puts a run into the documentation, in the place of the last of its kind. */
export function save(saved: Saved): void {
  const known = existsSync(DATA) ? JSON.parse(readFileSync(DATA, "utf8")) as Saved[] : [];
  const others = known.filter(({ runtime, mode }) =>
    runtime !== saved.runtime || mode !== saved.mode
  );
  const all = [...others, saved].toSorted((a, b) =>
    `${a.mode} ${a.runtime}` < `${b.mode} ${b.runtime}` ? -1 : 1
  );
  writeFileSync(DATA, `${JSON.stringify(all)}\n`);
  const { rss, heap, descriptors } = LIMITS;
  writeFileSync(
    PAGE,
    [
      "# Long runs",
      "",
      "For people who want to know whether anything grows. `deno task test:long --save` writes this page; [testing.md](testing.md) says what it does.",
      "",
      `Linux ${release()}, ${process.arch}. The machine had 2 cores that other work kept busy, so the times say little about speed. ` +
      `A run fails on any error, on any wrong byte, and when, after the first quarter, a straight line through the samples rises by more than ` +
      `${heap.perConnection} bytes of heap (or ${heap.noise / 2 ** 20} MiB in all) or ` +
      `${rss.perConnection} bytes of RSS (or ${
        rss.noise / 2 ** 20
      } MiB in all) for each connection, or when the least number of descriptors or timers rises by more than ${descriptors.noise}.`,
      "",
      ...all.map(show),
    ].join("\n"),
  );
}
