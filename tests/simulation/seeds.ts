/**
 * Running schedules by their seeds, alone and by the thousand.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import process from "node:process";
import { scenarios } from "./scenarios/mod.ts";
import { type Fixed, type Result, Simulation } from "./simulation.ts";

/** What came of a seed. */
export interface Outcome {
  readonly seed: number;
  readonly scenario: string;
  readonly result: Result | null;
  /** `null` where nothing went wrong. */
  readonly failure: unknown;
}

/** What there was of many. */
export interface Summary {
  readonly count: number;
  readonly seconds: number;
  readonly steps: number;
  readonly failures: readonly Outcome[];
}

/** What to run, and for how long. */
export interface SeedsOptions {
  readonly first?: number;
  readonly seeds: number;
  readonly seconds: number;
  readonly scenario?: string | undefined;
  /** Failures after which there is an end of it. */
  readonly maxFailures?: number;
}

/** Schedules in one macrotask. */
const BATCH = 16;

const names = Object.keys(scenarios);

function nameOf(seed: number): string {
  return names[seed % names.length]!;
}

/** Things that modules of this project remember for good are remembered before the first schedule. */
const warm = inMacrotask(() => attempt(0, "exchange", { network: { stripsMptcp: true } }));

function attempt(seed: number, scenario: string, fixed: Fixed = {}): Outcome {
  try {
    const result = new Simulation(seed, fixed).run(scenarios[scenario]!);
    return { seed, scenario, result, failure: null };
  } catch (failure) {
    return { seed, scenario, result: null, failure };
  }
}

/** Runs one schedule. */
export async function runSeed(
  seed: number,
  scenario: string = nameOf(seed),
  fixed: Fixed = {},
): Promise<Outcome> {
  await warm;
  let unhandled: unknown = null;
  const outcome = await watchRejections(
    () => inMacrotask(() => attempt(seed, scenario, fixed)),
    (reason) => unhandled ??= reason ?? "undefined",
  );
  return unhandled === null || outcome.failure !== null
    ? outcome
    : { ...outcome, failure: new Error("A rejection was not handled", { cause: unhandled }) };
}

/** Runs many schedules, each of which a seed makes. */
export async function runSeeds(options: SeedsOptions): Promise<Summary> {
  await warm;
  const { first = 1, seeds, seconds, scenario, maxFailures = 1 } = options;
  const began = performance.now();
  const failures: Outcome[] = [];
  let count = 0;
  let steps = 0;
  const elapsed = () => (performance.now() - began) / 1000;
  while (count < seeds && elapsed() < seconds && failures.length < maxFailures) {
    const from = first + count;
    const batch = Math.min(BATCH, seeds - count);
    let isUnhandled = false;
    const outcomes = await watchRejections(() =>
      inMacrotask(() => {
        const done: Outcome[] = [];
        for (let seed = from; seed < from + batch; seed++) {
          const outcome = attempt(seed, scenario ?? nameOf(seed));
          done.push(outcome);
          // What it has left behind would be in the way of the next.
          if (outcome.failure !== null) break;
        }
        return done;
      }), () => isUnhandled = true);
    for (const outcome of outcomes) {
      steps += outcome.result?.steps ?? 0;
      if (outcome.failure !== null) failures.push(outcome);
    }
    if (isUnhandled && failures.length === 0) {
      for (const { seed, scenario } of outcomes) {
        const again = await runSeed(seed, scenario);
        if (again.failure !== null) failures.push(again);
      }
    }
    count += outcomes.length;
  }
  return { count, seconds: elapsed(), steps, failures };
}

function inMacrotask<T>(action: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(action());
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** Runs `action`; rejections that nobody has handled are told instead of ending the process. */
async function watchRejections<T>(
  action: () => Promise<T>,
  onUnhandled: (reason: unknown) => void,
): Promise<T> {
  process.on("unhandledRejection", onUnhandled);
  try {
    const value = await action();
    await inMacrotask(() => {});
    return value;
  } finally {
    process.off("unhandledRejection", onUnhandled);
  }
}
