/**
 * Programs of this repository as commands.
 *
 * @module
 */

import process from "node:process";
import { fileURLToPath } from "node:url";
import { isDeno } from "../../ffi/runtime.ts";

/**
 * The command that runs a program on the runtime that this one runs on.
 *
 * @param path From the root of the repository.
 * @param permission What Deno is to allow it.
 */
export function programCommand(path: string, permission: string, ...args: string[]): string[] {
  const program = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  return [process.execPath, ...(isDeno ? ["run", permission] : []), program, ...args];
}
