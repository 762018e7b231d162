/**
 * The table on the terminal.
 *
 * @module
 */

import { medianOf, ratioToC, runsOf } from "./analysis.ts";
import { type Buffer, type Program, PROGRAMS, type Results, type Run } from "./results.ts";
import type { Scenario } from "./scenarios.ts";

const HEADING = ["", "", "", "Mbit/s", "gap", "CPU send", "receive", "MB by path", "busy"];
const WIDTHS = [34, 6, 9, 9, 11, 10, 9, 16, 6];

/** The heading of the lines of {@linkcode formatRun}. */
export function formatHeading(): string {
  return formatLine(HEADING);
}

/** One transfer. */
export function formatRun({ title }: Pick<Scenario, "title">, run: Run): string {
  return formatLine([
    title,
    run.program,
    run.buffer,
    run.goodput.toFixed(1),
    `${run.longestGap.toFixed(0)} ms`,
    `${run.cpu.sender.toFixed(0)} %`,
    `${run.cpu.receiver.toFixed(0)} %`,
    run.paths.map((bytes) => (bytes / 1e6).toFixed(1)).join(" + "),
    `${run.busy.toFixed(0)} %`,
  ]);
}

/** Medians, and beside them the ratios to the C program. */
export function formatTable({ scenarios }: Results): string {
  const lines = ["", formatLine(["medians", "", "", "Mbit/s", "of C", "gap", "CPU", ""])];
  for (const { title, runs } of scenarios) {
    for (const buffer of ["default", "raised"] as const) {
      for (const program of PROGRAMS) {
        const line = formatMedians(title, runs, program, buffer);
        if (line !== null) lines.push(line);
      }
    }
  }
  return lines.join("\n");
}

function formatMedians(
  title: string,
  all: readonly Run[],
  program: Program,
  buffer: Buffer,
): string | null {
  const runs = runsOf(all, program, buffer);
  if (runs.length === 0) return null;
  const ratio = ratioToC(all, program, buffer);
  return formatLine([
    title,
    program,
    buffer,
    medianOf(runs, ({ goodput }) => goodput)!.toFixed(1),
    program === "c" || ratio === null ? "" : ratio.toFixed(3),
    `${medianOf(runs, ({ longestGap }) => longestGap)!.toFixed(0)} ms`,
    `${medianOf(runs, ({ cpu }) => cpu.sender + cpu.receiver)!.toFixed(0)} %`,
  ]);
}

function formatLine(cells: readonly string[]): string {
  return cells.map((cell, i) => cell.padEnd(WIDTHS[i]!)).join("").trimEnd();
}
