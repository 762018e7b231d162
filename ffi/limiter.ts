/**
 * A limit to how many actions run at a time.
 *
 * @module
 */

/** Runs actions, as many at a time as it was told, in the order in which they came. */
export class Limiter {
  readonly #limit: number;
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Runs an action, once there is room for it. */
  async run<T>(action: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limit) {
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    } else {
      this.#running++;
    }
    try {
      return await action();
    } finally {
      // Whoever is next takes over the place.
      const next = this.#queue.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
