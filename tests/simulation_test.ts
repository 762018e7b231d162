/**
 * Seeded schedules in the simulated kernel, the short form: `deno task test:simulation` runs as many as
 * there is time for.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { test } from "./harness.ts";
import { scenarios } from "./simulation/scenarios/mod.ts";
import { runSeed, runSeeds } from "./simulation/seeds.ts";

/** Schedules of each kind. */
const SEEDS = 50;

for (const scenario of Object.keys(scenarios)) {
  test(`${SEEDS} seeded schedules of ${scenario} go as they should`, async () => {
    const { failures } = await runSeeds({ seeds: SEEDS, seconds: Infinity, scenario });
    const told = failures.map(({ seed, failure }) => `seed ${seed}: ${failure}`);
    assertEquals(told, [], "deno task test:simulation --seed N runs it again");
  });
}

test("two runs of a seed make the same calls in the same order", async () => {
  for (const scenario of Object.keys(scenarios)) {
    for (const seed of [1001, 1002, 1003]) {
      const [first, second] = [await runSeed(seed, scenario), await runSeed(seed, scenario)];
      assertEquals(second.result, first.result, `${scenario}, seed ${seed}`);
    }
  }
});
