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
  [/\ball else\b/i, "everything else"],
  [/\b(is|are) none of (?!these|this)/i, "is not"],
  [/\bElsewhere than\b/i, "on systems other than"],
  [/\bstands? in\b(?! an? place| the )/i, "is used instead"],
  [/: how (it|an? \w+) begins\b/i, "which is the default"],
  [/\bheads? of (the|an?) (answer|response|request)s?\b/i, "headers"],
  [/\b(breaks?|broke|broken) off\b/i, "resets, ends early"],
  [/\b(less|what) (came|comes)\b(?! next)/i, "name it: data, the response"],
  [/\b(on|off) to begin with\b/i, "by default"],
  [/\bin the place of\b/i, "instead of"],
  [
    /\b(is|are) no (doctor|folder|file|address|text|number|option|failure|interface)\b/i,
    "is not a",
  ],
  [/[.!?] What [a-z][^?]*[.;](?= |$|\*)/, "name the subject"],
  [/(^|[.!?*] )(Whoever|Whatever) [a-z]/, "name the subject"],
  [/\btells (when|whether|who)\b/i, "reports, shows"],
  [/\b(ask|asks|asked|asking) for MPTCP\b/i, "request MPTCP"],
  [/\bwithout a word\b/i, "silently"],
  [/\bby (HTTP|TCP|MPTCP|netlink|Unix sockets|the PROXY protocol)\b/, "over, with, via"],
  [/\b(TCP|listeners|engine|port|head) alone\b/i, "only"],
  [/\bbeside (the first|the others|it|them|those|that|what)\b/i, "in addition to, as well as"],
  [/\bwhat there is\b(?! room)/i, "name what exists"],
  [/\b(came|come|comes|went) by\b/i, "uses"],
  [/\bgoes on\b(?! to)/i, "continues"],
  [/\banew\b/i, "again"],
  [/\baffairs?\b/i, "managed by"],
  [/\bout by (its|the|device)\b/i, "via"],
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
