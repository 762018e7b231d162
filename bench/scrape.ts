/**
 * `deno task bench:scrape`: what it costs to collect metrics while many MPTCP connections are open.
 *
 * Options: `--sockets COUNT` (default 10000) MPTCP sockets, each with one subflow, between two ends on
 * loopback; `--rounds COUNT` (default 7) scrapes, of which medians are given; `--cpu SECONDS` has
 * `mptcp monitor --metrics` scraped for so long as Prometheus would, every `--interval` seconds
 * (default 15), and gives its share of a core. On Bun: `bun bench/scrape.ts`.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { cpus, release } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { connectMptcp, listenMptcp } from "../mod.ts";
import { NETLINK_SOCK_DIAG } from "../ffi/linux/abi_netlink.ts";
import { connectionsRequest, LIST_SOCKETS, subflowsRequest } from "../src/kernel/sock_diag.ts";
import { NetlinkSocket } from "../src/netlink/socket.ts";
import { ConnectionTally, tallySubflows } from "../src/path_manager/metrics/tally.ts";
import { collectMetrics } from "../src/path_manager/mod.ts";
import { programCommand } from "./demo/program.ts";
import { enterNamespace, prepareNamespace } from "./namespace.ts";

const { values: options } = parseArgs({
  options: {
    sockets: { type: "string", default: "10000" },
    rounds: { type: "string", default: "7" },
    cpu: { type: "string", default: "0" },
    interval: { type: "string", default: "15" },
    hold: { type: "boolean", default: false },
  },
});

/** Scrapes before those that are measured: code is compiled meanwhile. */
const WARM_UP = 10;
/** Connections that are opened at the same time. */
const AT_ONCE = 100;

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

if (options.hold) await hold(Number(options.sockets) / 2);
else await main();

/** Opens connections to itself, and keeps them until it is killed. */
async function hold(count: number): Promise<never> {
  const listener = listenMptcp({ hostname: "0.0.0.0", mptcp: "require" });
  const kept: unknown[] = [listener];
  const accepting = (async () => {
    for (let i = 0; i < count; i++) kept.push(await listener.accept());
  })();
  for (let open = 0; open < count; open += AT_ONCE) {
    const some = Array.from(
      { length: Math.min(AT_ONCE, count - open) },
      () => connectMptcp({ port: listener.addr.port, mptcp: "require-peer" }),
    );
    kept.push(...await Promise.all(some));
  }
  await accepting;
  console.log("ready");
  for (;;) await sleep(2 ** 30);
}

async function main(): Promise<void> {
  enterNamespace();
  prepareNamespace();
  const holder = spawnProgram("bench/scrape.ts", "--hold", "--sockets", options.sockets);
  try {
    await firstOutput(holder, "stdout");
    console.log(`${cpus()[0]?.model ?? "unknown"}, Linux ${release()}, ${runtimeName()}`);
    measureScrapes(Number(options.rounds));
    if (Number(options.cpu) > 0) await measureCpu(Number(options.cpu), Number(options.interval));
  } finally {
    holder.kill("SIGKILL");
  }
  process.exit(0);
}

function measureScrapes(rounds: number): void {
  const parts: [name: string, run: () => unknown][] = [
    ["the kernel's two lists", readLists],
    ["count the connections", () => new ConnectionTally(undefined, false)],
    ["count the subflows", () => tallySubflows(undefined)],
    ["a whole scrape", () => collectMetrics()],
  ];
  const { count } = new ConnectionTally(undefined, false);
  console.log(`${count} MPTCP connections, medians of ${rounds}:`);
  for (const [name, run] of parts) {
    const times = Array.from({ length: WARM_UP + rounds }, () => timeOf(run)).slice(WARM_UP)
      .sort((a, b) => a - b);
    const [low, middle, high] = [times[0]!, times[times.length >> 1]!, times.at(-1)!];
    console.log(
      `  ${name.padEnd(22)} ${middle.toFixed(1)} ms  (${low.toFixed(1)} to ${high.toFixed(1)})`,
    );
  }
}

/** Has the kernel list both kinds of sockets, and looks at nothing. */
function readLists(): void {
  using socket = new NetlinkSocket(NETLINK_SOCK_DIAG);
  for (const request of [connectionsRequest(), subflowsRequest()]) {
    socket.scan(LIST_SOCKETS, request, () => {});
  }
}

function timeOf(run: () => unknown): number {
  const began = performance.now();
  run();
  return performance.now() - began;
}

async function measureCpu(seconds: number, interval: number): Promise<void> {
  const monitor = spawnProgram("src/cli/mod.ts", "monitor", "--metrics", "127.0.0.1:0");
  try {
    const url = /http:\S+metrics/.exec(await firstOutput(monitor, "stderr"))![0];
    const scrape = async () => await (await fetch(url)).text();
    await scrape();
    const [began, before] = [performance.now(), cpuTime(monitor.pid!)];
    let scrapes = 0;
    for (let at = began; at < began + 1000 * seconds; at += 1000 * interval) {
      await scrape();
      scrapes++;
      await sleep(at + 1000 * interval - performance.now());
    }
    const used = cpuTime(monitor.pid!) - before;
    const share = 100 * used / (performance.now() - began);
    console.log(
      `  mptcp monitor --metrics, a scrape every ${interval} s: ${share.toFixed(2)} % of a core, ` +
        `${(used / scrapes).toFixed(0)} ms of CPU for each of ${scrapes}`,
    );
  } finally {
    monitor.kill("SIGKILL");
  }
}

/** The milliseconds of CPU that a process has used, those of all threads. */
function cpuTime(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((task) =>
      Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0])
    )
    .reduce((sum, one) => sum + one, 0) / 1e6;
}

function spawnProgram(path: string, ...args: string[]): ChildProcess {
  const [program, ...rest] = programCommand(path, "-A", ...args);
  return spawn(program!, rest, { stdio: ["ignore", "pipe", "pipe"] });
}

/** The first output on a stream. @throws {Error} when the program ends without one. */
async function firstOutput(child: ChildProcess, stream: "stdout" | "stderr"): Promise<string> {
  let errors = "";
  child.stderr!.on("data", (data) => errors += data);
  const ended = once(child, "close").then(() => {
    throw new Error(`The program ended:\n${errors}`);
  });
  const [data] = await Promise.race([once(child[stream]!, "data"), ended]);
  ended.catch(() => {});
  return String(data);
}

function runtimeName(): string {
  const { deno, bun } = process.versions as Record<string, string | undefined>;
  return deno !== undefined ? `Deno ${deno}` : `Bun ${bun}`;
}
