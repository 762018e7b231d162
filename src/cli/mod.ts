/**
 * The command line: `deno run -A jsr:@multipath/mptcp/cli --help`, or `bunx @multipath/mptcp --help`.
 *
 * @module
 */

import process from "node:process";
import { UsageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { program } from "./commands.ts";
import { helpText } from "./help.ts";
import { distance, parseArguments } from "./parse.ts";
import { interruptedStatus, openTerminal, type Terminal } from "./terminal.ts";

/**
 * Runs the program as from a command line. It prints on the standard streams of this process, and
 * takes SIGINT and SIGTERM while it runs.
 *
 * @param args What follows the program's name, as `["check", "--json"]`.
 * @returns The exit status: 0 when all went well, 1 when something failed, 2 for a command line that
 * makes no sense, 130 and 143 when SIGINT or SIGTERM ended it; commands add their own.
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
  const [path, rest] = findCommand(args);
  const command = path.at(-1)!;
  const names = path.map(({ name }) => name);
  try {
    return await runCommand(names, command, rest, terminal);
  } catch (error) {
    if (terminal.signal.aborted) return interruptedStatus(terminal.signal);
    const message = error instanceof Error ? error.message : String(error);
    terminal.warn(`${terminal.errorStyles.red(`${names.join(" ")}:`)} ${message}`);
    if (!(error instanceof UsageError)) return 1;
    terminal.warn(`Try "${names.join(" ")} --help".`);
    return 2;
  }
}

/** The commands that the first words name, from the program down, and the words behind them. */
function findCommand(args: readonly string[]): [path: Command[], rest: readonly string[]] {
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
  const [first] = words;
  if (command.run === undefined && first !== undefined && !first.startsWith("-")) {
    const near = command.commands?.find(({ name }) => distance(name, first) <= 2);
    const hint = near ? `; did you mean "${near.name}"?` : "";
    throw new UsageError(`there is no command "${first}"${hint}`);
  }
  const args = parseArguments(command, words);
  if (args.has("help")) {
    terminal.print(helpText(names, command, terminal.styles));
    return 0;
  }
  if (command.run === undefined) throw new UsageError("expected a command");
  return await command.run(args, terminal);
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
