/**
 * `deno task bench`: this module's sockets against those of the runtime, in server processes driven
 * by one load generator.
 *
 * For each row and round every implementation runs once, each in a process of its own, in the
 * other order every other round; the figures are medians of ratios within a round, because the
 * machine is never quiet. Figures are no reason to fail, wrong bytes are.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { mptcpSupport } from "@multipath/mptcp";
import { congestionControl, enterNamespace, prepareNamespace } from "./namespace.ts";
import {
  type Implementation,
  IMPLEMENTATIONS,
  isMptcp,
  Programs,
  type Runtime,
  type Times,
} from "./programs.ts";
import { formatHeading, formatRow, type Results, type RowReport, toJson } from "./report.ts";
import { type Row, ROWS } from "./rows.ts";

const USAGE = `deno task bench [options]

  --quick               one short round without the rows that need a minute: for CI
  --runtimes LIST       deno,bun
  --rows LIST           ${ROWS.map(({ name }) => name).join(",")}
                        or the beginnings of names
  --implementations LIST  ${IMPLEMENTATIONS.join(",")}
  --rounds N            rounds (6)
  --seconds S           measured per run (0.7)
  --warmup S            not measured, before that (0.5)
  --congestion NAME     congestion control (cubic, or reno where that is not allowed)
  --no-compiler         use the load generator in TypeScript though there is a C compiler
  --json FILE           write everything that was measured
`;

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    runtimes: { type: "string", default: "deno,bun" },
    rows: { type: "string", default: "" },
    implementations: { type: "string", default: IMPLEMENTATIONS.join(",") },
    rounds: { type: "string" },
    seconds: { type: "string" },
    warmup: { type: "string" },
    congestion: { type: "string" },
    "no-compiler": { type: "boolean", default: false },
    json: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

/** Failed runs, in words. */
const failures: string[] = [];

if (options.help) console.log(USAGE);
else await main();

async function main(): Promise<void> {
  enterNamespace();
  prepareNamespace(options.congestion);
  using programs = new Programs({ compiler: !options["no-compiler"] });
  const reports: RowReport[] = [];
  describeMachine(programs);
  for (const runtime of options.runtimes.split(",") as Runtime[]) {
    const missing = programs.missing(runtime);
    if (missing !== null) {
      console.log(`\n${runtime}: skipped, ${missing}`);
      continue;
    }
    console.log(`\n${runtime} ${programs.version(runtime)}\n${formatHeading()}`);
    for (const row of selectRows()) {
      const report = { runtime, row, results: await measure(programs, row, runtime) };
      reports.push(report);
      console.log(formatRow(report));
    }
  }
  if (options.json !== undefined) {
    const measured = { machine: machine(programs), rows: reports.map(toJson) };
    writeFileSync(options.json, JSON.stringify(measured, null, 1));
  }
  for (const failure of failures) console.error(`FAILED ${failure}`);
  if (failures.length > 0) process.exitCode = 1;
}

function selectRows(): Row[] {
  const names = options.rows.split(",");
  const rows = ROWS.filter(({ name }) => names.some((start) => name.startsWith(start)));
  if (rows.length === 0) throw new TypeError(`No row is called ${options.rows}`);
  return options.quick && options.rows === "" ? rows.filter(isQuick) : rows;
}

function isQuick({ connections, idle = 0, seconds = 0 }: Row): boolean {
  return connections + idle <= 1100 && seconds <= 1;
}

function selectImplementations(programs: Programs): Implementation[] {
  const names = options.implementations.split(",");
  const { supported } = mptcpSupport();
  return IMPLEMENTATIONS.filter((implementation) =>
    names.includes(implementation) && (supported || !isMptcp(implementation)) &&
    (programs.hasWrapper || implementation !== "wrapper")
  );
}

async function measure(programs: Programs, row: Row, runtime: Runtime): Promise<Results> {
  const implementations = selectImplementations(programs);
  const rounds = Number(options.rounds ?? (options.quick ? 1 : 6));
  const times: Times = {
    warmup: Number(options.warmup ?? (options.quick ? 0.05 : 0.5)),
    seconds: Number(options.seconds ?? (options.quick ? 0.1 : 0.7)),
  };
  const results: Results = {};
  for (const implementation of implementations) results[implementation] = [];
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? implementations : implementations.toReversed();
    for (const implementation of order) {
      try {
        results[implementation]!.push(await programs.run(row, runtime, implementation, times));
      } catch (error) {
        failures.push(`${runtime} ${implementation}, ${row.title}: ${(error as Error).message}`);
        results[implementation]!.push(null);
      }
    }
  }
  return results;
}

function machine(programs: Programs): Record<string, unknown> {
  return {
    kernel: release(),
    arch: process.arch,
    cores: cpus().length,
    loadAverage: loadavg()[0]!,
    congestion: congestionControl(),
    load: programs.loadKind,
    mptcp: mptcpSupport().supported,
  };
}

function describeMachine(programs: Programs): void {
  const parts = Object.entries(machine(programs)).map(([name, value]) => `${name} ${value}`);
  console.log(parts.join(", "));
  if (!programs.hasWrapper) console.log("No MPTCP wrapper: needs mptcpize or a C compiler");
}
