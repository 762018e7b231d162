/**
 * The language check of `deno task check`: phrases that readers stop at, in all that users or
 * contributors read. It prints each with its place and what to write instead.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What not to write, and what to write instead. */
const PHRASES: readonly (readonly [RegExp, string])[] = [
  [/\b(to be had|cannot be had|can be had)\b/i, "unavailable, available"],
  [/\b(tells|told|tell) of\b/i, "reports"],
  [/\b(comes?|came|coming) about\b/i, "happens, results"],
  [/\b(goes|went|going) round\b/i, "bypasses"],
  [/\bthat there (are|is)\b(?=[.,;:)]|$)/i, "name what exists"],
  [/\bwhere it has not\b/i, "where it is unavailable"],
  [/\b(has|have) (its|their) turn\b/i, "round-robin"],
  [/\bfall-backs?\b/i, "fallback"],
  [/\bMembers may be added\b/, "Fields may be added but never changed or removed"],
  [/\bthe same beside\b/i, "with ... as well"],
  [/(^|[.!?*/] )Who [a-z]+s? [^?]*$/m, "name who acts"],
  [/\bin place of (?:a|the|an) fall/i, "instead of"],
];

/** Files in a folder and below, by their paths from the top folder. */
function filesIn(folder: string, ending: string): string[] {
  return readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending)).map((name) => `${folder}/${name}`);
}

const FILES = [
  ..."README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md mod.ts".split(" "),
  ...filesIn("docs", ".md"),
  ...["src", "ffi", "examples"].flatMap((folder) => filesIn(folder, ".ts")),
];

let found = 0;
for (const file of FILES) {
  for (const [i, line] of readFileSync(`${ROOT}${file}`, "utf8").split("\n").entries()) {
    for (const [phrase, better] of PHRASES) {
      const match = phrase.exec(line);
      if (match === null) continue;
      found++;
      console.error(`${file}:${i + 1}: "${match[0].trim()}": ${better}`);
    }
  }
}
process.exitCode = found === 0 ? 0 : 1;
