/**
 * The options of `mptcp man`.
 *
 * @module
 */

import type { Arguments } from "../args/arguments.ts";
import { type CommonOptions, readCommonOptions } from "../args/common_options.ts";

/** Which page to print, and how. */
export interface ManOptions extends CommonOptions {
  /** The names of the command, without the program's. */
  readonly names: readonly string[];
}

/** Reads the command line of `man`. */
export function readManOptions(args: Arguments): ManOptions {
  return { ...readCommonOptions(args), names: args.operands };
}
