/**
 * What `mptcp limits` is told.
 *
 * @module
 */

import type { PathManagerLimits } from "../../path_manager/mod.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import { type NetnsOptions, readNetnsOptions } from "../args/common_options.ts";

/** What `limits set` is told. */
export interface SetLimitsOptions extends NetnsOptions {
  /** The limits to set; those that are left out stay. */
  readonly limits: Partial<PathManagerLimits>;
}

/** The kernel is asked in 32 bits, and has a maximum of its own. */
const RANGE = { min: 0, max: 2 ** 32 - 1 } as const;

/** Reads the command line of `limits set`. */
export function readSetLimitsOptions(args: Arguments): SetLimitsOptions {
  const subflows = args.number("subflows", RANGE);
  const addAddrAccepted = args.number("add-addr-accepted", RANGE);
  if (subflows === undefined && addAddrAccepted === undefined) {
    throw new UsageError("expected --subflows, --add-addr-accepted, or both");
  }
  const limits = {
    ...(subflows !== undefined && { subflows }),
    ...(addAddrAccepted !== undefined && { addAddrAccepted }),
  };
  return { ...readNetnsOptions(args), limits };
}
