import { assertEquals, assertThrows } from "@std/assert";
import { Durations, type Sample, trendsOf } from "./long/samples.ts";
import { Checker, stamped, WrongByte } from "./long/stamps.ts";
import { test } from "./harness.ts";

const MIB = 2 ** 20;

/** Samples of a run of 200 000 connections, in which what is held follows from their number. */
function samplesOf(held: (connections: number, i: number) => Partial<Sample>): Sample[] {
  return Array.from({ length: 20 }, (_, i) => {
    const connections = (i + 1) * 10_000;
    const flat = { rss: 90 * MIB, heap: 12 * MIB, descriptors: 30, timers: 3 };
    return { seconds: i, connections, ...flat, ...held(connections, i) };
  });
}

function grown(samples: Sample[]): string[] {
  return trendsOf(samples).filter(({ isFlat }) => !isFlat).map(({ quantity }) => quantity);
}

test("a long run notices what grows with the connections, and not what goes up and down", () => {
  assertEquals(grown(samplesOf(() => ({}))), []);
  assertEquals(grown(samplesOf((count) => ({ heap: 12 * MIB + 40 * count }))), ["heap"]);
  assertEquals(grown(samplesOf((count) => ({ rss: 90 * MIB + 400 * count }))), ["rss"]);
  assertEquals(grown(samplesOf((_, i) => ({ descriptors: 30 + i }))), ["descriptors"]);
  assertEquals(grown(samplesOf((_, i) => ({ timers: 3 + i }))), ["timers"]);
  assertEquals(grown(samplesOf((_, i) => ({ heap: (12 + i % 4) * MIB, timers: i % 3 }))), []);
  // What was not closed yet when it was counted.
  assertEquals(grown(samplesOf((_, i) => (i === 17 ? { descriptors: 60, timers: 30 } : {}))), []);
  // Caches that fill at the beginning.
  assertEquals(grown(samplesOf((_, i) => ({ heap: Math.min(2 + 4 * i, 20) * MIB }))), []);
});

test("a long run notices a byte that is wrong, lost or doubled, whatever pieces it comes in", () => {
  const stream = 2 ** 32 - 5;
  const bytes = stamped(stream, 1003);
  for (const size of [1, 2, 3, 4, 7, 64, 1003]) {
    const check = (all: Uint8Array) => {
      const checker = new Checker(stream);
      for (let at = 0; at < all.byteLength; at += size) checker.check(all.subarray(at, at + size));
      return checker.count;
    };
    assertEquals(check(bytes), 1003);
    for (const at of [0, 1, 500, 1002]) {
      const wrong = bytes.slice();
      wrong[at]! ^= 1;
      assertThrows(() => check(wrong), WrongByte, `byte`);
    }
    assertThrows(
      () => check(new Uint8Array([...bytes.subarray(0, 8), ...bytes.subarray(12)])),
      WrongByte,
    );
    assertThrows(
      () => check(new Uint8Array([...bytes.subarray(0, 8), ...bytes.subarray(4)])),
      WrongByte,
    );
  }
});

test("a long run reports the median and the 99th percentile", () => {
  const durations = new Durations();
  for (let i = 0; i < 1000; i++) durations.add(i);
  assertEquals([durations.percentile(50), durations.percentile(99)], [500, 990]);
  assertEquals(new Durations().percentile(50), NaN);
});
