/**
 * What servers, clients and proxies have in common when they are shut down.
 *
 * @module
 */

import { clearTimeout, setTimeout } from "../../ffi/event_loop.ts";
import { show } from "../show.ts";
import type { ShutdownOptions } from "../types.ts";

/** The longest timer of the runtimes, in milliseconds; more means at once to them. */
const LONGEST = 2 ** 31 - 1;

/** The time limit in milliseconds; throws unless it is one. */
export function toTimeout(options: ShutdownOptions = {}): number {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Invalid options: expected an object, got ${show(options)}`);
  }
  const { timeout = Infinity } = options;
  if (typeof timeout === "number" && timeout >= 0) return timeout;
  throw new RangeError(
    `Invalid timeout: expected milliseconds of at least 0, got ${show(timeout)}`,
  );
}

/** Waits for `finished`, and calls `cutOff` when that takes longer than `timeout`. */
export async function within(
  timeout: number,
  finished: Promise<void>,
  cutOff: () => void,
): Promise<void> {
  if (timeout > LONGEST) return await finished;
  const timer = setTimeout(cutOff, timeout);
  try {
    await finished;
  } finally {
    clearTimeout(timer);
  }
}
