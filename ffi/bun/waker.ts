/**
 * The waker of Bun: that of `loop_waker.ts`, or `poll` in a Worker, as `bun:ffi` has no call that
 * leaves the event loop. The twin of `deno/waker.ts`: same names, same order.
 *
 * @module
 */

import process from "node:process";
import { createLoopWaker, type WatchedSocket } from "../guest/loop_waker.ts";
import { EFD_CLOEXEC } from "../linux/abi.ts";
import { type Libc, LIBC_NAMES } from "../linux/libc.ts";
import { type PollThread, ThreadWaker, TimerWaker } from "../thread_waker.ts";
import { StagedWaker, type Waker } from "../waker.ts";

/** A Worker as Bun has it. */
interface BunWorker {
  ref(): void;
  unref(): void;
  postMessage(message: unknown): void;
  onmessage: (() => void) | null;
}

/**
 * Runs in the Worker. Text, not a file, so that bundlers and `bun build --compile` need not find it.
 * The Worker sleeps on `state` until it is 1, polls, sets it to 0 and says so.
 */
const SOURCE = `
import { dlopen } from "bun:ffi";
self.onmessage = ({ data: { names, fds, count, state } }) => {
  const symbols = { poll: { args: ["buffer", "u32", "i32"], returns: "i32" } };
  let c;
  try { c = dlopen(names[0], symbols).symbols; } catch { c = dlopen(names[1], symbols).symbols; }
  postMessage(0);
  for (;;) {
    Atomics.wait(state, 0, 0);
    c.poll(fds, count, -1);
    Atomics.store(state, 0, 0);
    postMessage(0);
  }
};`;

/** How often the epoll is looked at while a waker is being made, in milliseconds. */
const START_INTERVAL = 1;

/** The parts of `Bun` that are used here. */
interface BunSockets {
  readonly isMainThread: boolean;
  connect(
    options: { fd: number; socket: { data(): void; error(): void } },
  ): Promise<{ ref(): void; unref(): void; terminate(): void }>;
}

/** Bun reads a socket once for each event that says it has data. */
export const SETTLE_TURNS = 0;

/** Makes the waker of `epfd`, which `eventfd` interrupts. */
export function createWaker(
  libc: Libc,
  epfd: number,
  eventfd: number,
  wake: () => void,
): Waker {
  const createThread = (wake: () => void) =>
    new ThreadWaker(libc, epfd, eventfd, wake, workerThread);
  // Bun frees what the word of its epoll points to when a Worker ends, and has nothing that holds.
  if (!bunSockets().isMainThread) return createThread(wake);
  const settleTurns = SETTLE_TURNS;
  return new StagedWaker(
    wake,
    (wake) => new TimerWaker(START_INTERVAL, wake),
    { waits: 1 },
    async (wake) => {
      const waker = await createLoopWaker({ libc, epfd, wake, settleTurns, watch, onUnload });
      return waker ?? (hasDescriptors(libc) ? createThread(wake) : "later");
    },
  );
}

/** Descriptors that the start of a Worker takes, and some: Bun ends the process if there are fewer. */
const WORKER_FDS = 12;

function hasDescriptors(libc: Libc): boolean {
  const fds: number[] = [];
  while (fds.length < WORKER_FDS && (fds.at(-1) ?? 0) >= 0) fds.push(libc.eventfd(0, EFD_CLOEXEC));
  const enough = fds.at(-1)! >= 0;
  for (const fd of fds) libc.close(fd);
  return enough;
}

function bunSockets(): BunSockets {
  return (globalThis as unknown as { Bun: BunSockets }).Bun;
}

/** Has Bun read a socket. */
export async function watch(fd: number, onData: () => void): Promise<WatchedSocket> {
  const socket = await bunSockets().connect({ fd, socket: { data: onData, error() {} } });
  socket.unref();
  return {
    ref: () => socket.ref(),
    unref: () => socket.unref(),
    close: () => socket.terminate(),
  };
}

/** Bun's own sockets need nothing to own a descriptor: only the main thread's epoll has our place. */
export const hold = undefined;

/** Has `action` called when the event loop of this thread ends, unless it is terminated. */
export function onUnload(action: () => void): void {
  process.once("exit", action);
}

/** See {@linkcode SOURCE}; it is started by the first wait. */
function workerThread(fds: Uint8Array, count: number, onPolled: () => void): PollThread {
  const state = new Int32Array(new SharedArrayBuffer(4));
  let worker: BunWorker | undefined;
  let started = false;
  let refed = true;

  function onMessage(): void {
    if (started) onPolled();
    started = true;
  }

  function startWorker(): BunWorker {
    const url = URL.createObjectURL(new Blob([SOURCE], { type: "application/javascript" }));
    const worker = new Worker(url, { type: "module" }) as unknown as BunWorker;
    worker.onmessage = onMessage;
    worker.postMessage({ names: LIBC_NAMES, fds, count, state });
    return worker;
  }

  return {
    interval: START_INTERVAL,
    canPoll() {
      worker ??= startWorker();
      return started;
    },
    poll() {
      Atomics.store(state, 0, 1);
      Atomics.notify(state, 0);
    },
    setRef(ref) {
      if (ref === refed || worker === undefined) return;
      refed = ref;
      if (ref) worker.ref();
      else worker.unref();
    },
    begun: null,
    settled: () => Promise.resolve(),
  };
}
