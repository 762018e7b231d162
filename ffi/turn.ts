/**
 * The next turn of the event loop.
 *
 * @module
 */

import { setImmediate, setTimeout } from "node:timers";

interface Versioned {
  readonly Deno?: { readonly version: { readonly deno: string } };
}

/** Whether immediates wait for the timers that are set, as in Deno before 2.7. */
function immediatesWait(): boolean {
  const { Deno } = globalThis as Versioned;
  if (Deno === undefined) return false;
  const [major, minor] = Deno.version.deno.split(".").map(Number) as [number, number];
  return major < 2 || (major === 2 && minor < 7);
}

/** Calls back in the next turn of the event loop, once what is ready has been looked at. */
export const nextTurn: (callback: () => void) => void = immediatesWait()
  ? (callback) => void setTimeout(callback, 0)
  : setImmediate;
