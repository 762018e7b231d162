/**
 * Choices that follow from a seed.
 *
 * @module
 */

import { randomFrom } from "../faults.ts";

/** A source of choices. Two of one seed choose alike. */
export class Random {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = randomFrom(seed);
  }

  /** An integer from `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.#next() * (max - min + 1));
  }

  /** True in so many of 100 cases. */
  percent(chance: number): boolean {
    return chance > 0 && this.#next() * 100 < chance;
  }

  /** One of the list. */
  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#next() * list.length)]!;
  }
}
