/**
 * The rate of a link.
 *
 * @module
 */

import { runBatch } from "./command.ts";
import { interfaceOf } from "./links.ts";

/**
 * Limits what one end of a path sends, by a token bucket (tc-tbf). The rate counts Ethernet bytes: at
 * 100 Mbit/s one TCP connection carries some 95.7 Mbit/s of data. The bucket holds 32 KiB and a
 * packet waits at most 50 ms: with these, figures vary the least between runs.
 *
 * @param rate In Mbit/s.
 * @throws {RangeError} when the rate is not above 0: `tc` would take it, and stop the link.
 */
export async function setRate(namespace: string, path: number, rate: number): Promise<void> {
  if (!(rate > 0 && rate < Infinity)) throw new RangeError(`Path ${path}: no rate is ${rate}`);
  const shape = `tbf rate ${rate}mbit burst 32kb latency 50ms`;
  const line = `qdisc replace dev ${interfaceOf(path)} root ${shape}`;
  await runBatch(["tc", "-n", namespace], [line]);
}
