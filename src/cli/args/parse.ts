/**
 * Command lines: taken apart, and checked against what their command takes.
 *
 * @module
 */

import { parseArgs } from "../std_cli.ts";
import { Arguments, UsageError } from "./arguments.ts";
import type { Command, Option } from "./command.ts";

/** The options that every command has. */
export const COMMON_OPTIONS: readonly Option[] = [
  { name: "json", summary: "Print JSON" },
  { name: "help", short: "h", summary: "Show this help" },
];

/** All options of a command. */
export function optionsOf(command: Command): readonly Option[] {
  return [...command.options ?? [], ...COMMON_OPTIONS];
}

/**
 * Takes the part of a command line behind the command's name apart.
 *
 * @throws {UsageError} that says what is wrong with it.
 */
export function parseArguments(command: Command, words: readonly string[]): Arguments {
  const options = optionsOf(command);
  const withValue = options.filter(({ value }) => value !== undefined);
  const parsed = parseArgs(splitShort(words, options), {
    boolean: options.filter(({ value }) => value === undefined).map(({ name }) => name),
    string: [...withValue.map(({ name }) => name), "_"],
    // All are collected, so that one which comes twice can be told.
    collect: withValue.map(({ name }) => name),
    alias: Object.fromEntries(options.flatMap(({ name, short }) => short ? [[short, name]] : [])),
    unknown: (arg, key) => key === undefined || refuseOption(arg, key, options),
  });
  const { _: operands, ...values } = parsed;
  for (const option of withValue) {
    values[option.name] = checkValues(option, values[option.name] as string[]);
  }
  if (!values.help) checkCount(command, operands);
  return new Arguments(operands, values);
}

/** "-XPUT" as "-X", "PUT", and "-so-" as "-s", "-o", "-". */
function splitShort(words: readonly string[], options: readonly Option[]): string[] {
  const takesValue = (letter: string) =>
    options.some(({ short, value }) => short === letter && value !== undefined);
  const isFull = (word: string) =>
    options.some(({ name, value }) => value !== undefined && word === `--${name}`);
  const split: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "--") return [...split, ...words.slice(i)];
    const letters = /^-[A-Za-z]/.test(word) ? [...word.slice(1)] : [];
    const at = letters.findIndex(takesValue);
    const rest = word.slice(at + 2).replace(/^=/, "");
    if (at > 0) split.push(`-${letters.slice(0, at).join("")}`);
    if (at >= 0) split.push(`-${letters[at]}`, ...rest === "" ? [] : [rest]);
    else split.push(word);
    // The next word is its value, whatever it looks like.
    const isOpen = at >= 0 ? rest === "" : isFull(word);
    if (isOpen && i + 1 < words.length) split.push(words[++i]!);
  }
  return split;
}

function refuseOption(arg: string, key: string, options: readonly Option[]): never {
  // Of letters that were written together, as "-vq", it is one that is wrong.
  const option = arg.startsWith("--") ? arg.replace(/=.*/s, "") : `-${key}`;
  const name = option.replace(/^-+/, "");
  const near = options.find((option) => isNear(option.name, name));
  throw new UsageError(
    `unknown option ${option}${near ? `; did you mean --${near.name}?` : ""}`,
  );
}

function checkValues(option: Option, values: string[]): string[] | string | undefined {
  const { name, choices, many = false } = option;
  if (values.includes("")) throw new UsageError(`--${name} needs a value`);
  const wrong = values.find((value) => choices !== undefined && !choices.includes(value));
  if (wrong !== undefined) {
    throw new UsageError(`--${name} takes one of ${choices!.join(", ")}, not "${wrong}"`);
  }
  if (many) return values;
  if (values.length > 1) throw new UsageError(`--${name} can only be given once`);
  return values[0];
}

function checkCount({ operands = "", count }: Command, found: readonly string[]): void {
  const { min, max } = count ?? { min: 0, max: 0 };
  if (found.length < min) throw new UsageError(`expected ${operands}`);
  if (found.length > max) throw new UsageError(`unexpected argument "${found[max]}"`);
}

/** Whether a word is likely to be meant by another: of short words no more than a letter is wrong. */
export function isNear(name: string, word: string): boolean {
  return distance(name, word) <= Math.min(2, Math.floor(name.length / 3));
}

/** How many letters lie between two words (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
