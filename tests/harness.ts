/**
 * One test body for all runtimes: `test` is `Deno.test`, or that of `bun:test` or `node:test`.
 *
 * A file that imports this ends with the number of open descriptors that it began with, or fails.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import process from "node:process";
import { isDeno, isNode } from "../ffi/runtime.ts";
import { reactor } from "../src/poll/reactor.ts";
import { bytesOf, connectedPair, delaysEnded, readUpTo } from "./sockets.ts";

/** When a test runs. */
export interface TestOptions {
  /** Why the test cannot run here; `null` if it can. With `MPTCP_EXPECT_ALL=1` a reason is a failure. */
  skip?: string | null;
  /** Why the folder that the checkout or the runtime is in forbids it; no failure even then. */
  place?: string | null;
  /** The one runtime that the test is about, and why the others skip it. */
  only?: { runtime: Runtime; reason: string };
  /** Milliseconds, 60 000 by default. */
  timeout?: number;
  /** Whether it takes so long that it runs with `MPTCP_TEST_LONG=1` alone. */
  long?: boolean;
}

type Body = () => void | Promise<void>;

interface Runner {
  register(name: string, body: Body, timeout: number): void;
  skip(name: string): void;
  afterAll(body: Body): void;
}

/** A runtime that tests run on. */
export type Runtime = "deno" | "bun" | "node";

/** The one that this is. */
export const runtime: Runtime = isDeno ? "deno" : isNode ? "node" : "bun";

const runner = await { deno: denoRunner, bun: bunRunner, node: nodeRunner }[runtime]();
const expectAll = process.env.MPTCP_EXPECT_ALL === "1";

/** Whether tests may take long: some do less of the same otherwise. */
export const runsLong: boolean = process.env.MPTCP_TEST_LONG === "1";

/** Registers a test. */
export function test(name: string, body: Body): void;
export function test(name: string, options: TestOptions, body: Body): void;
export function test(name: string, options: TestOptions | Body, maybeBody?: Body): void {
  const body = maybeBody ?? options as Body;
  const { skip = null, place = null, only, timeout = 60_000, long = false } = maybeBody
    ? options as TestOptions
    : {};
  if (only !== undefined && only.runtime !== runtime) {
    runner.skip(`${name} (not on ${runtime}: ${only.reason})`);
  } else if (long && !runsLong) {
    runner.skip(`${name} (skipped: it takes long, MPTCP_TEST_LONG=1 runs it)`);
  } else if (place !== null) {
    runner.skip(`${name} (skipped: ${place})`);
  } else if (skip === null) {
    runner.register(name, body, timeout);
  } else if (expectAll) {
    runner.register(name, () => {
      throw new Error(`Skipped though MPTCP_EXPECT_ALL is set: ${skip}`);
    }, timeout);
  } else {
    runner.skip(`${name} (skipped: ${skip})`);
  }
}

interface DenoTest {
  (options: { name: string; ignore?: boolean; fn: Body }): void;
  afterAll(body: Body): void;
}

function denoRunner(): Runner {
  const { test } = (globalThis as unknown as { Deno: { test: DenoTest } }).Deno;
  return {
    register: (name, fn, timeout) => test({ name, fn: () => withTimeout(fn, timeout) }),
    skip: (name) => test({ name, ignore: true, fn: () => {} }),
    afterAll: (body) => test.afterAll(body),
  };
}

async function withTimeout(body: Body, timeout: number): Promise<void> {
  let timer;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Not done after ${timeout} ms`)), timeout);
  });
  try {
    await Promise.race([body(), late]);
    await delaysEnded();
    await reactor().quiet();
  } finally {
    clearTimeout(timer);
  }
}

async function bunRunner(): Promise<Runner> {
  const name = "bun:test";
  const bun = await import(name);
  return {
    register: (name, fn, timeout) => bun.test(name, fn, timeout),
    skip: (name) => bun.test.skip(name, () => {}),
    afterAll: (body) => bun.afterAll(body),
  };
}

async function nodeRunner(): Promise<Runner> {
  const { after, test } = await import("node:test");
  return {
    register: (name, fn, timeout) => void test(name, { timeout }, () => fn()),
    skip: (name) => void test(name, { skip: true }),
    afterAll: (body) => after(body),
  };
}

const endings: (() => void | Promise<void>)[] = [];

/** Runs after the last test of the file: ends what all tests share. */
export function afterTests(body: () => void | Promise<void>): void {
  endings.push(body);
}

/** The number of open descriptors of this process. */
export function openFds(): number {
  return readdirSync("/proc/self/fd").length;
}

/** What the open descriptors are, for error messages. */
function describeFds(): string {
  return readdirSync("/proc/self/fd").map((fd) => {
    try {
      return `${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`;
    } catch {
      return `${fd} closed meanwhile`;
    }
  }).join(", ");
}

/**
 * Waits until the process has no more descriptors than that, and fails if it does not come to that.
 * There may be fewer: what the test before left to be closed may have been counted.
 */
export async function assertOpenFds(expected: number): Promise<void> {
  await untilFds((count) => count <= expected, `at most ${expected}`);
}

async function untilFds(isRight: (count: number) => boolean, expected: string): Promise<void> {
  const deadline = Date.now() + 3000;
  while (!isRight(openFds())) {
    if (Date.now() > deadline) {
      throw new Error(
        `${openFds()} descriptors are open, ${expected} are expected: ${describeFds()}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// What the module opens once per thread and keeps: the epoll, the waker, and in Bun its Worker, which
// the first long wait starts. Bun's spawnSync keeps an event loop of its own, and its process.stdout
// and process.stderr keep copies of the descriptors.
spawnSync("true");
void [process.stdout, process.stderr];
{
  using pair = await connectedPair();
  for (let i = 0; i < 30; i++) {
    setTimeout(() => pair.client.write(bytesOf("x")), 3);
    await readUpTo(pair.server, 1);
  }
}
const openAtStart = await settledFds();

/**
 * The number of open descriptors once it has stayed the same: a Worker that starts opens files, and
 * the pipes of a process that has ended are closed late.
 */
export async function settledFds(): Promise<number> {
  let count = -1;
  for (let same = 0; same < 5; same++) {
    if (openFds() !== count) same = 0;
    count = openFds();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return count;
}

// There may be fewer: Deno runs the files in one process, and takes down the one before meanwhile.
runner.afterAll(async () => {
  for (const body of endings.reverse()) await body();
  await untilFds((count) => count <= openAtStart, `at most ${openAtStart}`);
});
