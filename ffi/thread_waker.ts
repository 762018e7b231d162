/**
 * The waker that has a thread block in `poll`: what the threads of the runtimes have in common.
 *
 * It never takes an event out of the epoll: events are read by the event loop's thread alone. An
 * eventfd ends the wait early.
 *
 * @module
 */

import { clearTimeout, setTimeout, type Timer } from "./event_loop.ts";
import { pollfd, POLLIN } from "./linux/abi.ts";
import type { Libc } from "./linux/libc.ts";
import type { Waker } from "./waker.ts";

/** A thread that blocks in `poll`, outside the event loop. */
export interface PollThread {
  /** How often the epoll is looked at while the thread cannot wait, in milliseconds. */
  readonly interval: number;
  /** Whether the thread can wait now, for somebody who keeps the process alive or does not. */
  canPoll(ref: boolean): boolean;
  /** Has the thread wait; what it was made with is called when it has. */
  poll(): void;
  /** Makes the thread keep the process alive, or not. */
  setRef(ref: boolean): void;
  /** Resolves once the wait that was asked for has surely begun; `null` where it begins at once. */
  readonly begun: (() => Promise<void>) | null;
  /** Resolves when the runtime has nothing outstanding for a wait that has ended. */
  settled(): Promise<void>;
}

/** Makes the thread that waits for `count` descriptors in a `struct pollfd` array. */
export type MakePollThread = (fds: Uint8Array, count: number, onPolled: () => void) => PollThread;

/** How long a wait may take to begin before somebody asks whether it has, in milliseconds. */
const BEGIN_TIMEOUT = 10;

/** See the module's documentation. */
export class ThreadWaker implements Waker {
  readonly settleTurns = 0;
  readonly #libc: Libc;
  readonly #eventfd: number;
  readonly #thread: PollThread;
  readonly #wake: () => void;
  readonly #counter: Uint8Array = new Uint8Array(8);
  #polling = false;
  #interrupted = false;
  #timer: Timer | undefined;
  /** Whether the wait under way may not have begun; "asked" while that is found out. */
  #begun: "unknown" | "asked" | "yes" = "yes";

  constructor(
    libc: Libc,
    epfd: number,
    eventfd: number,
    wake: () => void,
    makeThread: MakePollThread,
  ) {
    this.#libc = libc;
    this.#eventfd = eventfd;
    this.#wake = wake;
    this.#thread = makeThread(toPollfds([epfd, eventfd]), 2, () => this.#onPolled());
  }

  arm(ref: boolean): void {
    const thread = this.#thread;
    thread.setRef(ref);
    if (!thread.canPoll(ref)) {
      this.#stopPolling();
      this.#setTimer(thread.interval, ref);
      return;
    }
    if (!this.#polling) {
      this.#stopTimer();
      this.#polling = true;
      this.#begun = thread.begun === null ? "yes" : "unknown";
      thread.poll();
    }
    if (this.#begun === "yes") this.#stopTimer();
    else this.#setTimer(this.#begun === "asked" ? thread.interval : BEGIN_TIMEOUT, ref);
  }

  disarm(): void {
    this.#thread.setRef(false);
    this.#stopTimer();
    this.#stopPolling();
  }

  settled(): Promise<void> {
    return this.#thread.settled();
  }

  #onPolled(): void {
    this.#polling = false;
    this.#stopTimer();
    if (this.#interrupted) this.#libc.read(this.#eventfd, this.#counter);
    this.#interrupted = false;
    this.#wake();
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    if (this.#polling && this.#begun === "unknown") this.#askWhetherBegun();
    // Where the thread has not begun to wait, nobody else looks.
    this.#wake();
  };

  #askWhetherBegun(): void {
    this.#begun = "asked";
    this.#thread.begun!().then(() => {
      if (this.#begun === "asked") this.#begun = "yes";
    });
  }

  /** Makes the poll return, now or when it begins. */
  #stopPolling(): void {
    if (!this.#polling || this.#interrupted) return;
    this.#interrupted = true;
    this.#libc.write(this.#eventfd, ONE);
  }

  #setTimer(interval: number, ref: boolean): void {
    this.#timer ??= setTimeout(this.#onTimer, interval);
    if (ref) this.#timer.ref();
    else this.#timer.unref();
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

function toPollfds(fds: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(fds.length * pollfd.size));
  for (const [i, fd] of fds.entries()) {
    view.setInt32(i * pollfd.size + pollfd.fd, fd, true);
    view.setInt16(i * pollfd.size + pollfd.events, POLLIN, true);
  }
  return new Uint8Array(view.buffer);
}

/** The waker that only looks now and then: until there is a better one. */
export class TimerWaker implements Waker {
  readonly settleTurns = 0;
  readonly #wake: () => void;
  readonly #interval: number;
  #timer: Timer | undefined;

  constructor(interval: number, wake: () => void) {
    this.#interval = interval;
    this.#wake = wake;
  }

  arm(ref: boolean): void {
    this.#timer ??= setTimeout(this.#onTimer, this.#interval);
    if (ref) this.#timer.ref();
    else this.#timer.unref();
  }

  disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#wake();
  };
}
