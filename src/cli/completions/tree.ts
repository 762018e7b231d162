/**
 * The program as shells complete it: every command by the words that lead to it.
 *
 * @module
 */

import type { Command, Option } from "../args/command.ts";
import { optionsOf } from "../args/parse.ts";

/** What can stand in a place of the command line. */
export type Kind =
  | { readonly type: "file" | "folder" | "netns" | "device" | "other" }
  | { readonly type: "choices"; readonly choices: readonly string[] };

/** A command, and what can follow it. */
export interface Node {
  /** The words that lead to it, as "mptcp endpoint add". */
  readonly path: string;
  readonly commands: readonly Command[];
  readonly options: readonly Option[];
  /** What its operands are; `null` where it takes none. */
  readonly operand: Kind | null;
}

/** A command and all below it, each before those below it. */
export function nodesOf(command: Command, path: string = command.name): Node[] {
  const { commands = [], operands } = command;
  return [
    {
      path,
      commands,
      options: optionsOf(command),
      operand: operands === undefined ? null : operandKind(operands),
    },
    ...commands.flatMap((child) => nodesOf(child, `${path} ${child.name}`)),
  ];
}

/** What an option takes; `null` for a flag. */
export function valueKind({ name, value, choices }: Option): Kind | null {
  if (choices !== undefined) return { type: "choices", choices };
  if (value === undefined) return null;
  if (name === "netns") return { type: "netns" };
  return kindNamed(value);
}

/** By the words that stand for them in the help; "bash|zsh" are the words themselves. */
function operandKind(operands: string): Kind {
  if (/^[a-z]+(\|[a-z]+)+$/.test(operands)) {
    return { type: "choices", choices: operands.split("|") };
  }
  return kindNamed(operands);
}

function kindNamed(text: string): Kind {
  if (/\bFILE\b/.test(text)) return { type: "file" };
  if (/\b(FOLDER|DIRECTORY)\b/.test(text)) return { type: "folder" };
  return { type: text === "DEVICE" ? "device" : "other" };
}

/** A text between single quotes, as bash and zsh read it. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
