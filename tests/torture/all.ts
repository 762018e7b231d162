/**
 * All the rows of the contract and all their faults, or a sample of these.
 *
 * @module
 */

import { Random } from "../simulation/random.ts";
import { allCases, type Fault, faultsOf, isExpected, runCase } from "./torture.ts";

/** Which rows, and how many faults of each. */
export interface TortureOptions {
  /** What the name of a row has in it. */
  readonly text?: string;
  /** How many of the rows, in percent, chosen by the seed. */
  readonly percent?: number;
  /** Faults of each row at most, chosen by the seed. */
  readonly most?: number;
  readonly seed?: number;
}

/** What came of it. */
export interface TortureReport {
  readonly cases: number;
  readonly faults: number;
  /** Faults that the row has failed by. */
  readonly shown: number;
  readonly problems: readonly string[];
}

/** Problems after which there is an end of it. */
const MAX_PROBLEMS = 20;

/** Runs them. */
export async function torture(options: TortureOptions = {}): Promise<TortureReport> {
  const { text = "", percent = 100, most = Infinity, seed = 1 } = options;
  const random = new Random(seed);
  const cases = allCases().filter(({ name }) => name.includes(text) && random.percent(percent));
  const problems: string[] = [];
  let count = 0;
  let shown = 0;
  for (const one of cases) {
    if (problems.length >= MAX_PROBLEMS) break;
    const { problem, calls } = await runCase(one, null);
    if (problem !== null) {
      problems.push(`${one.name}: without a fault: ${problem}`);
      continue;
    }
    for (
      const fault of choose(
        faultsOf(calls).filter((fault) => !isExpected(one, fault)),
        most,
        random,
      )
    ) {
      count++;
      const verdict = await runCase(one, fault);
      if (verdict.hasFailed) shown++;
      if (verdict.problem === null) continue;
      const { call, index, errno } = fault;
      problems.push(`${one.name}: ${call} (call ${index}) fails with ${errno}: ${verdict.problem}`);
    }
  }
  return { cases: cases.length, faults: count, shown, problems };
}

function choose(faults: readonly Fault[], most: number, random: Random): Fault[] {
  if (faults.length <= most) return [...faults];
  const left = [...faults];
  return Array.from({ length: most }, () => left.splice(random.int(0, left.length - 1), 1)[0]!);
}
