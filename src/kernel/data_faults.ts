/**
 * What is known about kernels that hand on wrong bytes over MPTCP, and the counter that hints at it.
 *
 * Measured with C programs at both ends, 16 to 24 MB in which every 8 bytes hold their position, while
 * paths were cut and endpoints removed and added again: Linux 6.18.15 had 3 wrong of 66, 6.18.44 43 of
 * 312, 6.12.117 none of 78, 7.3.4 none of 124. Checksums made it rarer (7 of 310), not impossible.
 *
 * @module
 */

import type { MptcpCounters } from "./counters.ts";

/** The first version after the last in which none was seen, and the next in which none was seen. */
const SUSPECT = { from: [6, 13], before: [7, 3] } as const;
const MEASURED = "6.18";

const ADVICE =
  "Verify transfers over several paths by a digest, or use TLS, which turns wrong bytes " +
  "into an error; net.mptcp.checksum_enabled does not prevent them";

/** Sentences about wrong data: what this kernel is known for, and what it has counted. */
export function dataWarnings(kernel: string | null, counters: MptcpCounters): string[] {
  const warnings: string[] = [];
  const version = /^(\d+)\.(\d+)/.exec(kernel ?? "")?.slice(1).map(Number) as
    | [number, number]
    | undefined;
  if (version !== undefined && isSuspect(version)) {
    const seen = version.join(".") === MEASURED
      ? `Linux ${MEASURED} can deliver wrong bytes`
      : `Linux ${version.join(".")} may deliver wrong bytes, as ${MEASURED} does`;
    warnings.push(
      `${seen} when a path is cut, or an endpoint removed and added again, during a transfer. ${ADVICE}`,
    );
  }
  const { DSSNotMatching = 0 } = counters;
  if (DSSNotMatching > 0) {
    warnings.push(
      `Received data mappings contradicted one another ${DSSNotMatching} times ` +
        `(MPTcpExtDSSNotMatching): a transfer may have delivered wrong bytes. ${ADVICE}`,
    );
  }
  return warnings;
}

function isSuspect([major, minor]: readonly [number, number]): boolean {
  const at = 1000 * major + minor;
  return at >= 1000 * SUSPECT.from[0] + SUSPECT.from[1] &&
    at < 1000 * SUSPECT.before[0] + SUSPECT.before[1];
}
