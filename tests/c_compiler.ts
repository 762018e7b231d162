/**
 * C programs on `abi.h`, for tests: what a compiler makes of the system's headers.
 *
 * @module
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { missingProgram, ROOT, run } from "./processes.ts";

/** The compiler for this machine. */
const NATIVE = process.env.CC ?? "cc";
/** The compiler of Debian's package gcc-aarch64-linux-gnu. */
const AARCH64 = "aarch64-linux-gnu-gcc";

/** Why no C program can be compiled here; `null` if it can. */
export const noCompiler: string | null = missingProgram(NATIVE);

/** True if there is a compiler for aarch64. */
export const hasAarch64Compiler: boolean = missingProgram(AARCH64) === null;

/** C expressions of integers, by names of the caller's own. */
export type Expressions = Readonly<Record<string, string>>;

/** What the compiler makes of the expressions, by their names. */
export function evaluate(expressions: Expressions): Record<string, number> {
  const lines = printed(
    Object.values(expressions).map((text) => `printf("%lld\\n", (long long)(${text}));`),
  );
  return Object.fromEntries(Object.keys(expressions).map((name, i) => [name, Number(lines[i])]));
}

/** What a program prints, line by line, that runs these statements of C. */
export function printed(statements: string[]): string[] {
  const main = `int main(void) {\n${statements.join("\n")}\nreturn 0;\n}`;
  return inTemporaryFolder(main, (source, folder) => {
    const program = join(folder, "program");
    run(NATIVE, [...FLAGS, source, "-o", program]);
    return run(program, []).trimEnd().split("\n");
  });
}

/** Throws, with the compiler's words, unless each expression is that number on aarch64. */
export function assertOnAarch64(expressions: Expressions, numbers: Record<string, number>): void {
  const asserts = Object.entries(expressions).map(([name, text]) =>
    `_Static_assert((${text}) == ${numbers[name]}, "${name} is not ${numbers[name]}");`
  );
  inTemporaryFolder(
    asserts.join("\n"),
    (source) => run(AARCH64, [...FLAGS, "-fsyntax-only", source]),
  );
}

const FLAGS = ["-std=gnu11", `-I${ROOT}tests`];

function inTemporaryFolder<T>(text: string, action: (source: string, folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "mptcp-abi-"));
  try {
    const source = join(folder, "program.c");
    writeFileSync(source, `#include "abi.h"\n${text}\n`);
    return action(source, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
