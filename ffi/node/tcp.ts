/**
 * Node's own TCP, which cannot be used instead: `node:net` listens in a later turn of the event loop, and a
 * listener of this module at once. The twin of `deno/tcp.ts`.
 *
 * @module
 */

import process from "node:process";
import type { Tcp } from "../tcp.ts";

/**
 * Node's TCP.
 *
 * @throws {Error} always.
 */
export function runtimeTcp(): Tcp {
  throw new Error(
    `@multipath/mptcp needs Linux on x64 or arm64 in Node.js; this is ${process.platform} on ${process.arch}`,
  );
}
