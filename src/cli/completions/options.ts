/**
 * What `mptcp completions` is told.
 *
 * @module
 */

import type { Arguments } from "../args/arguments.ts";
import { type CommonOptions, readCommonOptions } from "../args/common_options.ts";

/** Which script to print, and how. */
export interface CompletionsOptions extends CommonOptions {
  /** The shell's name. */
  readonly shell: string;
}

/** Reads the command line of `completions`. */
export function readCompletionsOptions(args: Arguments): CompletionsOptions {
  return { ...readCommonOptions(args), shell: args.operands[0]! };
}
