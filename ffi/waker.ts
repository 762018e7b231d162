/**
 * The contract of the wakers: how a blocked wait for the epoll reaches the event loop. The twins
 * `deno/waker.ts` and `bun/waker.ts` fill it in.
 *
 * A waker blocks in `poll` on the epoll's own descriptor and never takes an event out of it: events
 * are read by the event loop's thread alone. A second descriptor, an eventfd, ends the wait early.
 *
 * @module
 */

import { pollfd, POLLIN } from "./linux/abi.ts";
import type { Libc } from "./linux/libc.ts";

/** Waits for one epoll, outside the event loop and only when asked to. */
export interface Waker {
  /** Turns of the event loop from a wake to the next `arm`, which sooner would wake for no reason. */
  readonly settleTurns: number;
  /**
   * Starts a wait unless one is under way. `wake` is called once on the event loop when the epoll
   * has events, or for no reason. With `ref` the wait keeps the process alive, without it does not;
   * a call while waiting changes that.
   */
  arm(ref: boolean): void;
  /** Ends the wait, if there is one, and keeps the process alive no more. `wake` may still be called. */
  disarm(): void;
  /** Resolves when nothing of a wait that was ended is outstanding in the runtime. */
  settled(): Promise<void>;
}

/** Makes a waker that calls `wake`; `null` where that is impossible, "later" if only just now. */
export type MakeWaker = (wake: () => void) => Promise<Waker | null | "later">;

/** Waits by one waker at first, and by a better one once that is there. */
export class StagedWaker implements Waker {
  readonly #wake: () => void;
  readonly #makeBetter: MakeWaker;
  #current: Waker;
  #better: Waker | null = null;
  #armed = false;
  /** How many waits there will be until the better one is made. */
  #countdown: number;

  constructor(
    wake: () => void,
    makeFirst: (wake: () => void) => Waker,
    waits: number,
    makeBetter: MakeWaker,
  ) {
    this.#wake = wake;
    this.#current = makeFirst(this.#onWake);
    this.#countdown = waits;
    this.#makeBetter = makeBetter;
  }

  get settleTurns(): number {
    return this.#current.settleTurns;
  }

  arm(ref: boolean): void {
    if (!this.#armed) this.#advance();
    this.#armed = true;
    this.#current.arm(ref);
  }

  disarm(): void {
    this.#armed = false;
    this.#current.disarm();
  }

  settled(): Promise<void> {
    return this.#current.settled();
  }

  #advance(): void {
    if (--this.#countdown === 0) this.#make();
    if (this.#better === null) return;
    this.#current.disarm();
    this.#current = this.#better;
    this.#better = null;
  }

  async #make(): Promise<void> {
    const better = await this.#makeBetter(this.#onWake);
    if (better === "later") this.#countdown = 1;
    else this.#better = better;
  }

  readonly #onWake = (): void => {
    this.#armed = false;
    this.#wake();
  };
}

/** The eventfd that ends a wait, and the `struct pollfd` array for it and the epoll. */
export class Interrupt {
  readonly fds: Uint8Array = new Uint8Array(2 * pollfd.size);
  readonly count = 2;
  readonly #libc: Libc;
  readonly #eventfd: number;
  readonly #one = new Uint8Array(new BigUint64Array([1n]).buffer);
  readonly #counter = new Uint8Array(8);

  constructor(libc: Libc, epfd: number, eventfd: number) {
    this.#libc = libc;
    this.#eventfd = eventfd;
    const view = new DataView(this.fds.buffer);
    for (const [i, fd] of [epfd, eventfd].entries()) {
      view.setInt32(i * pollfd.size + pollfd.fd, fd, true);
      view.setInt16(i * pollfd.size + pollfd.events, POLLIN, true);
    }
  }

  /** Makes the poll return, now or when it is next called. */
  raise(): void {
    this.#libc.write(this.#eventfd, this.#one);
  }

  /** Forgets what was raised. */
  clear(): void {
    this.#libc.read(this.#eventfd, this.#counter);
  }
}
