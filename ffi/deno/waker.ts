/**
 * The waker of Deno: that of `loop_waker.ts`, or `poll` as a nonblocking FFI call, on one thread of
 * Deno's pool. The twin of `bun/waker.ts`: same names, same order.
 *
 * @module
 */

import process from "node:process";
import { createLoopWaker, type WatchedSocket } from "../guest/loop_waker.ts";
import type { Libc } from "../linux/libc.ts";
import { type PollThread, ThreadWaker } from "../thread_waker.ts";
import { StagedWaker, type Waker } from "../waker.ts";

/**
 * How often sockets are looked at while only unref'ed ones wait, in milliseconds. A nonblocking call
 * always keeps the process alive and Deno has no public way to say otherwise, so these waits are
 * timers, which can be unref'ed. So are the waits for which no thread of Deno's pool is free.
 */
const INTERVAL = 4;

/** Waits by a thread before `node:net` is loaded, which takes 10 ms: programs that end soon do without. */
const THREAD_WAITS = 16;

/** The thread that waits may be wanted elsewhere, or there may be none: a long wait is not left to it. */
const LONG_WAIT = 20;

/** `node:net` tries once more to read a socket that it has read. */
export const SETTLE_TURNS = 2;

/** Makes the waker of `epfd`, which `eventfd` interrupts. */
export function createWaker(
  libc: Libc,
  epfd: number,
  eventfd: number,
  wake: () => void,
): Waker {
  const settleTurns = SETTLE_TURNS;
  return new StagedWaker(
    wake,
    (wake) => new ThreadWaker(libc, epfd, eventfd, wake, poolThread(libc)),
    { waits: THREAD_WAITS, longWait: LONG_WAIT },
    (wake) => createLoopWaker({ libc, epfd, wake, settleTurns, watch, hold, onUnload }),
  );
}

/** Has Deno read a socket, by `node:net`, which takes descriptors. */
export function watch(fd: number, onData: () => void): Promise<WatchedSocket> {
  const { Socket } = process.getBuiltinModule("node:net");
  const callback = () => {
    onData();
    return true;
  };
  // This option of net.connect bypasses the stream; the types of `Socket` lack it.
  const options = { fd, onread: { buffer: new Uint8Array(16), callback } };
  const socket = new Socket(options);
  socket.on("error", () => {});
  socket.unref();
  return Promise.resolve({
    ref: () => socket.ref(),
    unref: () => socket.unref(),
    close: () => socket.destroy(),
  });
}

/** Has Deno own a socket that it does not read: it is a resource, which ends with its thread. */
export function hold(fd: number): { close(): void } {
  const { Socket } = process.getBuiltinModule("node:net");
  const options = { fd, manualStart: true };
  const socket = new Socket(options);
  socket.on("error", () => {});
  socket.unref();
  return { close: () => void socket.destroy() };
}

/** Has `action` called when the event loop of this thread ends; Workers of Deno do not tell. */
export function onUnload(action: () => void): void {
  globalThis.addEventListener("unload", action);
}

function poolThread(libc: Libc) {
  return (fds: Uint8Array, count: number, onPolled: () => void): PollThread => {
    const poll = libc.pollAsync!;
    let polled: Promise<void> = Promise.resolve();
    return {
      interval: INTERVAL,
      canPoll: (ref) => ref,
      poll() {
        polled = poll(fds, count, -1).then(onPolled);
      },
      setRef() {},
      // Threads of the pool take calls in the order in which they came.
      async begun() {
        await poll(fds, 0, 0);
      },
      settled: () => polled,
    };
  };
}
