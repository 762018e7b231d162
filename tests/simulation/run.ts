/**
 * Runs seeded schedules: `deno task test:simulation --seeds 10000`, `--seconds 60`, `--seed N` for one
 * alone, `--scenario NAME` for one kind.
 *
 * @module
 */

import { parseArgs } from "node:util";
import process from "node:process";
import { runSeed, runSeeds } from "./seeds.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    seconds: { type: "string" },
    first: { type: "string", default: "1" },
    scenario: { type: "string" },
  },
});

if (values.seed !== undefined) {
  const outcome = await runSeed(Number(values.seed), values.scenario);
  console.log(outcome.failure === null ? "passed" : outcome.failure, outcome);
  process.exit(outcome.failure === null ? 0 : 1);
} else {
  const summary = await runSeeds({
    first: Number(values.first),
    seeds: values.seeds === undefined ? Infinity : Number(values.seeds),
    seconds: values.seconds === undefined ? (values.seeds ? Infinity : 10) : Number(values.seconds),
    scenario: values.scenario,
  });
  const { count, seconds, steps, failures } = summary;
  const rate = Math.round(count / seconds);
  console.log(
    `${count} schedules, ${steps} steps in ${seconds.toFixed(1)} s: ${rate} schedules a second`,
  );
  for (const { seed, scenario, failure } of failures) {
    console.error(`seed ${seed} (${scenario}): ${failure}`);
    console.error(`  again: deno task test:simulation --seed ${seed}`);
  }
  process.exit(failures.length === 0 ? 0 : 1);
}
