/**
 * The page of the grid: what was measured, and where the goals are missed.
 *
 * @module
 */

import { median } from "../report.ts";
import { type CellResult, type Grid, keyOf } from "./grid_cells.ts";

/** A ratio to TCP on the best path that is no loss. */
export const NEVER_SLOWER = 0.97;
/** Where the kernel alone gets this much more than TCP, the policy has to get `AGGREGATES`. */
export const KERNEL_AGGREGATES = 1.1;
export const AGGREGATES = 1.05;

/** The ratios of a cell to TCP on the best path: of MPTCP alone, of the first transfer with the policy, of later ones. */
export interface Ratios {
  readonly alone: number;
  readonly first: number;
  readonly policy: number;
}

/** The medians of a cell, as parts of TCP's. */
export function ratiosOf({ tcp, alone, first, policy }: CellResult): Ratios {
  const best = median(tcp);
  return {
    alone: median(alone) / best,
    first: median(first) / best,
    policy: median(policy) / best,
  };
}

/** What a cell misses; empty where it misses nothing. */
export function missesOf(cell: CellResult): string[] {
  const { alone, first, policy } = ratiosOf(cell);
  const goal = alone >= KERNEL_AGGREGATES ? AGGREGATES : NEVER_SLOWER;
  const misses = [];
  if (first < goal) misses.push(`first transfer ${first.toFixed(2)} of ${goal}`);
  if (policy < goal) misses.push(`later transfers ${policy.toFixed(2)} of ${goal}`);
  return misses;
}

/** A cell as one line. */
export function summaryLine(cell: CellResult): string {
  const { alone, first, policy } = ratiosOf(cell);
  const misses = missesOf(cell);
  const figures = `TCP ${median(cell.tcp).toFixed(1)}  alone ${alone.toFixed(2)}  first ${
    first.toFixed(2)
  }  policy ${policy.toFixed(2)}`;
  return `${keyOf(cell).padEnd(42)} ${figures}${misses.length > 0 ? "  MISSED" : ""}`;
}

/** The whole page. */
export function gridPage(grid: Grid): string {
  const groups = Map.groupBy(
    grid.cells,
    ({ load, program, side, congestion, seconds }) =>
      [load, program, side, congestion, seconds].join(" "),
  );
  const missed = grid.cells.filter((cell) => missesOf(cell).length > 0);
  return [
    "# A second path, from 1 to 100 Mbit/s",
    "",
    "This page is for people who want to know what a second path does to a transfer, with and without",
    "the policy of `managePaths`. It is generated:",
    "",
    "```sh",
    "deno task bench:multipath --grid            # measure; goes on where it was ended",
    "deno task bench:multipath --grid --publish  # write this page and the heat map",
    "```",
    "",
    "The first path carries 100 Mbit/s. Every figure is the goodput as a part of what TCP gets on the",
    "first path. *Alone*: MPTCP with both paths, and nothing that looks after them. *First*: with the",
    "policy `adaptive`, which knows nothing about the second path yet. *Later*: the transfer after that.",
    "Delays are one way. A load of requests is a response of 16 KiB after the other.",
    "",
    "![Goodput as a part of TCP's, MPTCP alone and with the policy](plots/grid.svg)",
    "",
    `Measured on ${grid.machine}, in network namespaces: ${grid.cells.length} cells, ` +
    `${
      grid.cells.length - missed.length
    } of them reach the goal: at least ${NEVER_SLOWER} of TCP, ` +
    `and at least ${AGGREGATES} where MPTCP alone gets ${KERNEL_AGGREGATES}.`,
    "",
    ...[...groups.values()].flatMap(groupTable),
    "## Cells that miss the goal",
    "",
    ...(missed.length === 0 ? ["None."] : missed.map(missedLine)),
    "",
  ].join("\n");
}

const PROGRAM_NAMES = { c: "C programs", deno: "Deno", bun: "Bun" } as const;

function groupTable(cells: readonly CellResult[]): string[] {
  const [{ load, program, side, congestion, seconds }] = cells as [CellResult];
  const what = load === "bulk" ? `transfers of ${seconds} s` : "requests and responses";
  const order = (cell: CellResult) => cell.rate + 1000 * Number(cell.delays.replace("/", ""));
  const sorted = cells.toSorted((a, b) => order(a) - order(b));
  const delays = [...new Set(sorted.map((cell) => cell.delays))];
  const rates = [...new Set(sorted.map((cell) => cell.rate))].toSorted((a, b) => a - b);
  const cellOf = (delay: string, rate: number) => {
    const cell = sorted.find((cell) => cell.delays === delay && cell.rate === rate);
    if (cell === undefined) return "";
    const { alone, first, policy } = ratiosOf(cell);
    const text = `${alone.toFixed(2)} / ${first.toFixed(2)} / ${policy.toFixed(2)}`;
    return missesOf(cell).length > 0 ? `**${text}**` : text;
  };
  return [
    `## ${PROGRAM_NAMES[program]}, ${what}, ${congestion}, policy at the ${side}`,
    "",
    "Alone / first / later, as parts of TCP's goodput on the first path; bold where the goal is missed.",
    "",
    `| delays, ms | ${rates.map((rate) => `100 + ${rate}`).join(" | ")} |`,
    `|---|${rates.map(() => "---|").join("")}`,
    ...delays.map((delay) =>
      `| ${delay} | ${rates.map((rate) => cellOf(delay, rate)).join(" | ")} |`
    ),
    "",
  ];
}

function missedLine(cell: CellResult): string {
  const { program, side, congestion, seconds, delays, rate, load, reasons } = cell;
  const decided = reasons.filter((reason) => !reason.includes(" add: ")).at(-1);
  return `- ${load}, ${program}, ${side}, ${congestion}, ${seconds} s, ${delays} ms, 100 + ${rate}: ${
    missesOf(cell).join("; ")
  }${decided === undefined ? "" : ` (last decision: ${decided})`}`;
}
