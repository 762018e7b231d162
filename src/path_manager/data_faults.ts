/**
 * `watchDataFaults`: reports signs of wrong data while a program runs.
 *
 * @module
 */

import { clearTimeout, setTimeout } from "node:timers";
import { mptcpCounters } from "../kernel/counters.ts";
import { checkSignal } from "../net/options.ts";

/** Options of {@linkcode watchDataFaults}. */
export interface DataFaultOptions {
  /** Ends the iteration. */
  signal?: AbortSignal;
  /** A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. */
  netns?: string;
  /**
   * Milliseconds between two reads of the counter.
   * @default {1000}
   */
  interval?: number;
}

/** The counter of contradictory data mappings has risen. */
export interface DataFault {
  /** The increase since the last event. */
  readonly count: number;
  /** The value of the counter. */
  readonly total: number;
}

/**
 * Reports when the kernel has received data mappings that contradict one another
 * (`MPTcpExtDSSNotMatching`). On Linux 6.18 that usually means that a transfer over several paths has
 * delivered wrong bytes. The counter covers all connections of the namespace, so it is a hint and no
 * proof about a single connection.
 * Watching keeps the process alive only while an iteration is waiting.
 *
 * @throws {MptcpError} code "ENOENT" if the kernel has no MPTCP or the namespace does not exist; "EPERM"
 * if the namespace must not be entered.
 *
 * @example
 * ```ts
 * import { watchDataFaults } from "@multipath/mptcp/path-manager";
 *
 * const signal = AbortSignal.timeout(50);
 * for await (const { count } of watchDataFaults({ signal, interval: 10 })) {
 *   console.log(`${count} contradictory mappings: verify what is being received`);
 * }
 * ```
 */
export async function* watchDataFaults(
  { signal, netns, interval = 1000 }: DataFaultOptions = {},
): AsyncGenerator<DataFault, void, undefined> {
  checkSignal(signal);
  if (!(interval >= 1)) {
    throw new RangeError(`Invalid interval: expected at least 1 millisecond, got ${interval}`);
  }
  const read = () => mptcpCounters(netns === undefined ? {} : { netns }).DSSNotMatching ?? 0;
  for (let before = read(); !signal?.aborted;) {
    const total = read();
    if (total > before) yield { count: total - before, total };
    before = total;
    await pause(interval, signal);
  }
}

function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener("abort", end, { once: true });
  });
}
