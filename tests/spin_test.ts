import { assert, assertEquals } from "@std/assert";
import { Spin } from "../src/poll/spin.ts";
import { test } from "./harness.ts";

const SHORT = 0.02;
const LONG = 5;

/** Waits that looking does not help, until there is no more of it; how many it took. */
function missUntilAsleep(spin: Spin, sleep: number): number {
  let misses = 0;
  while (spin.looks > 0) {
    spin.onSlept(sleep);
    misses++;
  }
  return misses;
}

/** Sleeps until there is another try; how many it took. */
function sleepUntilTry(spin: Spin): number {
  let sleeps = 0;
  while (spin.looks === 0) {
    spin.onSlept(SHORT);
    sleeps++;
  }
  return sleeps;
}

test("looking is kept up while it finds events", () => {
  const spin = new Spin();
  for (let i = 0; i < 100; i++) {
    spin.onSlept(SHORT);
    spin.onFound();
  }
  assert(spin.looks > 0);
});

test("looking ends after three misses in a row, and one miss after another try", () => {
  const spin = new Spin();
  assertEquals(missUntilAsleep(spin, SHORT), 3);
  sleepUntilTry(spin);
  assertEquals(missUntilAsleep(spin, SHORT), 1);
});

test("after long sleeps looking is not tried", () => {
  const spin = new Spin();
  missUntilAsleep(spin, LONG);
  for (let i = 0; i < 10_000; i++) spin.onSlept(LONG);
  assertEquals(spin.looks, 0);
});

test("looking is tried after short sleeps, less often each time that it fails", () => {
  const spin = new Spin();
  const tries = Array.from({ length: 8 }, () => {
    missUntilAsleep(spin, SHORT);
    return sleepUntilTry(spin);
  });
  assertEquals(tries, [4, 8, 16, 32, 64, 128, 256, 256]);
  spin.onFound();
  missUntilAsleep(spin, SHORT);
  assertEquals(sleepUntilTry(spin), 4);
});

test("after a long sleep no look at all pays, until a short one", () => {
  const spin = new Spin();
  missUntilAsleep(spin, LONG);
  spin.onSlept(LONG);
  assert(spin.isPointless);
  spin.onSlept(SHORT);
  assert(!spin.isPointless);
});
