/**
 * What a command of the program is: its description, from which parsing, help and completions
 * follow, and what it does.
 *
 * @module
 */

import type { Arguments } from "./arguments.ts";
import type { Terminal } from "../ui/terminal.ts";

/** An option of a command. */
export interface Option {
  /** The long name, without its dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** What stands for its value in the help, as "FILE". An option without it is a flag. */
  readonly value?: string;
  /** The values it can have, where they are few. */
  readonly choices?: readonly string[];
  /** Whether it may come more than once. */
  readonly many?: boolean;
  /** One line for the help. */
  readonly summary: string;
}

/** A command line with what it does. */
export interface Example {
  /** All that follows the name of the program. */
  readonly line: string;
  readonly summary: string;
}

/** What all commands have, those that only hold others too. */
export interface Command {
  readonly name: string;
  /** One line for the list of commands, without a full stop. */
  readonly summary: string;
  /** The operands, as "[FOLDER]". */
  readonly operands?: string;
  /** How many operands there can be; none if left out. */
  readonly count?: { readonly min: number; readonly max: number };
  /** Paragraphs for the help. */
  readonly details?: string;
  readonly options?: readonly Option[];
  readonly examples: readonly Example[];
  /** Exit statuses beyond those that all commands have: 0, 1 and 2. */
  readonly statuses?: Readonly<Record<number, string>>;
  /** The commands below this one. */
  readonly commands?: readonly Command[];
  /**
   * Runs the command.
   *
   * @returns The exit status.
   * @throws {UsageError} for what the user wrote wrongly: status 2.
   * @throws {StatusError} for what has a status of its own.
   * @throws Any other error is printed by its message: status 1.
   */
  readonly run?: (args: Arguments, terminal: Terminal) => Promise<number>;
}
