import { assertEquals } from "@std/assert";
import { StagedWaker, type Waker } from "../ffi/waker.ts";
import { test } from "./harness.ts";

/** A waker that tells what is asked of it. */
class ToldWaker implements Waker {
  readonly settleTurns = 0;
  readonly told: string[];
  readonly wake: () => void;
  readonly #name: string;

  constructor(name: string, told: string[], wake: () => void) {
    this.#name = name;
    this.told = told;
    this.wake = wake;
  }

  arm(ref: boolean): void {
    this.told.push(`${this.#name} armed ${ref}`);
  }

  disarm(): void {
    this.told.push(`${this.#name} disarmed`);
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }
}

test("a waker that is replaced is disarmed, also after it has called for no reason", async () => {
  const told: string[] = [];
  const better = Promise.withResolvers<Waker>();
  let first!: ToldWaker;
  const staged = new StagedWaker(
    () => told.push("woken"),
    (wake) => first = new ToldWaker("first", told, wake),
    { waits: 1 },
    () => better.promise,
  );
  staged.arm(true);
  // A thread that has not begun to wait in time: a timer looks, and the wait is still outstanding.
  first.wake();
  better.resolve(new ToldWaker("second", told, () => {}));
  await better.promise;
  await Promise.resolve();
  assertEquals(told, ["first armed true", "woken", "first disarmed"]);
  staged.arm(false);
  assertEquals(told.at(-1), "second armed false");
});

test("a waker that is replaced while armed hands the wait over", async () => {
  const told: string[] = [];
  const better = Promise.withResolvers<Waker>();
  const staged = new StagedWaker(
    () => {},
    (wake) => new ToldWaker("first", told, wake),
    { waits: 1 },
    () => better.promise,
  );
  staged.arm(true);
  better.resolve(new ToldWaker("second", told, () => {}));
  await better.promise;
  await Promise.resolve();
  assertEquals(told, ["first armed true", "first disarmed", "second armed true"]);
});
