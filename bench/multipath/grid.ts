/**
 * `deno task bench:multipath --grid`: a fast path and a second one, over a grid of rates and delays, by
 * TCP on the fast path, by MPTCP alone, and with the policy of `managePaths`.
 *
 * What was measured is kept after every cell: a run that was ended goes on where it was.
 *
 * @module
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { labUnavailable } from "../lab/rights.ts";
import {
  type Cell,
  type CellResult,
  type Choice,
  chooseCells,
  type Grid,
  keyOf,
} from "./grid_cells.ts";
import { drawGrid } from "./grid_plot.ts";
import { gridPage, summaryLine } from "./grid_report.ts";
import { measureCell } from "./grid_run.ts";

const USAGE = `deno task bench:multipath --grid [options]

  --rate LIST         Mbit/s of the second path: 1,2,5,10,25,50,100
  --delays LIST       one way, of both paths, in ms: 0/0,0/25,0/100,25/25
  --seconds LIST      length of transfers: 2.5,10
  --congestion LIST   cubic,bbr
  --side LIST         who runs the policy: sender,receiver
  --load LIST         bulk,requests
  --program LIST      c,deno,bun
  --rounds N          how often each cell is measured (1)
  --parallel N        labs at the same time (1)
  --again             measure cells that have been measured before, too
  --json FILE         where results are kept (docs/multipath-grid.json)
  --publish           write docs/multipath-grid.md and docs/plots/grid.svg from the results
`;

const ROOT = new URL("../../", import.meta.url);

/** Runs it. */
export async function runGrid(): Promise<void> {
  const text = { type: "string" } as const;
  const { values: options } = parseArgs({
    options: {
      grid: { type: "boolean" },
      rate: text,
      delays: text,
      seconds: text,
      congestion: text,
      side: text,
      load: text,
      program: text,
      rounds: { type: "string", default: "1" },
      parallel: { type: "string", default: "1" },
      again: { type: "boolean", default: false },
      json: text,
      publish: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (options.help) return console.log(USAGE);
  const file = options.json === undefined
    ? new URL("docs/multipath-grid.json", ROOT)
    : new URL(options.json, `file://${process.cwd()}/`);
  const results = new Results(file);
  if (!options.publish) {
    const unavailable = labUnavailable(["tc", "cc"]);
    if (unavailable !== null) throw new Error(`No lab can be made here: ${unavailable}`);
    const { rate, delays, seconds, congestion, side, load, program } = options;
    const choice: Choice = { rate, delays, seconds, congestion, side, load, program };
    const cells = chooseCells(choice).filter((cell) => options.again || !results.has(cell));
    await measureAll(cells, results, Number(options.rounds), Number(options.parallel));
  } else await publish(results.grid);
}

/** What has been measured, in its file. */
class Results {
  readonly #file: URL;
  readonly #cells: Map<string, CellResult>;

  constructor(file: URL) {
    this.#file = file;
    const grid: Grid | null = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : null;
    this.#cells = new Map(grid?.cells.map((cell) => [keyOf(cell), cell]));
  }

  has(cell: Cell): boolean {
    return this.#cells.has(keyOf(cell));
  }

  /** Adds rounds to what there is of a cell. */
  add(result: CellResult): void {
    const before = this.#cells.get(keyOf(result));
    const merged = before === undefined ? result : {
      ...result,
      tcp: [...before.tcp, ...result.tcp],
      alone: [...before.alone, ...result.alone],
      first: [...before.first, ...result.first],
      policy: [...before.policy, ...result.policy],
    };
    this.#cells.set(keyOf(result), merged);
    const json = JSON.stringify(this.grid).replaceAll('{"rate"', '\n{"rate"');
    writeFileSync(this.#file, `${json}\n`);
  }

  get grid(): Grid {
    const machine = `Linux ${release()}, ${cpus().length} cores`;
    return { format: 1, machine, cells: [...this.#cells.values()] };
  }
}

async function measureAll(
  cells: Cell[],
  results: Results,
  rounds: number,
  parallel: number,
): Promise<void> {
  const queue = [...cells];
  await Promise.all(Array.from({ length: parallel }, async () => {
    for (let cell; (cell = queue.shift()) !== undefined;) {
      try {
        const result = await measureCell(cell, { rounds });
        results.add(result);
        console.log(summaryLine(result));
      } catch (error) {
        console.error(`FAILED ${keyOf(cell)}: ${(error as Error).message}`);
        process.exitCode = 1;
      }
    }
  }));
}

async function publish(grid: Grid): Promise<void> {
  mkdirSync(new URL("docs/plots/", ROOT), { recursive: true });
  writeFileSync(new URL("docs/plots/grid.svg", ROOT), await drawGrid(grid));
  writeFileSync(new URL("docs/multipath-grid.md", ROOT), gridPage(grid));
}
