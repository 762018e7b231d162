/**
 * The command line: `deno run -A jsr:@multipath/mptcp/cli --help`, or `bunx @multipath/mptcp --help`.
 *
 * @module
 */

import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
// A Node.js that is too old says so at import, as everywhere, and not at the first command.
import "../../mod.ts";
import { UsageError } from "./args/arguments.ts";
import type { Command } from "./args/command.ts";
import { loadProgram, PROGRAM } from "./commands.ts";
import { reportFailure } from "./ui/failure.ts";
import { helpText } from "./args/help.ts";
import { toJson } from "./ui/json.ts";
import { isNear, parseArguments } from "./args/parse.ts";
import { interruptedStatus, openTerminal, type Terminal } from "./ui/terminal.ts";
import { VERSION } from "./version.ts";

/**
 * Runs the program as from a command line. It prints on the standard streams of this process, and
 * handles SIGINT and SIGTERM while it runs.
 *
 * @param args The arguments without the program's name, such as `["check", "--json"]`.
 * @returns The exit status: 0 on success, 1 on an error, 2 for an invalid command line, 130 or 143 if
 * SIGINT or SIGTERM stopped it. Commands have further statuses.
 *
 * @example
 * ```ts
 * import { main } from "@multipath/mptcp/cli";
 *
 * const status = await main(["--help"]);
 * console.log(status); // 0
 * ```
 */
export async function main(args: readonly string[]): Promise<number> {
  using terminal = openTerminal();
  const words = args[0] === "help" ? [...args.slice(1), "--help"] : args;
  const [path, rest] = findCommand(await loadProgram(words[0]), words);
  const command = path.at(-1)!;
  const names = path.map(({ name }) => name);
  try {
    return await runCommand(names, command, rest, terminal);
  } catch (error) {
    if (terminal.signal.aborted) return interruptedStatus(terminal.signal);
    return reportFailure(error, names.join(" "), asksForJson(rest), terminal);
  } finally {
    // A reader that does not read is not waited for any longer.
    const late = new AbortController();
    const patience = delay(FLUSH_TIME, undefined, { ref: false, signal: late.signal });
    await Promise.race([terminal.flush(), patience.catch(() => {})]);
    late.abort();
  }
}

/** Milliseconds that what was logged has to be written in the end. */
const FLUSH_TIME = 1000;

/** Told without the parser, which may be what refuses the command line. */
function asksForJson(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? words.length : end).includes("--json");
}

/** The commands that the first words name, from the program down, and the words behind them. */
function findCommand(
  program: Command,
  args: readonly string[],
): [path: Command[], rest: readonly string[]] {
  const path = [program];
  for (const [i, word] of args.entries()) {
    const next = path.at(-1)!.commands?.find(({ name }) => name === word);
    if (next === undefined) return [path, args.slice(i)];
    path.push(next);
  }
  return [path, []];
}

async function runCommand(
  names: readonly string[],
  command: Command,
  words: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const first = words.find((word) => !word.startsWith("-"));
  if (command.run === undefined && first !== undefined) throw unknownCommand(command, first);
  const args = parseArguments(command, words);
  if (args.has("help")) {
    terminal.print(helpText(names, command, terminal.styles, terminal.columns));
    return 0;
  }
  if (args.has("version")) {
    terminal.print(args.has("json") ? toJson({ version: VERSION }) : `${PROGRAM} ${VERSION}`);
    return 0;
  }
  if (command.run === undefined) throw new UsageError("expected a command");
  return await command.run(args, terminal);
}

function unknownCommand({ commands = [] }: Command, word: string): UsageError {
  const near = commands.find(({ name }) => isNear(name, word));
  if (near?.name === word) return new UsageError(`put options after the command "${word}"`);
  const hint = near ? `; did you mean "${near.name}"?` : "";
  return new UsageError(`unknown command "${word}"${hint}`);
}

if (import.meta.main) {
  const status = await main(process.argv.slice(2));
  const flushed = Promise.all([process.stdout, process.stderr].map(flush));
  // After an interrupt a slow reader is not waited for, and Deno does not report output that can no
  // longer be written.
  const patience = status === 0 ? flushed : new Promise((resolve) => setTimeout(resolve, 100));
  await Promise.race([flushed, patience]);
  // A read of standard input that is under way would keep the process alive.
  process.exit(status);
}

function flush(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    // Nobody reads any more.
    stream.once("error", resolve);
    stream.write("", () => resolve());
  });
}
