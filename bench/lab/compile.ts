/**
 * C programs of the benchmarks, compiled when they are first needed and then kept.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { run } from "./command.ts";

let serial = 0;

const FLAGS = ["-O2", "-Wall"];

/** The place where tools keep what they can make again. */
const CACHE = fileURLToPath(new URL("../../node_modules/.cache/multipath", import.meta.url));

/** The path of the program that a C file is the source of. */
export async function compiled(source: URL): Promise<string> {
  const path = fileURLToPath(source);
  const hash = createHash("sha256")
    .update([...FLAGS, process.arch, readFileSync(path, "utf8")].join("\0"));
  const program = join(CACHE, `${basename(path, ".c")}-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(program)) return program;

  mkdirSync(CACHE, { recursive: true });
  // Others may be about to do the same, and to run what they made.
  const unfinished = `${program}.${process.pid}.${++serial}`;
  await run(["cc", ...FLAGS, "-o", unfinished, path]);
  renameSync(unfinished, program);
  return program;
}
