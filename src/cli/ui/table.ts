/**
 * Tables of text.
 *
 * @module
 */

import type { Styles } from "./terminal.ts";

/** A column of a table. */
export interface Column {
  readonly heading: string;
  /** Whether its cells end at one place, as numbers do. */
  readonly right?: boolean;
}

/** Lines of aligned columns, two spaces between them, under a line of headings. */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  styles: Styles,
): string[] {
  const headings = columns.map(({ heading }) => heading);
  const widths = columns.map((_, i) =>
    Math.max(...[headings, ...rows].map((cells) => cells[i]?.length ?? 0))
  );
  const line = (cells: readonly string[]) =>
    columns.map(({ right }, i) => {
      const cell = cells[i] ?? "";
      return right ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!);
    }).join("  ").trimEnd();
  return [styles.bold(line(headings)), ...rows.map(line)];
}

/** Lines of a name and what it is. */
export function pairLines(
  pairs: readonly (readonly [name: string, value: string])[],
  styles: Styles,
): string[] {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) =>
    `${styles.bold(name)}${" ".repeat(width - name.length)}  ${value}`
  );
}
