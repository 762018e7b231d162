import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import process from "node:process";
import { mptcpSupport } from "../mod.ts";
import { runtime, test } from "./harness.ts";
import { runToEnd } from "./processes.ts";
import { temporaryFolder } from "./temporary.ts";

const noMptcp = mptcpSupport().fallback?.detail ?? null;

/** What `deno bench --json` prints, as far as it is looked at. */
interface BenchOutput {
  readonly version: number;
  readonly benches: readonly {
    readonly group: string;
    readonly name: string;
    readonly baseline: boolean;
    readonly results: readonly { readonly ok?: Readonly<Record<string, unknown>> }[];
  }[];
}

const TIMES = ["n", "min", "max", "avg", "p75", "p99", "p995", "p999"];

/** Runs a suite by what each runtime has for that. */
async function runSuite(name: string): Promise<BenchOutput> {
  const file = `bench/${name}_bench.ts`;
  const args = runtime === "deno" ? ["bench", "--allow-all"] : ["bench/bun_runner.ts"];
  const command = [process.execPath, ...args, "--json", file];
  const { status, stdout, stderr } = await runToEnd(command);
  assertEquals(status, 0, stderr);
  return JSON.parse(stdout);
}

for (const [name, groups] of [["streams", 2], ["http", 2]] as const) {
  test(`the suite of ${name} compares with the runtime's own, in the JSON of deno bench`, {
    skip: noMptcp,
  }, async () => {
    const { version, benches } = await runSuite(name);
    assertEquals(version, 1);
    assertEquals(new Set(benches.map(({ group }) => group)).size, groups);
    for (const [i, { group, name, baseline, results }] of benches.entries()) {
      assertEquals(baseline, group !== benches[i - 1]?.group, name);
      const { ok } = results[0]!;
      assert(ok !== undefined, `${group}: ${name} failed`);
      for (const time of TIMES) assert(Number(ok[time]) > 0, `${name}: ${time} is ${ok[time]}`);
    }
  });
}

/** One row for each way in which the load drives a server. */
const ROWS = ["roundtrip-16", "receive-64k", "send-64k", "connect-16", "pipe-64k"];

test("deno task bench measures each implementation, and no byte is wrong", {
  skip: noMptcp,
}, async () => {
  using folder = temporaryFolder();
  const file = folder.at("bench.json");
  const { status, stderr } = await runToEnd([
    ...[process.execPath, "run", ...(runtime === "deno" ? ["--allow-all"] : [])],
    ...["bench/run.ts", "--quick", "--json", file],
    ...["--runtimes", runtime, "--rows", ROWS.join(",")],
  ]);
  assertEquals(status, 0, stderr);
  const { rows } = JSON.parse(readFileSync(file, "utf8"));
  assertEquals(rows.map(({ row }: { row: string }) => row), ROWS);
});
