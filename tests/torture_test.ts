/**
 * Single failing calls in the rows of the contract, a sample: `deno task test:torture` tries them all.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { test } from "./harness.ts";
import { torture } from "./torture/all.ts";

/** How many of the rows, in percent, how many faults of each, and which. */
const SAMPLE = { percent: 20, most: 3, seed: 16 };

const only = {
  runtime: "deno",
  reason: "bun:test fails a test for a rejection that is handled late, as some are in these rows",
} as const;

test("no call that fails in a row of the contract makes it hang, leak or lie", {
  long: true,
  only,
}, async () => {
  const { faults, shown, problems } = await torture(SAMPLE);
  assertEquals(problems, []);
  assert(faults > 80 && shown > 30, `${shown} of ${faults} faults were seen`);
});
