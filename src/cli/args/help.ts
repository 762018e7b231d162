/**
 * The help of a command, from its description.
 *
 * @module
 */

import { optionsOf } from "./parse.ts";
import type { Command, Option } from "./command.ts";
import type { Styles } from "../ui/terminal.ts";

const STATUSES = {
  0: "success",
  1: "an error occurred",
  2: "invalid command line",
  130: "stopped by Ctrl-C (143: by SIGTERM)",
};

/** Lines of text are no longer than this, however wide the terminal is. */
const MAX_WIDTH = 100;

/**
 * What `--help` prints.
 *
 * @param path The names down to the command, that of the program first.
 * @param width The columns of the terminal.
 */
export function helpText(
  path: readonly string[],
  command: Command,
  styles: Styles,
  width: number = 80,
): string {
  const { commands = [], examples, operands } = command;
  const program = path.join(" ");
  const options = `[OPTION...]${operands ? ` ${operands}` : ""}`;
  const usage = commands.length === 0 ? options : command.run ? `[COMMAND] ${options}` : "COMMAND";
  const section = (title: string, rows: readonly (readonly [string, string])[]) =>
    rows.length === 0 ? [] : [`${styles.bold(`${title}:`)}\n${columns(rows)}`];
  return [
    `${command.summary}.`,
    `${styles.bold("Usage:")} ${program} ${usage}`,
    ...command.details ? [wrap(command.details, Math.min(width, MAX_WIDTH))] : [],
    ...section("Commands", commands.map(({ name, summary }) => [name, summary])),
    ...section("Options", optionsOf(command).map((option) => [optionText(option), option.summary])),
    ...section("Examples", examples.map(({ line, summary }) => [`${path[0]} ${line}`, summary])),
    ...section("Exit status", statusesOf(command)),
  ].join("\n\n");
}

/** The exit statuses of a command, each with its meaning. */
export function statusesOf(command: Command): [status: string, meaning: string][] {
  return Object.entries({ ...STATUSES, ...command.statuses });
}

/** Paragraphs with their lines rewrapped, except those with indented lines. */
function wrap(text: string, width: number): string {
  return text.split(/\n{2,}/).map((paragraph) => {
    if (/^\s/m.test(paragraph)) return paragraph;
    const lines = [""];
    for (const word of paragraph.split(/\s+/)) {
      const line = lines.at(-1)!;
      if (line === "") lines[lines.length - 1] = word;
      else if (line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
      else lines.push(word);
    }
    return lines.join("\n");
  }).join("\n\n");
}

function optionText({ name, short, value, choices }: Option): string {
  const what = value === undefined ? "" : ` ${choices?.join("|") ?? value}`;
  return `${short ? `-${short}, ` : "    "}--${name}${what}`;
}

/** Rows of two columns; what is too long for the first has its second one on the next line. */
function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.min(34, Math.max(...rows.map(([first]) => first.length)));
  return rows.map(([first, second]) =>
    first.length > width
      ? `  ${first}\n  ${" ".repeat(width)}  ${second}`
      : `  ${first.padEnd(width)}  ${second}`
  ).join("\n");
}
