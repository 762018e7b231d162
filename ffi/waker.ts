/**
 * The contract of the wakers: how a blocked wait for the epoll reaches the event loop. The twins
 * `deno/waker.ts` and `bun/waker.ts` fill it in.
 *
 * @module
 */

import { clearTimeout, setTimeout, type Timer } from "./event_loop.ts";

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

/** When a better waker is made. */
export interface Stage {
  /** How many waits there are until then. */
  readonly waits: number;
  /** How long a wait may take until then, in milliseconds; any time where left out. */
  readonly longWait?: number;
}

/** Waits by one waker at first, and by a better one once that is there. */
export class StagedWaker implements Waker {
  readonly #wake: () => void;
  readonly #makeBetter: MakeWaker;
  readonly #longWait: number | undefined;
  #current: Waker;
  /** The one before: what it has outstanding ends a moment later. */
  #before: Waker | null = null;
  #armed = false;
  #refed = false;
  /** How many waits there will be until the better one is made. */
  #countdown: number;
  #timer: Timer | undefined;

  constructor(
    wake: () => void,
    makeFirst: (wake: () => void) => Waker,
    { waits, longWait }: Stage,
    makeBetter: MakeWaker,
  ) {
    this.#wake = wake;
    this.#longWait = longWait;
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
    this.#refed = ref;
    this.#current.arm(ref);
  }

  disarm(): void {
    this.#stopTimer();
    this.#armed = false;
    this.#current.disarm();
  }

  async settled(): Promise<void> {
    await this.#before?.settled();
    await this.#current.settled();
  }

  #advance(): void {
    if (this.#countdown <= 0) return;
    if (--this.#countdown === 0) this.#make();
    else if (this.#longWait !== undefined) {
      this.#timer ??= setTimeout(this.#onLongWait, this.#longWait).unref();
    }
  }

  readonly #onLongWait = (): void => {
    this.#timer = undefined;
    this.#countdown = 0;
    this.#make();
  };

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #make(): Promise<void> {
    const better = await this.#makeBetter(this.#onWake);
    if (better === "later") this.#countdown = 1;
    else if (better !== null) this.#change(better);
  }

  #change(better: Waker): void {
    this.#before = this.#current;
    this.#current = better;
    // Armed or not: it may have called for no reason, with its wait still outstanding.
    this.#before.disarm();
    if (this.#armed) better.arm(this.#refed);
  }

  readonly #onWake = (): void => {
    // One that was left may still have been on its way.
    if (!this.#armed) return;
    this.#stopTimer();
    this.#armed = false;
    this.#wake();
  };
}
