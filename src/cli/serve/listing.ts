/**
 * The page that lists a folder.
 *
 * @module
 */

import type { Entry } from "./folder.ts";

const STYLE = `body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem;
  padding: 0 1rem; color-scheme: light dark }
table { border-collapse: collapse; width: 100% }
td { padding: .15rem 1rem .15rem 0; font-variant-numeric: tabular-nums }
td + td { text-align: right; white-space: nowrap }
a { text-decoration: none }`;

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => ENTITIES[letter]!);
}

/** The page in HTML. */
export function listingPage(parts: readonly string[], entries: readonly Entry[]): string {
  const title = escape(`/${parts.map((part) => `${part}/`).join("")}`);
  const up = parts.length > 0 ? ['<tr><td><a href="../">../</a></td></tr>'] : [];
  return `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>
${STYLE}
</style>
<h1>${title}</h1>
<table>
${[...up, ...entries.map(row)].join("\n")}
</table>
</html>
`;
}

function row({ name, stats }: Entry): string {
  const slash = stats.isDirectory() ? "/" : "";
  // Without "./" a name with a colon would be taken for a URL.
  const href = escape(`./${encodeURIComponent(name)}${slash}`);
  const size = stats.isDirectory() ? "" : stats.size.toLocaleString("en");
  const time = stats.mtime.toISOString().slice(0, 16).replace("T", " ");
  return `<tr><td><a href="${href}">${escape(name)}${slash}</a></td>` +
    `<td>${size}</td><td>${time}</td></tr>`;
}
