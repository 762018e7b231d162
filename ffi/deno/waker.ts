/**
 * The waker of Deno: that of `loop_waker.ts`, or `poll` as a nonblocking FFI call, on one thread of
 * Deno's pool. The twin of `bun/waker.ts`: same names, same order.
 *
 * @module
 */

import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { dlopenLibc } from "./libc.ts";
import type { Libc } from "../linux/libc.ts";
import { createLoopWaker, type WatchedSocket } from "../guest/loop_waker.ts";
import { Interrupt, StagedWaker, type Waker } from "../waker.ts";

interface Symbols {
  poll(fds: Uint8Array, nfds: number, timeout: number): Promise<number>;
}

/**
 * How often sockets are looked at while only unref'ed ones wait, in milliseconds. A nonblocking call
 * always keeps the process alive and Deno has no public way to say otherwise, so these waits are
 * timers, which can be unref'ed.
 */
const UNREF_INTERVAL = 4;

/** Waits by a thread before `node:net` is loaded, which takes 10 ms: programs that end soon do without. */
const THREAD_WAITS = 16;

/** `node:net` tries once more to read a socket that it has read. */
export const SETTLE_TURNS = 2;

/** Makes the waker of `epfd`, which `eventfd` interrupts. */
export function createWaker(
  libc: Libc,
  epfd: number,
  eventfd: number,
  wake: () => void,
): Waker {
  const createThread = (wake: () => void) => createThreadWaker(libc, epfd, eventfd, wake);
  if ("WorkerGlobalScope" in globalThis) return createThread(wake);
  return new StagedWaker(
    wake,
    createThread,
    THREAD_WAITS,
    (wake) => createLoopWaker({ libc, epfd, wake, settleTurns: SETTLE_TURNS, watch, onUnload }),
  );
}

/** Has Deno read a socket, by `node:net`, which takes descriptors. */
export function watch(fd: number, onData: () => void): Promise<WatchedSocket> {
  const { Socket } = process.getBuiltinModule("node:net");
  const callback = () => {
    onData();
    return true;
  };
  // By the option of net.connect that goes round the stream, which the types of `Socket` leave out.
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

/** Has `action` called when the event loop of this thread ends. */
export function onUnload(action: () => void): void {
  globalThis.addEventListener("unload", action);
}

function createThreadWaker(
  libc: Libc,
  epfd: number,
  eventfd: number,
  wake: () => void,
): Waker {
  const { poll } = dlopenLibc({
    poll: { parameters: ["buffer", "usize", "i32"], result: "i32", nonblocking: true },
  }) as Symbols;
  const interrupt = new Interrupt(libc, epfd, eventfd);
  let polling = false;
  let polled: Promise<void> = Promise.resolve();
  let interrupted = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function onPolled(): void {
    polling = false;
    if (interrupted) interrupt.clear();
    interrupted = false;
    wake();
  }

  function onTimer(): void {
    timer = undefined;
    wake();
  }

  function stopPolling(): void {
    if (!polling || interrupted) return;
    interrupted = true;
    interrupt.raise();
  }

  function stopTimer(): void {
    clearTimeout(timer);
    timer = undefined;
  }

  return {
    settleTurns: 0,
    arm(ref) {
      if (!ref) {
        stopPolling();
        timer ??= setTimeout(onTimer, UNREF_INTERVAL).unref();
        return;
      }
      stopTimer();
      if (polling) return;
      polling = true;
      polled = poll(interrupt.fds, interrupt.count, -1).then(onPolled);
    },
    disarm() {
      stopTimer();
      stopPolling();
    },
    settled: () => polled,
  };
}
