/**
 * The timeout of a socket that is idle.
 *
 * @module
 */

import { clearTimeout, now, setTimeout, type Timer } from "../../ffi/event_loop.ts";

/**
 * Calls back when nothing has happened for a time. `touch` only notes the time, as it is called for every
 * read and write: the timer looks at it when it fires.
 */
export class IdleTimer {
  readonly #onIdle: () => void;
  #milliseconds = 0;
  #last = 0;
  #timer: Timer | null = null;

  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  /** Starts, or with 0 stops. */
  start(milliseconds: number): void {
    this.stop();
    this.#milliseconds = milliseconds;
    if (milliseconds > 0) this.#arm(milliseconds);
  }

  /** Something has happened. */
  touch(): void {
    if (this.#milliseconds === 0) return;
    this.#last = now();
    if (this.#timer === null) this.#arm(this.#milliseconds);
  }

  /** Stops. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#milliseconds = 0;
  }

  #arm(milliseconds: number): void {
    if (this.#timer === null) this.#last = now();
    this.#timer = setTimeout(this.#look, milliseconds);
    this.#timer.unref();
  }

  readonly #look = (): void => {
    const left = this.#last + this.#milliseconds - now();
    if (left >= 1) {
      this.#timer = setTimeout(this.#look, left);
      this.#timer.unref();
      return;
    }
    this.#timer = null;
    this.#onIdle();
  };
}
