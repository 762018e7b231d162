/**
 * What the demonstration prints.
 *
 * @module
 */

import process from "node:process";
import { styleText } from "node:util";
import type { Call, View } from "./call.ts";

type Style = "bold" | "green" | "yellow" | "dim";

/** Columns, within what can be read. */
const WIDTH = Math.min(Math.max(process.stdout.columns ?? 100, 60), 100);
const HEADING = "  end     protocol  subflows, the paths of one connection";
const LABEL = HEADING.indexOf("subflows");

/** The table of the calls by their names. */
export function format(title: string, calls: Readonly<Record<string, Call>>): string {
  const told = new Set<string>();
  const rows = Object.entries(calls).flatMap(([name, { client, server }]) => [
    paint("bold", name),
    ...viewRows("client", client, told),
    ...viewRows("server", server, told),
  ]);
  return [...wrap(title, WIDTH), "", paint("dim", HEADING), ...rows].join("\n");
}

function viewRows(end: string, view: View, told: Set<string>): string[] {
  const { protocol, subflows, reason } = view;
  const style = protocol === "mptcp" ? "green" : "yellow";
  const label = `  ${end.padEnd(8)}${paint(style, protocol.padEnd(10))}`;
  const cells = [...subflows, ...reasonRows(reason, told)];
  return cells.map((cell, i) => (i === 0 ? label : " ".repeat(LABEL)) + cell);
}

/** A reason is told in full once. */
function reasonRows(reason: string | undefined, told: Set<string>): string[] {
  if (reason === undefined) return [];
  const text = told.has(reason) ? "For the reason above" : reason;
  told.add(reason);
  return wrap(text, WIDTH - LABEL).map((line) => paint("dim", line));
}

function paint(style: Style, text: string): string {
  const coloured = process.stdout.isTTY && !process.env.NO_COLOR;
  return coloured ? styleText(style, text, { validateStream: false }) : text;
}

/** Breaks a text into lines between its words. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines;
}
