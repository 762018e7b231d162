/**
 * When the reactor looks for events: in the next turn of the event loop, after a pause, or when it
 * has been woken from a sleep; and how many operations may succeed between two looks.
 *
 * Whether looking pays is what `spin.ts` says, and whether data may gather for a moment what
 * `coalescing.ts` says. Both learn from what is told here.
 *
 * @module
 */

import { Coalescing } from "./coalescing.ts";
import { Spin } from "./spin.ts";

/**
 * What comes next: a look at the epoll in the next turn, none in the next turn, a look after a
 * pause, or to sleep until there is an event.
 */
export type Step = "look" | "skip" | "pause" | "sleep";

/** Who waits, when the next step is chosen. */
export interface Waiters {
  /** How many waits keep the process alive, and how many do not. */
  readonly refed: number;
  readonly unrefed: number;
  /** Whether somebody is to be called in the next round whatever happens. */
  readonly hasDeferred: boolean;
}

/**
 * Operations that may succeed at once between two looks. A peer that always has data would
 * otherwise keep its reader in microtasks, and timers and other connections would never run.
 */
const BUDGET = 128;
/** The receiver of an event may answer at once, however many there are in a round. */
const BUDGET_PER_EVENT = 2;

/** Looks on behalf of unref'ed sources, which must not hold the process for long. */
const UNREF_LOOKS = 32;

/** See the module's documentation. */
export class Pace {
  /** Whether data gathers. */
  readonly coalescing: Coalescing = new Coalescing();
  readonly #spin = new Spin();
  #budget = BUDGET;
  /** Looks in vain since the last event. */
  #misses = 0;
  /** Whether the last look found events, and whether any has since the last sleep. */
  #found = false;
  #hasFound = false;
  /** Turns until the waker may be armed again. */
  #settling = 0;

  /** Whether one more operation may be tried before the next look. */
  mayTry(): boolean {
    return this.#budget-- > 0;
  }

  /** Bytes have been read: so many of those that were asked for. */
  onReceived(count: number, length: number): void {
    this.coalescing.onRead(count, length);
  }

  /** Something else was done, and somebody may wait for an answer. */
  onSent(): void {
    this.coalescing.reset();
  }

  /** Whether events are so far apart that sleeping is all that pays. */
  get isSlow(): boolean {
    return this.#spin.isPointless;
  }

  /** The first wait begins. */
  onStart(): void {
    this.#misses = 0;
  }

  /** The epoll was looked at, after a pause or not; the events are yet to be told. */
  onLook(events: number, afterPause: boolean): void {
    this.#found = events > 0;
    this.#budget = BUDGET + BUDGET_PER_EVENT * events;
    this.coalescing.onLook(afterPause, this.#found);
  }

  /** The events of the last look have been told. */
  onTold({ refed }: Waiters): void {
    if (!this.#found) {
      this.#misses++;
      return;
    }
    if (this.#misses > 0) this.#spin.onFound();
    this.#hasFound = true;
    // Rounds that serve unref'ed sources alone are counted all the same: they have to end.
    this.#misses = refed > 0 ? 0 : this.#misses + 1;
  }

  /** The sleep begins. */
  onSleep(): void {
    this.#hasFound = false;
  }

  /** The sleep is over, after so many milliseconds; the waker must rest for so many turns. */
  onWake(sleep: number, settleTurns: number): void {
    this.#spin.onSlept(sleep);
    this.coalescing.onSlept(sleep);
    this.#settling = settleTurns;
    this.#misses = 0;
  }

  /** Whether there were events, and whoever got one should have a chance to wait before a sleep. */
  get mayAnswer(): boolean {
    return this.#found && this.#spin.isPointless;
  }

  /** What comes next. */
  next(waiters: Waiters): Step {
    const { hasDeferred } = waiters;
    if (waiters.refed > 0 && !hasDeferred && this.coalescing.isDue) {
      this.#settling = 0;
      this.coalescing.onPause();
      return "pause";
    }
    const looks = hasDeferred || this.#looks(waiters);
    if (!looks && this.#settling === 0) return "sleep";
    if (this.#settling > 0) this.#settling--;
    return looks ? "look" : "skip";
  }

  #looks({ refed, unrefed }: Waiters): boolean {
    if (this.#spin.isPointless) return false;
    if (refed > 0) return this.#misses <= this.#spin.looks;
    // Whoever got an event has had no turn yet to wait for the next.
    const expects = unrefed > 0 ? this.#hasFound : this.#found;
    return expects && this.#misses <= UNREF_LOOKS;
  }
}
