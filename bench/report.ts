/**
 * From results to ratios, tables and JSON.
 *
 * @module
 */

import { type Implementation, IMPLEMENTATIONS, type Runtime } from "./programs.ts";
import type { Result, Row } from "./rows.ts";

/** The runs of one row, in the order of the rounds; `null` where one failed. */
export type Results = Partial<Record<Implementation, (Result | null)[]>>;

/** A comparison of two implementations in the same rounds. */
export interface Ratio {
  /** Median of the rounds' ratios. */
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
  /** Median of the ratios of server CPU time per operation or byte. */
  readonly cpu: number | null;
}

/** A row with what came out. */
export interface RowReport {
  readonly runtime: Runtime;
  readonly row: Row;
  readonly results: Results;
}

/** The part of the load generator's time above which it, and not the server, is the limit. */
const LOAD_LIMIT = 0.95;

/** The middle one, or the mean of both. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A ratio; two that take no time at all are alike. */
function divide(ours: number, theirs: number): number {
  return ours === theirs ? 1 : ours / theirs;
}

/** Compares round by round: what the machine does meanwhile hits both alike. */
export function compare(
  { row, results }: RowReport,
  subject: Implementation,
  base: Implementation,
): Ratio | null {
  const { metric, connections } = row;
  const values: number[] = [];
  const cpus: number[] = [];
  for (const [i, theirs] of (results[base] ?? []).entries()) {
    const ours = results[subject]?.[i];
    if (ours == null || theirs == null) continue;
    values.push(divide(metric.value(ours, connections), metric.value(theirs, connections)));
    if (metric.cpu !== undefined) cpus.push(divide(metric.cpu(ours), metric.cpu(theirs)));
  }
  if (values.length === 0) return null;
  return {
    median: median(values),
    lowest: Math.min(...values),
    highest: Math.max(...values),
    cpu: cpus.length === 0 ? null : median(cpus),
  };
}

/** The median value of one implementation. */
export function absolute({ row, results }: RowReport, of: Implementation): number | null {
  const values = (results[of] ?? []).filter((result) => result !== null)
    .map((result) => row.metric.value(result, row.connections));
  return values.length === 0 ? null : median(values);
}

const COLUMNS = ["row", "native", "goal", "tcp/native", "cpu", "mptcp/wrapper", "cpu"] as const;

/** The heading of a table. */
export function formatHeading(): string {
  return formatLine([...COLUMNS]);
}

/** One line of a table. `!` marks a goal that was missed, `~` a load that was itself the limit. */
export function formatRow(report: RowReport): string {
  const { row, runtime } = report;
  const native = absolute(report, "native");
  const tcp = compare(report, "tcp", "native");
  const mptcp = compare(report, "mptcp", "wrapper");
  const goal = row.goal[runtime];
  return formatLine([
    row.title,
    native === null ? "" : `${formatNumber(native)} ${row.metric.unit}`,
    `${row.metric.lowerIsBetter ? "<=" : ">="} ${goal}`,
    formatRatio(tcp) + mark(tcp, row, goal) + (isLimitedByLoad(report) ? "~" : ""),
    formatCpu(tcp),
    formatRatio(mptcp) + mark(mptcp, row, 1),
    formatCpu(mptcp),
  ]);
}

function isLimitedByLoad({ results }: RowReport): boolean {
  return IMPLEMENTATIONS.some((implementation) => {
    const runs = (results[implementation] ?? []).filter((result) => result !== null);
    return runs.length > 0 &&
      median(runs.map(({ loadCpu, seconds }) => loadCpu / seconds)) > LOAD_LIMIT;
  });
}

function mark(ratio: Ratio | null, { metric }: Row, goal: number): string {
  if (ratio === null) return "";
  return (metric.lowerIsBetter ? ratio.median <= goal : ratio.median >= goal) ? "" : " !";
}

function formatRatio(ratio: Ratio | null): string {
  if (ratio === null) return "";
  const { median, lowest, highest } = ratio;
  return `${median.toFixed(2)} (${lowest.toFixed(2)}-${highest.toFixed(2)})`;
}

function formatCpu(ratio: Ratio | null): string {
  return ratio?.cpu == null ? "" : ratio.cpu.toFixed(2);
}

function formatNumber(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}

const WIDTHS = [50, 14, 8, 22, 6, 22, 6];

function formatLine(cells: string[]): string {
  return cells.map((cell, i) => cell.padEnd(WIDTHS[i]!)).join("").trimEnd();
}

/** What `--json` writes of a row: all results, and the ratios to the native sockets. */
export function toJson(report: RowReport): unknown {
  const { row, runtime, results } = report;
  return {
    runtime,
    row: row.name,
    unit: row.metric.unit,
    goal: row.goal[runtime],
    medians: perImplementation((implementation) => absolute(report, implementation)),
    ratiosToNative: perImplementation((implementation) =>
      compare(report, implementation, "native")
    ),
    ratioToWrapper: compare(report, "mptcp", "wrapper"),
    results,
  };
}

function perImplementation<T>(of: (implementation: Implementation) => T): Record<string, T> {
  return Object.fromEntries(
    IMPLEMENTATIONS.map((implementation) => [implementation, of(implementation)]),
  );
}
