/**
 * `deno task test:mutants`: puts each mistake of the table into a copy of the project, and says which
 * tests notice it. `--only TEXT` chooses mutants, `--seconds N` how long the simulation may look.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { mutate } from "./mutate.ts";
import { type Mutant, MUTANTS } from "./table.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const COPIED = ["mod.ts", "deno.json", "package.json", "tsconfig.json", "ffi", "src", "tests"];
/** Milliseconds for one run: a mistake that makes it hang is noticed too. */
const PATIENCE = 240_000;

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    seconds: { type: "string", default: "30" },
  },
});

/** The name of what notices a mistake, and its command. */
interface Killer {
  readonly name: string;
  readonly args: readonly string[];
}

function killersOf({ tests }: Mutant): Killer[] {
  const run = ["run", "-A", "--no-check"];
  const test = ["test", "-A", "-q", "--no-check", "--preload", "tests/preload.ts"];
  return [
    { name: "simulation", args: [...run, "tests/simulation/run.ts", "--seconds", values.seconds] },
    { name: "torture", args: [...run, "tests/torture/run.ts", "--most", "1"] },
    ...tests.map((file) => ({ name: file, args: [...test, file] })),
  ];
}

/** What a run has noticed: `null` where it has passed. */
function notices(folder: string, { args }: Killer): Promise<string | null> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => output = (output + chunk).slice(-20_000));
    }
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      if (status === 0) resolve(null);
      else resolve(signal === null ? firstFailure(output) : `no end after ${PATIENCE / 1000} s`);
    });
  });
}

function firstFailure(output: string): string {
  // deno-lint-ignore no-control-regex -- colours
  const lines = output.replace(/\x1b\[[0-9;]*m/g, "").split("\n");
  const line = lines.find((line) => /^seed \d+|fails with|FAILED|error:/.test(line)) ?? "it failed";
  return line.replace(/\s+/g, " ").slice(0, 110);
}

const chosen = MUTANTS.filter(({ name }) => name.includes(values.only));
const mutated = chosen.map((mutant) => ({ mutant, text: mutate(ROOT, mutant) }));

const folder = mkdtempSync(`${tmpdir()}/mutants-`);
let survivors = 0;
try {
  for (const name of COPIED) cpSync(`${ROOT}${name}`, `${folder}/${name}`, { recursive: true });
  symlinkSync(`${ROOT}node_modules`, `${folder}/node_modules`);
  console.log("| Mistake | Detected by | After | As |");
  console.log("| --- | --- | --- | --- |");
  for (const { mutant, text } of mutated) {
    const { file, name, mendedIn } = mutant;
    const original = readFileSync(`${folder}/${file}`);
    writeFileSync(`${folder}/${file}`, text);
    const began = performance.now();
    let by = "**nobody**";
    let as: string | null = null;
    for (const killer of killersOf(mutant)) {
      as = await notices(folder, killer);
      if (as !== null) by = killer.name;
      if (as !== null) break;
    }
    if (as === null) survivors++;
    writeFileSync(`${folder}/${file}`, original);
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    const shown = mendedIn === undefined ? name : `${name} (fixed in ${mendedIn})`;
    console.log(`| ${shown} | ${by} | ${seconds} s | ${(as ?? "").replaceAll("|", "/")} |`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`\n${chosen.length - survivors} of ${chosen.length} mutants were noticed`);
process.exit(survivors === 0 ? 0 : 1);
