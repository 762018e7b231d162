/**
 * `mptcp man`: manual pages, from the same descriptions as the help.
 *
 * @module
 */

import { UsageError } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { toJson } from "../ui/json.ts";
import type { Terminal } from "../ui/terminal.ts";
import { VERSION } from "../version.ts";
import { type ManOptions, readManOptions } from "./options.ts";
import { manPage } from "./page.ts";

/** The command, for a program that has it among its own commands. */
export function manOf(program: () => Command): Command {
  return {
    name: "man",
    summary: "Print a manual page",
    operands: "[COMMAND...]",
    count: { min: 0, max: 3 },
    details: `Prints the manual page of the program or of a command, for man(1).

--json prints {"name", "page"}.`,
    examples: [
      { line: "man | man -l -", summary: "Read the manual page of mptcp" },
      {
        line: "man get > ~/.local/share/man/man1/mptcp-get.1",
        summary: "Install a page, for `man mptcp get`",
      },
    ],
    run: (args, terminal) => Promise.resolve(print(program(), readManOptions(args), terminal)),
  };
}

function print(program: Command, { names, json }: ManOptions, terminal: Terminal): number {
  const path = [program];
  for (const word of names) {
    const next = path.at(-1)!.commands?.find(({ name }) => name === word);
    if (next === undefined) throw new UsageError(`unknown command "${names.join(" ")}"`);
    path.push(next);
  }
  const page = manPage(path, VERSION);
  const name = path.map(({ name }) => name).join("-");
  terminal.print(json ? toJson({ name, page }) : page.trimEnd());
  return 0;
}
