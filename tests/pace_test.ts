import { assert, assertEquals } from "@std/assert";
import { Pace, type Step, type Waiters } from "../src/poll/pace.ts";
import { test } from "./harness.ts";

const ONE: Waiters = { refed: 1, unrefed: 0, hasDeferred: false };
const UNREFED: Waiters = { refed: 0, unrefed: 1, hasDeferred: false };
const NOBODY: Waiters = { refed: 0, unrefed: 0, hasDeferred: false };

/** One look at the epoll, and the step after it. */
function look(pace: Pace, waiters: Waiters, events = 0): Step {
  pace.onLook(events, false);
  pace.onTold(waiters);
  return pace.next(waiters);
}

/** Looks in vain before the sleep. */
function looksBeforeSleep(pace: Pace, waiters: Waiters): number {
  for (let looks = 1; looks < 1000; looks++) {
    if (look(pace, waiters) === "sleep") return looks;
  }
  throw new Error("It never slept");
}

test("operations may be tried until the budget is used up, and again after the next look", () => {
  const pace = new Pace();
  const tries = () => {
    for (let count = 0;; count++) if (!pace.mayTry()) return count;
  };
  const first = tries();
  assert(first > 10 && first < 10_000, `${first}`);
  assertEquals(tries(), 0);
  look(pace, ONE);
  assertEquals(tries(), first);
  look(pace, ONE, 100);
  assert(tries() >= first + 100, "each event should add to the budget");
});

test("a few looks in vain come before a sleep, and an event starts their count again", () => {
  const pace = new Pace();
  const looks = looksBeforeSleep(pace, ONE);
  assert(looks > 1, `${looks}`);
  pace.onWake(0.02, 0);
  for (let i = 0; i < looks - 1; i++) assertEquals(look(pace, ONE), "look");
  assertEquals(look(pace, ONE, 1), "look");
  assertEquals(looksBeforeSleep(pace, ONE), looks);
});

test("where sleeps are long there is no look before the next", () => {
  const pace = new Pace();
  for (let i = 0; i < 10; i++) {
    looksBeforeSleep(pace, ONE);
    pace.onSleep();
    pace.onWake(5, 0);
  }
  assert(pace.isSlow);
  assertEquals(look(pace, ONE, 1), "sleep");
  assert(pace.mayAnswer);
});

test("turns that the waker must rest for are skipped, not looked in", () => {
  const pace = new Pace();
  for (let i = 0; i < 10; i++) pace.onWake(5, 2);
  assertEquals([look(pace, ONE, 1), pace.next(ONE), pace.next(ONE)], ["skip", "skip", "sleep"]);
});

test("waits that keep no process alive end its looks, even while events come", () => {
  const pace = new Pace();
  let looks = 1;
  while (look(pace, UNREFED, 1) === "look") looks++;
  assert(looks > 1 && looks < 100, `${looks}`);
});

test("when nobody waits there are looks only right after an event", () => {
  const pace = new Pace();
  assertEquals(look(pace, NOBODY), "sleep");
  assertEquals(look(pace, NOBODY, 1), "look");
  looksBeforeSleep(pace, NOBODY);
});

test("data gathers while it only comes in, but not while something is deferred", () => {
  const pace = new Pace();
  for (let i = 0; i < 1000; i++) pace.onReceived(100, 1024);
  assertEquals(look(pace, { ...ONE, hasDeferred: true }), "look");
  assertEquals(look(pace, ONE), "pause");
  pace.onSent();
  assertEquals(look(pace, ONE), "look");
});
