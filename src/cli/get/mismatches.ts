/**
 * The kernel's sign that a transfer may have delivered wrong bytes.
 *
 * @module
 */

import { mptcpCounters } from "../../kernel/counters.ts";
import type { CheckedDigest } from "./digest.ts";

/**
 * Mappings that contradicted the one before (MPTcpExtDSSNotMatching), in the time of a transfer. They
 * are counted for all connections of the machine.
 */
export class Mismatches {
  readonly #before: number = readCounter();

  /** How many there have been since. */
  get count(): number {
    return Math.max(0, readCounter() - this.#before);
  }

  /** What to tell about them. */
  warning(digests: readonly CheckedDigest[]): string {
    const seen = "the kernel received data on one path that contradicts data received before " +
      "(MPTcpExtDSSNotMatching)";
    return digests.length > 0
      ? `${seen}. The digest matches, so this transfer is intact.`
      : `${seen}. The body may be wrong: verify it with --checksum.`;
  }
}

/** 0 where it cannot be read. */
function readCounter(): number {
  try {
    return mptcpCounters()?.DSSNotMatching ?? 0;
  } catch {
    return 0;
  }
}
