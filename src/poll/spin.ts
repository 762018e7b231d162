/**
 * How often to look for an event before sleeping until one comes.
 *
 * To sleep and to be woken costs ten microseconds and more, and a look costs one: so a short wait is
 * better spent looking. That is kept up while it finds events. Where it does not, it is tried now
 * and then, and less and less often. Looks are counted rather than timed, because the time that
 * others use the processor says nothing about the wait.
 *
 * @module
 */

/**
 * Looks before sleeping: some 30 µs, what the answer of a peer on this machine takes. More would find
 * the next packet of a link of 100 Mbit/s, which comes after 120 µs, and nothing else but that.
 */
const LOOKS = 10;
/** Sleeps in a row that looking has not avoided, after which there is no more of it. */
const MAX_MISSES = 3;
/** A sleep that more looks might have avoided, in milliseconds. */
const SHORT_SLEEP = 0.08;
/** Short sleeps before the next try: at first, and at most where tries keep failing. */
const MIN_INTERVAL = 4;
const MAX_INTERVAL = 256;

/** See the module's documentation. */
export class Spin {
  /** How often to look in vain. */
  looks: number = LOOKS;
  /** Events are so far apart that not a single look pays. */
  isPointless = false;
  #misses = 0;
  #interval = MIN_INTERVAL;
  #shortSleeps = 0;

  /** Looking has found an event after all. */
  onFound(): void {
    if (this.looks === 0) return;
    this.#misses = 0;
    this.#interval = MIN_INTERVAL;
  }

  /** Nothing was found, and there was a sleep of so many milliseconds. */
  onSlept(sleep: number): void {
    this.isPointless = false;
    if (this.looks > 0) {
      if (++this.#misses >= MAX_MISSES) this.looks = 0;
    } else if (sleep >= SHORT_SLEEP) {
      this.isPointless = true;
    } else if (++this.#shortSleeps >= this.#interval) {
      this.#interval = Math.min(this.#interval * 2, MAX_INTERVAL);
      this.#shortSleeps = 0;
      this.#misses = MAX_MISSES - 1;
      this.looks = LOOKS;
    }
  }
}
