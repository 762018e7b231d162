/**
 * A manual page in the man macros of roff, from the description of a command.
 *
 * @module
 */

import type { Command, Option } from "../args/command.ts";
import { statusesOf } from "../args/help.ts";
import { optionsOf } from "../args/parse.ts";

/**
 * The manual page of a command.
 *
 * @param path The commands from the program down to the one described.
 * @param version The version of the program.
 */
export function manPage(path: readonly Command[], version: string): string {
  const command = path.at(-1)!;
  const program = path[0]!.name;
  const name = path.map(({ name }) => name).join("-");
  const { commands = [], details, examples } = command;
  return [
    `.TH ${quoted(name.toUpperCase())} 1 "" ${quoted(`${program} ${version}`)}`,
    ...section("NAME", [`${escape(name)} \\- ${escape(lowerFirst(command.summary))}`]),
    ...section("SYNOPSIS", synopsis(path)),
    ...details === undefined ? [] : section("DESCRIPTION", paragraphs(details)),
    ...section("COMMANDS", commands.flatMap((below) => item(bold(below.name), below.summary))),
    ...section(
      "OPTIONS",
      optionsOf(command).flatMap((option) => item(optionText(option), option.summary)),
    ),
    ...section(
      "EXAMPLES",
      examples.flatMap(({ line, summary }) => item(bold(`${program} ${line}`), summary)),
    ),
    ...section(
      "EXIT STATUS",
      statusesOf(command).flatMap(([status, text]) => item(bold(status), text)),
    ),
    ...section("SEE ALSO", seeAlso(path)),
    "",
  ].join("\n");
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`.SH ${quoted(title)}`, ...lines];
}

function synopsis(path: readonly Command[]): string[] {
  const { operands, commands = [], run } = path.at(-1)!;
  const name = path.map(({ name }) => name).join(" ");
  const options = `[OPTION...]${operands ? ` ${operands}` : ""}`;
  const usage = commands.length === 0 ? options : run ? `[COMMAND] ${options}` : "COMMAND";
  return [`${bold(name)} ${escape(usage)}`];
}

/** Paragraphs; one with indented lines keeps its line breaks, as in the help. */
function paragraphs(text: string): string[] {
  return text.split(/\n{2,}/).flatMap((paragraph, i) => {
    const lines = paragraph.split("\n").map(escape);
    const body = /^\s/m.test(paragraph) ? [".nf", ...lines, ".fi"] : lines;
    return i === 0 ? body : [".PP", ...body];
  });
}

function item(tag: string, text: string): string[] {
  return [".TP", tag, escape(text)];
}

function optionText({ name, short, value, choices }: Option): string {
  const names = [...short ? [bold(`-${short}`)] : [], bold(`--${name}`)].join(", ");
  return value === undefined ? names : `${names} \\fI${escape(choices?.join("|") ?? value)}\\fR`;
}

function seeAlso(path: readonly Command[]): string[] {
  const above = path.slice(0, -1).map((_, i) => path.slice(0, i + 1));
  const below = (path.at(-1)!.commands ?? []).map((command) => [...path, command]);
  const pages = [...above, ...below].map((names) => names.map(({ name }) => name).join("-"));
  return [
    [...pages, "ip-mptcp"].map((page) => `${bold(page)}(${page === "ip-mptcp" ? 8 : 1})`)
      .join(", "),
  ];
}

function bold(text: string): string {
  return `\\fB${escape(text)}\\fR`;
}

function quoted(text: string): string {
  return `"${escape(text).replaceAll('"', "\\(dq")}"`;
}

/** A text without what roff would take for markup. A hyphen is written as the minus of ASCII. */
function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^([.'])/gm, "\\&$1");
}

function lowerFirst(text: string): string {
  return text[0]!.toLowerCase() + text.slice(1);
}
