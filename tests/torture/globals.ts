/**
 * The timers of the global scope, which tests use, in a simulated world.
 *
 * @module
 */

import type { Timer } from "../../ffi/event_loop.ts";
import type { World } from "../simulation/world.ts";

/** Puts the world's timers in the place of the global ones until disposed of. */
export function useTimersOf(world: World): Disposable {
  const before = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  const timers = {
    setTimeout: (callback: (...args: unknown[]) => void, milliseconds = 0, ...args: unknown[]) =>
      world.setTimeout(() => callback(...args), milliseconds),
    clearTimeout: (timer: Timer | undefined) => world.clearTimeout(timer),
  };
  Object.assign(globalThis, timers);
  const { timeout } = AbortSignal;
  AbortSignal.timeout = (milliseconds) => {
    const controller = new AbortController();
    const late = () => controller.abort(new DOMException("Signal timed out.", "TimeoutError"));
    world.setTimeout(late, milliseconds).unref();
    return controller.signal;
  };
  return {
    [Symbol.dispose]() {
      Object.assign(globalThis, before);
      AbortSignal.timeout = timeout;
    },
  };
}
