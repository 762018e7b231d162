/**
 * The waker of Deno: `poll` as a nonblocking FFI call, on one thread of Deno's pool. The twin of
 * `waker_bun.ts`: same names, same order.
 *
 * @module
 */

import { clearTimeout, setTimeout } from "node:timers";
import { dlopenLibc } from "./libc_deno.ts";
import type { Libc } from "./libc.ts";
import { Interrupt, type Waker } from "./waker.ts";

interface Symbols {
  poll(fds: Uint8Array, nfds: number, timeout: number): Promise<number>;
}

/**
 * How often sockets are looked at while only unref'ed ones wait, in milliseconds. A nonblocking call
 * always keeps the process alive and Deno has no public way to say otherwise, so these waits are
 * timers, which can be unref'ed.
 */
const UNREF_INTERVAL = 4;

/** Makes the waker of `epfd`, which `eventfd` interrupts. */
export function createWaker(
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
