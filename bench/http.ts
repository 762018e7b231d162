/**
 * `deno task bench:http`: `serveMptcp` against the runtime's own server, by wrk over MPTCP.
 *
 * The runtime's own server runs under an LD_PRELOAD wrapper, which makes its sockets MPTCP ones. In
 * each round every server runs once, in the other order every other round; the figures are medians
 * of ratios within a round.
 *
 * @module
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { enterNamespace, prepareNamespace } from "./namespace.ts";
import { median } from "./report.ts";
import type { HttpServerKind } from "./servers/http.ts";

const { values: options } = parseArgs({
  options: {
    runtimes: { type: "string", default: "deno,bun" },
    rounds: { type: "string", default: "7" },
    seconds: { type: "string", default: "2" },
    connections: { type: "string", default: "64" },
    /** How many rows of the table, from the first. */
    rows: { type: "string", default: "6" },
  },
});

/** What is measured; the first is what the others are compared with. */
const ALL_ROWS: readonly {
  label: string;
  kind: HttpServerKind;
  wrapped: boolean;
  tcp?: boolean;
}[] = [
  { label: "own server, wrapper", kind: "own", wrapped: true },
  { label: "native", kind: "native", wrapped: false },
  { label: "native, info unused", kind: "informed", wrapped: false },
  { label: "native, info.protocol", kind: "asking", wrapped: false },
  { label: "node", kind: "node", wrapped: false },
  { label: "own server, TCP", kind: "own", wrapped: false, tcp: true },
];

const ROWS = ALL_ROWS.slice(0, Number(options.rows));

interface Measured {
  /** Requests per second. */
  readonly rate: number;
  /** CPU time of the server per request, in microseconds. */
  readonly cpu: number;
}

const folder = mkdtempSync(join(tmpdir(), "mptcp-bench-http-"));
const wrapper = join(folder, "wrapper.so");

enterNamespace();
try {
  prepareNamespace();
  const source = fileURLToPath(new URL("mptcp_wrapper.c", import.meta.url));
  execFileSync("cc", ["-O2", "-shared", "-fPIC", "-o", wrapper, source]);
  console.log(`${cpus().length} x ${cpus()[0]?.model}, load ${loadavg()[0]?.toFixed(1)}`);
  for (const runtime of options.runtimes.split(",")) await compareOn(runtime);
} finally {
  rmSync(folder, { recursive: true });
}

async function compareOn(runtime: string): Promise<void> {
  const results: Measured[][] = ROWS.map(() => []);
  for (let round = 0; round < Number(options.rounds); round++) {
    const order = [...ROWS.entries()];
    if (round % 2 === 1) order.reverse();
    for (const [i] of order) results[i]!.push(await measure(runtime, i));
  }
  console.log(
    `\n${runtime}: median of ${options.rounds} rounds, ${options.connections} connections`,
  );
  console.log("server                    req/s   ratio (lowest-highest)   µs CPU/req   ratio");
  for (const [i, { label }] of ROWS.entries()) {
    const rates = results[i]!.map(({ rate }, round) => rate / results[0]![round]!.rate);
    const cpus = results[i]!.map(({ cpu }, round) => cpu / results[0]![round]!.cpu);
    const spread = `${Math.min(...rates).toFixed(2)}-${Math.max(...rates).toFixed(2)}`;
    console.log([
      label.padEnd(22),
      median(results[i]!.map(({ rate }) => rate)).toFixed(0).padStart(8),
      `${median(rates).toFixed(3).padStart(7)} (${spread})`.padEnd(25),
      median(results[i]!.map(({ cpu }) => cpu)).toFixed(1).padStart(12),
      median(cpus).toFixed(2).padStart(7),
    ].join(" "));
  }
}

async function measure(runtime: string, row: number): Promise<Measured> {
  const { kind, wrapped, tcp = false } = ROWS[row]!;
  const program = fileURLToPath(new URL("servers/http.ts", import.meta.url));
  const run = runtime === "deno" ? ["run", "--allow-all", "--no-check"] : [];
  const server = start([runtime, ...run, program, kind], wrapped);
  try {
    const lines = createInterface({ input: server.stdout! });
    const [line] = await once(lines, "line");
    const url = `http://127.0.0.1:${JSON.parse(line).port}/`;
    await wrk(url, !tcp, 1);
    const before = cpuSeconds(server.pid!);
    const { requests, rate } = await wrk(url, !tcp, Number(options.seconds));
    return { rate, cpu: (cpuSeconds(server.pid!) - before) / requests * 1e6 };
  } finally {
    server.kill("SIGKILL");
    await once(server, "exit");
  }
}

async function wrk(
  url: string,
  mptcp: boolean,
  seconds: number,
): Promise<{ requests: number; rate: number }> {
  const { connections } = options;
  const child = start(["wrk", "-t1", `-c${connections}`, `-d${seconds}s`, url], mptcp);
  const output = await text(child.stdout!);
  const failed = /Socket errors: .*|Non-2xx.*/.exec(output);
  if (failed !== null) console.error(`${url}: ${failed[0]}`);
  const [, requests] = /(\d+) requests in/.exec(output)!;
  const [, rate] = /Requests\/sec:\s*([\d.]+)/.exec(output)!;
  return { requests: Number(requests), rate: Number(rate) };
}

function start(argv: readonly string[], wrapped: boolean): ChildProcess {
  const env = wrapped ? { ...process.env, LD_PRELOAD: wrapper } : process.env;
  return spawn(argv[0]!, argv.slice(1), { env, stdio: ["ignore", "pipe", "inherit"] });
}

/** User and system time of a process. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  // Clock ticks, which are hundredths of a second on every Linux there is.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
