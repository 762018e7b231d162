/**
 * The decisions that were made: the last of them, and how many of each kind.
 *
 * @module
 */

import type { PathDecision, PathDecisionCount } from "./types.ts";

/** How many decisions are remembered. */
const DECISIONS = 200;
/** How many kinds are counted apart: interfaces can come and go under ever new names. */
const KINDS = 256;

/** See the module's documentation. */
export class DecisionLog {
  readonly #last: PathDecision[] = [];
  readonly #counts: Map<
    string,
    { -readonly [K in keyof PathDecisionCount]: PathDecisionCount[K] }
  > = new Map();

  add(decision: PathDecision): void {
    this.#last.push(decision);
    if (this.#last.length > DECISIONS) this.#last.shift();
    const { by, action, device } = decision;
    this.#count(by, action, device);
  }

  #count(by: string, action: PathDecision["action"], device: string): void {
    const key = `${by} ${action} ${device}`;
    const known = this.#counts.get(key);
    if (known !== undefined) known.count++;
    else if (device !== "" && this.#counts.size >= KINDS) this.#count(by, action, "");
    else this.#counts.set(key, { by, device, action, count: 1 });
  }

  /** The last ones, the oldest first. */
  last(): PathDecision[] {
    return [...this.#last];
  }

  /** All that there were, by kind. */
  counts(): PathDecisionCount[] {
    return [...this.#counts.values()].map((count) => ({ ...count }));
  }
}
