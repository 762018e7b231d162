/**
 * What is known about kernels that deliver wrong bytes over MPTCP, and the counter that hints at it.
 *
 * `docs/kernel/README.md` has the cause: a subflow whose first data arrives while the socket is locked.
 * It came with Linux 6.15 (bc68b0efa1bf). Measured: 6.18.15 and 6.18.44 have it, 6.12.117 and 7.3.4
 * do not.
 *
 * @module
 */

import type { MptcpCounters } from "./counters.ts";

/** The version that the change was first proposed for, and the first one measured to be right again. */
const SUSPECT = { from: [6, 14], before: [7, 3] } as const;
const MEASURED = "6.18";

const ADVICE =
  "Add extra paths as backup first (mptcp paths up does), verify transfers with a digest, or use TLS, " +
  "which turns wrong bytes into an error; net.mptcp.checksum_enabled does not prevent them";

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
      `${seen} to a server when a path with a round trip below a millisecond joins during a ` +
        `transfer. ${ADVICE}`,
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
