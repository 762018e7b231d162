/**
 * How a command that failed says so.
 *
 * @module
 */

import { MptcpError } from "../../error.ts";
import { UsageError } from "../args/arguments.ts";
import { toJson } from "./json.ts";
import { printable } from "./printable.ts";
import { StatusError } from "./status_error.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Prints an error on standard error, as `{"error": {"message": ..., "code": ...}}` with `--json`, and
 * gives the exit status: 2 for a wrong command line, the error's own where it has one, else 1.
 */
export function reportFailure(
  error: unknown,
  command: string,
  json: boolean,
  terminal: Terminal,
): number {
  const status = statusOf(error);
  if (json) {
    terminal.warn(toJson({ error: describe(error) }));
    return status;
  }
  terminal.warn(`${terminal.errorStyles.red(`${command}:`)} ${printable(messageOf(error))}`);
  if (error instanceof UsageError) terminal.warn(`Try "${command} --help".`);
  return status;
}

function statusOf(error: unknown): number {
  if (error instanceof UsageError) return 2;
  return error instanceof StatusError ? error.status : 1;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What programs may want to know: codes as those of `MptcpError`, and "ERR_USAGE". */
function describe(error: unknown): Record<string, unknown> {
  const message = messageOf(error);
  if (error instanceof UsageError) return { message, code: "ERR_USAGE" };
  if (!(error instanceof MptcpError)) return { message, code: codeOf(error) };
  const { code, syscall, address, port } = error;
  return { message, code, syscall, address, port };
}

/** The code that the runtimes' own errors have, of files for example. */
function codeOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}
