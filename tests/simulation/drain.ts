/**
 * Running all microtasks at once, from within a macrotask: what lets a schedule be one synchronous
 * loop. Both runtimes have it for themselves; neither documents it.
 *
 * @module
 */

import { isDeno } from "../../ffi/runtime.ts";

interface DenoCore {
  readonly core: { runMicrotasks(): void };
}

/** Runs microtasks until there are none. */
export const drainMicrotasks: () => void = await findDrain();

async function findDrain(): Promise<() => void> {
  if (isDeno) {
    const { Deno } = globalThis as unknown as {
      Deno: Record<symbol, DenoCore> & { internal: symbol };
    };
    const { core } = Deno[Deno.internal]!;
    return () => core.runMicrotasks();
  }
  const name = "bun:jsc";
  const { drainMicrotasks } = await import(name);
  return drainMicrotasks;
}
