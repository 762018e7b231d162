/**
 * When an endpoint that no connection could open a subflow from is tried again.
 *
 * Only one that no connection uses: taking an endpoint away and adding it again closes the subflows
 * from it, and Linux 6.18 can then mix up the bytes of a transfer.
 *
 * @module
 */

import { now } from "../../../ffi/event_loop.ts";
import type { ScannedSubflow } from "../../kernel/subflow_scan.ts";

/** In milliseconds: a SYN is repeated after one second and after three. */
const FIRST = 4000;
const LONGEST = 300_000;

interface Waiting {
  readonly id: number;
  readonly since: number;
  readonly attempts: number;
}

/** See the module's documentation. */
export class SubflowRetry {
  readonly #waiting: Map<string, Waiting> = new Map();

  /** Whether an endpoint is due for another attempt; called now and then with all subflows. */
  isDue(
    { id, address }: { id: number; address: string },
    subflows: readonly ScannedSubflow[],
  ): boolean {
    const isIpv4 = !address.includes(":");
    const isUsed = subflows.some(({ localAddress }) => localAddress === address);
    // A connection of the other family may not be able to use it.
    const isWanted = subflows.some((subflow) =>
      subflow.initial && subflow.localAddress.includes(":") !== isIpv4
    );
    if (isUsed || !isWanted) {
      this.#waiting.delete(address);
      return false;
    }
    const waiting = this.#waiting.get(address) ?? { id, since: now(), attempts: 0 };
    this.#waiting.set(address, waiting);
    if (now() - waiting.since < Math.min(LONGEST, FIRST * 2 ** waiting.attempts)) return false;
    this.#waiting.set(address, { id, since: now(), attempts: waiting.attempts + 1 });
    return true;
  }
}
