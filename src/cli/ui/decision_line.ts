/**
 * Decisions of path policies in words.
 *
 * @module
 */

import type { PathDecision } from "../../path_manager/mod.ts";

/** A decision as a line, with its time. */
export function decisionLine(decision: PathDecision): string {
  const at = new Date(decision.time).toISOString().slice(11, 23);
  return `${at} ${decisionText(decision)}`;
}

/** The same without the time. */
export function decisionText({ by, path, device, action, reason, error }: PathDecision): string {
  const failed = error === undefined ? "" : ` (failed: ${error})`;
  return `${device} ${path} ${action}: ${reason} [${by}]${failed}`;
}
