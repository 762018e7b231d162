/**
 * Runs the tests on Deno and on Bun and prints a line of totals for each.
 *
 * `deno task test` runs all; arguments choose files or runtimes: `deno task test deno tests/conn_test.ts`.
 *
 * @module
 */

import { existsSync } from "node:fs";
import process from "node:process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BUN = `${ROOT}node_modules/.bin/bun`;
const RUNTIMES = ["deno", "bun"] as const;

const chosen = RUNTIMES.filter((name) => process.argv.includes(name, 2));
const files = process.argv.slice(2).filter((arg) => !chosen.includes(arg as "deno"));
const totals = new Map<string, Totals>();
for (const name of chosen.length > 0 ? chosen : RUNTIMES) {
  totals.set(name, name === "deno" ? await testOnDeno() : await testOnBun());
}
for (const [name, { passed, failed, skipped }] of totals) {
  const label = name === "deno" ? "Deno" : "Bun";
  console.log(`${label}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
}
process.exit([...totals.values()].some(({ failed }) => failed > 0) ? 1 : 0);

async function testOnDeno(): Promise<Totals> {
  // Snippets of documentation are tests too; README.md has programs, which docs_test.ts runs.
  const paths = files.length > 0 ? files : ["tests", "mod.ts", "src", "--doc"];
  const options = ["test", "-A", "--preload", "tests/preload.ts"];
  const [status, output] = await runTeed(process.execPath, [...options, ...paths]);
  const [, passed, failed] = /\| (\d+) passed.*? \| (\d+) failed/.exec(output) ?? [];
  const skipped = /\| (\d+) ignored/.exec(output)?.[1];
  return toTotals(status, passed, failed, skipped);
}

async function testOnBun(): Promise<Totals> {
  if (!existsSync(BUN)) throw new Error("Bun is not installed: run `deno install`");
  const [status, output] = await runTeed(BUN, ["test", ...(files.length > 0 ? files : ["tests"])]);
  const count = (what: string) => new RegExp(`^ (\\d+) ${what}$`, "m").exec(output)?.[1];
  return toTotals(status, count("pass"), count("fail"), count("skip"));
}

function toTotals(
  status: number,
  passed: string | undefined,
  failed: string | undefined,
  skipped: string | undefined,
): Totals {
  const totals = {
    passed: Number(passed ?? 0),
    failed: Number(failed ?? 0),
    skipped: Number(skipped ?? 0),
  };
  // A run that broke off, or a file that could not be loaded, is a failure without a count.
  if (status !== 0 && totals.failed === 0) totals.failed = 1;
  return totals;
}

/** Runs a program with its output shown as it comes; gives its status and output without colours. */
async function runTeed(command: string, args: string[]): Promise<[status: number, output: string]> {
  const child = spawn(command, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (chunk: Uint8Array) => {
      process[name].write(chunk);
      output += new TextDecoder().decode(chunk);
    });
  }
  const [status] = await once(child, "close");
  // deno-lint-ignore no-control-regex
  return [(status as number | null) ?? 1, output.replace(/\x1b\[[\d;]*m/g, "")];
}
