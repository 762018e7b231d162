/**
 * The documents of the repository, and the snippets in them.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import { ROOT } from "./processes.ts";

/** A fenced block of TypeScript. */
export interface Snippet {
  /** The name in its first line, as `// server.ts`; `null` without one. */
  readonly file: string | null;
  readonly text: string;
}

/** README.md and the pages in docs/, by their paths from the top folder. */
export const PAGES: readonly string[] = [
  "README.md",
  ...readdirSync(`${ROOT}docs`).filter((name) => name.endsWith(".md")).map((name) =>
    `docs/${name}`
  ),
];

/** The text of a page. */
export function pageText(path: string): string {
  return readFileSync(`${ROOT}${path}`, "utf8");
}

/** The blocks of a page that are to be run: those without `ignore`. */
export function snippetsOf(page: string): Snippet[] {
  return [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, text]) => ({
    file: /^\/\/ (\S+\.ts)\n/.exec(text!)?.[1] ?? null,
    text: text!,
  }));
}

/** What a page says that each of its files prints: "`client.ts` prints:" and a block of text. */
export function outputsOf(page: string): Map<string, string> {
  const pattern = /`(\S+\.ts)` prints:\n\n```text\n(.*?)^```$/gms;
  return new Map([...page.matchAll(pattern)].map(([, file, text]) => [file!, text!]));
}

/** The anchors that GitHub gives to the headings of a page. */
export function anchorsOf(page: string): Set<string> {
  const prose = page.replace(/^```.*?^```$/gms, "");
  return new Set(
    [...prose.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title!.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
    ),
  );
}

/** The targets of a page's links and pictures. */
export function linksOf(page: string): string[] {
  const prose = page.replace(/^```.*?^```$/gms, "").replace(/`[^`\n]*`/g, "");
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
}
