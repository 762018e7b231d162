/**
 * Prepares a release: JSR and npm show the README without the files beside it, so its links and
 * pictures get absolute addresses, and package.json the address of the repository. The import map has
 * a mirror on npm in the place of `@std`, which gives way to JSR's own packages.
 *
 *   deno run --allow-read --allow-write .ci/prepare_release.ts https://github.com/OWNER/NAME v1.2.3
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";

/** A page of Markdown with absolute links to the files of a repository at a tag. */
export function absoluteLinks(page: string, repository: string, tag: string): string {
  return page.replace(
    /(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)/g,
    (_, bang, text, path) =>
      `${bang}[${text}](${repository}/${bang === "" ? "blob" : "raw"}/${tag}/${path})`,
  );
}

/** The text of a package.json that says where its repository is. */
export function withRepository(text: string, repository: string): string {
  const added = {
    repository: { type: "git", url: `git+${repository}.git` },
    homepage: `${repository}#readme`,
    bugs: `${repository}/issues`,
  };
  return JSON.stringify({ ...JSON.parse(text), ...added }, null, 2) + "\n";
}

/** The text of a deno.json whose import map has JSR's packages in the place of the mirror on npm. */
export function withJsrNames(text: string): string {
  return text.replace(
    /"(@std\/(cli|http)(\/[^"]+))": "npm:[^"]+"/g,
    (_, name, from, path) => `"${name}": "jsr:@std/${from}@^1.0.0${path}"`,
  );
}

if (import.meta.main) {
  const [repository, tag] = process.argv.slice(2);
  if (repository === undefined || tag === undefined) throw new TypeError("Expected URL and TAG");
  const change = (path: string, edit: (text: string) => string) =>
    writeFileSync(path, edit(readFileSync(path, "utf8")));
  change("README.md", (text) => absoluteLinks(text, repository, tag));
  change("deno.json", withJsrNames);
  change("package.json", (text) => withRepository(text, repository));
}
