/**
 * `deno task bench:proxy`: `mptcp proxy` against HAProxy and socat, with TCP and with MPTCP fronts.
 *
 * HAProxy and socat are made to speak MPTCP by `mptcpize run`; the load fails where a connection is
 * not MPTCP. In each round every proxy runs once, in the other order every other round; the figures
 * are medians of ratios within a round. All are one thread, HAProxy too.
 *
 * @module
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { connectMptcp } from "../mod.ts";
import { congestionControl, enterNamespace, prepareNamespace } from "./namespace.ts";
import { median } from "./report.ts";
import type { Result } from "./rows.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    proxies: { type: "string", default: "haproxy,haproxy-splice,socat,deno,bun" },
    rows: { type: "string", default: "" },
    fronts: { type: "string", default: "tcp,mptcp" },
    json: { type: "string" },
  },
});

type Front = "tcp" | "mptcp";

/** One thing that is measured. */
interface Row {
  readonly name: string;
  /** What the backend does. */
  readonly task: "echo" | "source" | "sink";
  /** The arguments of the load. */
  readonly load: readonly string[];
  readonly unit: string;
  readonly lowerIsBetter?: boolean;
  value(result: Result): number;
  /** CPU time of the proxy per operation or byte, in arbitrary units. */
  cpu(result: Result): number;
}

const perOperation = ({ serverCpu, operations }: Result) => serverCpu / operations;
const perByte = ({ serverCpu, bytes }: Result) => serverCpu / bytes;
const gigabits = ({ bytes, seconds }: Result) => (bytes * 8) / seconds / 1e9;
const perSecond = ({ operations, seconds }: Result) => operations / seconds;

const ROWS: readonly Row[] = [
  {
    name: "download",
    task: "source",
    load: ["receive"],
    unit: "Gbit/s",
    value: gigabits,
    cpu: perByte,
  },
  { name: "upload", task: "sink", load: ["send"], unit: "Gbit/s", value: gigabits, cpu: perByte },
  {
    name: "round trip",
    task: "echo",
    load: ["echo", "--size", "64"],
    unit: "us",
    lowerIsBetter: true,
    value: ({ p50 }) => p50,
    cpu: perOperation,
  },
  {
    name: "echo x 100",
    task: "echo",
    load: ["echo", "--size", "1024", "--connections", "100"],
    unit: "/s",
    value: perSecond,
    cpu: perOperation,
  },
  {
    name: "connect",
    task: "echo",
    load: ["connect", "--size", "64", "--connections", "20"],
    unit: "/s",
    value: perSecond,
    cpu: perOperation,
  },
];

const BACKEND_PORT = 7001;
const PROXY_PORT = 7002;
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BUN = `${ROOT}node_modules/.bin/bun`;
const folder = mkdtempSync(join(tmpdir(), "mptcp-bench-proxy-"));
const load = join(folder, "load");

/** The command of a proxy, between the two ports; `null` where it is not installed. */
function commandOf(name: string, front: Front): string[] | null {
  const ours = ["src/cli/mod.ts", "proxy", `${front}@127.0.0.1:${PROXY_PORT}`];
  const args = [...ours, `tcp4@127.0.0.1:${BACKEND_PORT}`, "--quiet"];
  const wrapper = front === "mptcp" ? ["mptcpize", "run"] : [];
  switch (name) {
    case "deno":
      return [process.execPath, "run", "-A", "--no-check", ...args];
    case "bun":
      return existsSync(BUN) ? [BUN, ...args] : null;
    case "haproxy":
    case "haproxy-splice":
      return hasProgram("haproxy")
        ? [...wrapper, "haproxy", "-db", "-q", "-f", haproxyFile(name === "haproxy-splice")]
        : null;
    case "socat": {
      const listen = `TCP4-LISTEN:${PROXY_PORT},bind=127.0.0.1,reuseaddr,fork,nodelay,backlog=511`;
      const connect = `TCP4:127.0.0.1:${BACKEND_PORT},nodelay`;
      return hasProgram("socat") ? [...wrapper, "socat", "-b", "131072", listen, connect] : null;
    }
    default:
      throw new Error(`There is no proxy ${name}`);
  }
}

function haproxyFile(splice: boolean): string {
  const path = join(folder, `haproxy-${splice}.cfg`);
  writeFileSync(
    path,
    `global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  ${splice ? "option splice-auto" : "no option splice-auto"}
listen bench
  bind 127.0.0.1:${PROXY_PORT} backlog 511
  server one 127.0.0.1:${BACKEND_PORT}
`,
  );
  return path;
}

function hasProgram(name: string): boolean {
  return (process.env.PATH ?? "").split(":").some((path) => existsSync(join(path, name)));
}

function start([program, ...args]: string[]): ChildProcess {
  return spawn(program!, args, { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
}

async function stop(child: ChildProcess): Promise<void> {
  const closed = once(child, "close");
  child.kill("SIGKILL");
  await closed;
}

async function untilListening(port: number): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    try {
      using _conn = await connectMptcp({ port, mptcp: "off", dualStack: false });
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
  throw new Error(`Nobody listens on port ${port}`);
}

/** Runs a row once; without a proxy, straight against the backend. */
async function measure(row: Row, name: string, front: Front): Promise<Result | null> {
  const command = name === "none" ? [] : commandOf(name, front);
  if (command === null) return null;
  const backend = start([process.execPath, "run", "-A", "bench/proxy_backend.ts", row.task]);
  const proxy = command.length === 0 ? null : start(command);
  try {
    await untilListening(BACKEND_PORT);
    if (proxy !== null) await untilListening(PROXY_PORT);
    const port = proxy === null ? BACKEND_PORT : PROXY_PORT;
    const [mode, ...rest] = row.load as [string, ...string[]];
    return await runLoad([
      ...[mode, "127.0.0.1", String(port), ...rest, "--seconds", options.seconds],
      ...["--pid", String((proxy ?? backend).pid)],
      ...(front === "mptcp" && proxy !== null ? ["--mptcp"] : []),
    ]);
  } finally {
    if (proxy !== null) await stop(proxy);
    await stop(backend);
  }
}

async function runLoad(args: string[]): Promise<Result | null> {
  const child = spawn(load, args, { stdio: ["ignore", "pipe", "pipe"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
  const [output, errors, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  clearTimeout(timer);
  if (status === 0) return JSON.parse(output);
  console.error(`  ${args.join(" ")}: ${errors.trim() || "it hung"}`);
  return null;
}

/** Runs all proxies in turn, round by round. */
async function runRow(row: Row, front: Front): Promise<void> {
  const names = ["none", ...options.proxies.split(",")];
  const results = new Map<string, (Result | null)[]>(names.map((name) => [name, []]));
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      results.get(name)!.push(await measure(row, name, front));
    }
  }
  collected.push({ row: row.name, front, results: Object.fromEntries(results) });
  for (const name of names) console.log(formatLine(row, front, name, results));
}

function formatLine(
  row: Row,
  front: Front,
  name: string,
  results: ReadonlyMap<string, readonly (Result | null)[]>,
): string {
  const ratios = (base: string, of: (result: Result) => number) => {
    const values = results.get(name)!.flatMap((own, i) => {
      const other = results.get(base)?.[i];
      return own === null || other == null ? [] : [of(own) / of(other)];
    });
    return values.length === 0 ? "" : median(values).toFixed(2);
  };
  const own = results.get(name)!.filter((result) => result !== null);
  const value = own.length === 0 ? NaN : median(own.map(row.value));
  const hasCpu = name !== "none" && name !== "socat";
  return [
    `${row.name}, ${front}`.padEnd(18),
    name.padEnd(16),
    `${value.toPrecision(3)} ${row.unit}`.padEnd(16),
    ratios("haproxy", row.value).padEnd(8),
    ratios("socat", row.value).padEnd(8),
    hasCpu ? ratios("haproxy", row.cpu) : "",
  ].join("").trimEnd();
}

const collected: unknown[] = [];

enterNamespace();
try {
  prepareNamespace();
  execFileSync("cc", ["-O2", "-o", load, `${ROOT}bench/load.c`]);
  const machine = `${cpus().length} x ${cpus()[0]?.model}, Linux ${release()}`;
  console.log(`${machine}, ${congestionControl()}, load ${loadavg()[0]!.toFixed(1)}`);
  console.log("row, front        proxy           median          /haproxy/socat  CPU/haproxy");
  for (const front of options.fronts.split(",") as Front[]) {
    for (const row of ROWS) {
      if (options.rows === "" || options.rows.split(",").includes(row.name)) {
        await runRow(row, front);
      }
    }
  }
  if (options.json !== undefined) writeFileSync(options.json, JSON.stringify(collected, null, 2));
} finally {
  rmSync(folder, { recursive: true });
}
