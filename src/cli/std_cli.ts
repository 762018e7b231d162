/**
 * `@std/cli/parse-args`, as far as the program uses it, with types: the npm package that the import map
 * of this repository has in its place has none, and what is published imports `jsr:@std/cli`.
 *
 * @module
 */

import * as std from "@std/cli/parse-args";

/** What {@linkcode parseArgs} is to know about the options. */
export interface ParseOptions {
  /** Options without a value. */
  boolean?: readonly string[];
  /** Options with a value; `"_"` keeps operands texts. */
  string?: readonly string[];
  /** Options that may come more than once. */
  collect?: readonly string[];
  /** Other names of an option. */
  alias?: Record<string, string>;
  /** Called with an operand or an unknown option. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Takes a command line apart. */
export const parseArgs: (
  args: readonly string[],
  options: ParseOptions,
) => { _: string[] } & Record<string, unknown> = std.parseArgs as never;
