/**
 * Decisions of path policies in words.
 *
 * @module
 */

import type { PathDecision } from "../../path_manager/mod.ts";

/** A decision as a line. */
export function decisionLine(
  { time, by, path, device, action, reason, error }: PathDecision,
): string {
  const at = new Date(time).toISOString().slice(11, 23);
  const failed = error === undefined ? "" : ` (failed: ${error})`;
  return `${at} ${device} ${path} ${action}: ${reason} [${by}]${failed}`;
}
