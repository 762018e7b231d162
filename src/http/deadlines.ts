/**
 * Until when connections have to have done something: one timer for all of them.
 *
 * @module
 */

import { clearInterval, setInterval } from "node:timers";

/** Checks at least this many times before the shortest time is over. */
const CHECKS = 4;

interface Deadline {
  readonly end: () => void;
  readonly at: number;
}

/** Deadlines by names. Never keeps the process alive. */
export class Deadlines {
  readonly #deadlines = new Map<string, Deadline>();
  readonly #interval: number;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param shortest The shortest time that will be given, in milliseconds. */
  constructor(shortest: number) {
    this.#interval = Math.max(shortest / CHECKS, 1);
  }

  /** Calls `end` unless the name is set again, or deleted, within some milliseconds. */
  set(name: string, milliseconds: number, end: () => void): void {
    this.#deadlines.set(name, { end, at: performance.now() + milliseconds });
    this.#timer ??= setInterval(this.#check, this.#interval).unref();
  }

  /** Forgets a deadline. */
  delete(name: string): void {
    this.#deadlines.delete(name);
    if (this.#deadlines.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  readonly #check = (): void => {
    const now = performance.now();
    for (const [name, { end, at }] of this.#deadlines) {
      if (at > now) continue;
      this.delete(name);
      end();
    }
  };
}
