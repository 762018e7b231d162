/**
 * `mptcp completions`: scripts that have a shell complete the program's command lines.
 *
 * @module
 */

import { UsageError } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { type Node, nodesOf } from "./tree.ts";
import { bashScript } from "./bash.ts";
import { fishScript } from "./fish.ts";
import { type CompletionsOptions, readCompletionsOptions } from "./options.ts";
import { zshScript } from "./zsh.ts";
import { toJson } from "../ui/json.ts";
import type { Terminal } from "../ui/terminal.ts";

const SHELLS: Readonly<Record<string, (name: string, nodes: readonly Node[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** The command, for a program that has it among its own commands. */
export function completionsOf(program: () => Command): Command {
  return {
    name: "completions",
    summary: "Print completions for a shell",
    operands: Object.keys(SHELLS).join("|"),
    count: { min: 1, max: 1 },
    details: '--json prints {"shell", "script"}.',
    examples: [
      {
        line: "completions bash > ~/.local/share/bash-completion/completions/mptcp",
        summary: "bash",
      },
      { line: "completions zsh > ~/.zfunc/_mptcp", summary: "zsh, with ~/.zfunc in fpath" },
      { line: "completions fish > ~/.config/fish/completions/mptcp.fish", summary: "fish" },
    ],
    run: (args, terminal) =>
      Promise.resolve(print(program(), readCompletionsOptions(args), terminal)),
  };
}

function print(
  program: Command,
  { shell, json }: CompletionsOptions,
  terminal: Terminal,
): number {
  const script = Object.hasOwn(SHELLS, shell)
    ? SHELLS[shell]!(program.name, nodesOf(program))
    : unknownShell(shell);
  terminal.print(json ? toJson({ shell, script }) : script.trimEnd());
  return 0;
}

function unknownShell(shell: string): never {
  throw new UsageError(`expected ${Object.keys(SHELLS).join(", ")}, not "${shell}"`);
}
