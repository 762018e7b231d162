/**
 * Putting a mistake into the text of a file.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import type { Mutant } from "./table.ts";

/**
 * The text of the file with the mistake in it.
 *
 * @throws {Error} where the file no longer has the text that is to be changed, or has it twice.
 */
export function mutate(root: string, { file, find, replace, name }: Mutant): string {
  const text = readFileSync(`${root}${file}`, "utf8");
  const parts = text.split(find);
  if (parts.length !== 2) {
    throw new Error(
      `"${name}": ${file} has the text ${
        parts.length - 1
      } times instead of once. Write the mutant ` +
        `anew in tests/mutants/table.ts:\n${find}`,
    );
  }
  return parts.join(replace);
}
