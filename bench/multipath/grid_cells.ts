/**
 * The cells of the grid: one path of 100 Mbit/s and a second one, in all combinations that say something.
 *
 * @module
 */

import { type Program, PROGRAMS } from "./results.ts";

/** The rates of the second path, in Mbit/s. */
export const RATES = [1, 2, 5, 10, 25, 50, 100] as const;
/** One-way delays of the two paths, in milliseconds. */
export const DELAYS = ["0/0", "0/25", "0/100", "25/25"] as const;
/** The lengths of transfers, in seconds. */
export const LENGTHS = [2.5, 10] as const;
export const CONGESTIONS = ["cubic", "bbr"] as const;
/** Which end runs the policy. */
export const SIDES = ["sender", "receiver"] as const;
export const LOADS = ["bulk", "requests"] as const;

/** A cell of the grid. */
export interface Cell {
  readonly rate: number;
  readonly delays: string;
  readonly seconds: number;
  readonly congestion: string;
  readonly side: "sender" | "receiver";
  readonly load: "bulk" | "requests";
  /** What transfers, and what the policy runs on: for "c" that is Deno. */
  readonly program: Program;
}

/**
 * What was measured in a cell: Mbit/s, or responses a second.
 *
 * A policy remembers what it has learnt about a path: `first` is the transfer in which it learns it,
 * `policy` those that follow.
 */
export interface CellResult extends Cell {
  readonly tcp: readonly number[];
  readonly alone: readonly number[];
  readonly first: readonly number[];
  readonly policy: readonly number[];
  /** What the policy decided, in the first transfer. */
  readonly reasons: readonly string[];
}

/** The file. */
export interface Grid {
  readonly format: 1;
  readonly machine: string;
  readonly cells: readonly CellResult[];
}

/** What is wanted of each member; all where it is left out. */
export type Choice = Partial<Record<keyof Cell, string | undefined>>;

/** Names a cell. */
export function keyOf(cell: Cell): string {
  const { load, program, side, congestion, seconds, delays, rate } = cell;
  return [load, program, side, congestion, `${seconds}s`, delays, rate].join(" ");
}

/** The cells of the grid that are wanted. */
export function chooseCells(choice: Choice): Cell[] {
  const wanted = (name: keyof Cell, value: string | number) =>
    choice[name]?.split(",").includes(String(value)) ?? true;
  const cells: Cell[] = [];
  for (const load of LOADS) {
    for (const program of PROGRAMS) {
      // The load of requests has no program in C.
      if (load === "requests" && program === "c") continue;
      for (const side of SIDES) {
        for (const congestion of CONGESTIONS) {
          for (const seconds of load === "bulk" ? LENGTHS : [2.5]) {
            for (const delays of DELAYS) {
              for (const rate of RATES) {
                cells.push({ rate, delays, seconds, congestion, side, load, program });
              }
            }
          }
        }
      }
    }
  }
  return cells.filter((cell) =>
    (Object.keys(cell) as (keyof Cell)[]).every((name) => wanted(name, cell[name]))
  );
}
