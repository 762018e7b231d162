/**
 * When to let data gather before looking for it again, as network cards do with their interrupts.
 *
 * A stream that only comes in brings a packet at a time, and to be woken for each costs more than to
 * read it. Nobody waits for an answer then, so it may gather for a millisecond. A sender expects
 * an answer, and large reads say that a millisecond may fill the window: neither is kept waiting.
 *
 * @module
 */

/** Small reads in a row, and nothing else, before the first pause. */
const STREAK = 64;
/** What is small, in bytes: some packets; and after a pause, less than the smallest usual window. */
const SMALL = 16 * 1024;
const SMALL_AFTER_PAUSE = 96 * 1024;
/** Pauses before it has to show again that packets come as often as that. */
const MAX_PAUSES = 64;
/** A sleep, in milliseconds, after which they do not. */
const LONG_SLEEP = 0.25;

/** How long a pause is, in milliseconds. */
export const PAUSE = 1;

/** See the module's documentation. */
export class Coalescing {
  #reads = 0;
  #pauses = 0;
  #small = SMALL;

  /** A read has given so many bytes of those that were asked for. */
  onRead(count: number, length: number): void {
    if (count < length && count <= this.#small) this.#reads++;
    else this.reset();
  }

  /** Something else was done. */
  reset(): void {
    this.#reads = this.#pauses = 0;
  }

  /** There was a sleep of so many milliseconds. */
  onSlept(sleep: number): void {
    if (sleep >= LONG_SLEEP) this.reset();
  }

  /** Whether data only comes in, and often. */
  get isDue(): boolean {
    return this.#reads >= STREAK;
  }

  /** A pause begins. */
  onPause(): void {
    if (++this.#pauses >= MAX_PAUSES) this.reset();
  }

  /** The epoll was looked at: after a pause or not, and there were events or not. */
  onLook(afterPause: boolean, found: boolean): void {
    this.#small = afterPause ? SMALL_AFTER_PAUSE : SMALL;
    if (afterPause && !found) this.reset();
  }
}
