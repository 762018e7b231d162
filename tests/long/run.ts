/**
 * A long run: `deno task test:long`. Connections to sockets, proxies and both HTTP engines are made and
 * ended in every way, in a lab of two paths of which one comes and goes, while the process that does so
 * is watched: its memory, descriptors and timers must not grow, and every byte is checked.
 *
 * `--connections N` or `--minutes M` (2 by default) say how long, `--runtime deno|bun` on which runtime
 * alone, `--seed N` which way comes after which, `--save` puts the figures into docs/long-runs.md.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createLab, type Lab, labUnavailable } from "../../bench/lab/lab.ts";
import { randomFrom } from "../faults.ts";
import { problemsOf, save, type Saved, show } from "./report.ts";
import type { Sample } from "./samples.ts";
import type { Message, Result } from "./subject.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SUBJECT = `${ROOT}tests/long/subject.ts`;
const COMMANDS = {
  deno: ["deno", "run", "-A", "--quiet", "--no-check", "--v8-flags=--expose-gc", SUBJECT],
  bun: [`${ROOT}node_modules/.bin/bun`, "run", SUBJECT],
} as const;
type Runtime = keyof typeof COMMANDS;

const { values } = parseArgs({
  options: {
    connections: { type: "string" },
    minutes: { type: "string" },
    runtime: { type: "string" },
    seed: { type: "string", default: "1" },
    samples: { type: "string", default: "16" },
    save: { type: "boolean", default: false },
  },
});
const runtimes = (["deno", "bun"] as const).filter((name) => name === (values.runtime ?? name));
if (runtimes.length === 0) throw new Error(`--runtime ${values.runtime}: it is deno or bun`);
const unavailable = labUnavailable(["cc"]);
if (unavailable !== null) throw new Error(`No lab can be made here: ${unavailable}`);
const length = values.connections !== undefined
  ? ["--connections", values.connections]
  : ["--minutes", values.minutes ?? "2"];

/** Cuts the second path again and again, and kills processes of clients. */
class Trouble {
  readonly #lab: Lab;
  readonly #random = randomFrom(Number(values.seed));
  readonly #running: Promise<void>[] = [];
  #isOver = false;
  /** No client is killed meanwhile. */
  isPaused = false;
  flaps = 0;
  killed = 0;

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  start({ http, raw }: { http: number[]; raw: (readonly [number, number])[] }): void {
    const kinds = ["download", "upload", "idle"];
    const targets = [
      ...raw.flatMap(([port, protocol]) => kinds.map((kind) => `${port},${protocol},${kind}`)),
      ...http.map((port) => `${port},262,http`),
    ];
    this.#running.push(this.#flap(), this.#kill(targets));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#running);
  }

  async #flap(): Promise<void> {
    while (!this.#isOver) {
      await this.#lab.client.setLink(2, "down");
      await pause(100 + 400 * this.#random());
      await this.#lab.client.setLink(2, "up");
      this.flaps++;
      await pause(500 + 2000 * this.#random());
    }
  }

  async #kill(targets: string[]): Promise<void> {
    const { client, server } = this.#lab;
    for (let i = 0; !this.#isOver; i++) {
      while (this.isPaused && !this.#isOver) await pause(20);
      const host = server.address(1, i % 2 === 0 ? 4 : 6);
      const victims = targets.map((target) => `${host},${target}`);
      const child = client.spawn(["python3", `${ROOT}tests/long/victim.py`, ...victims], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const ended = once(child, "close");
      await isReady(child);
      await pause(200 * this.#random());
      child.kill("SIGKILL");
      await ended;
      this.killed++;
      await pause(2000 + 6000 * this.#random());
    }
  }
}

/** Runs it on one runtime to its end. */
async function runOn(runtime: Runtime): Promise<Saved> {
  await using lab = await createLab({
    paths: [{}, { delay: 2 }],
    sysctls: {
      "net.ipv4.tcp_congestion_control": "cubic",
      "net.ipv4.ip_local_port_range": "1024 65535",
      "net.ipv4.tcp_tw_reuse": 1,
    },
  });
  const [program, ...args] = COMMANDS[runtime];
  const child = spawn(program!, [
    ...args,
    ...length,
    ...["--netns", lab.client.name, "--server-netns", lab.server.name],
    ...["--hosts", `${lab.server.address(1)},${lab.server.address(1, 6)}`],
    ...["--nobody", "10.77.1.99", "--seed", values.seed!, "--samples", values.samples!],
  ], { stdio: ["ignore", "pipe", "inherit"] });
  const trouble = new Trouble(lab);
  const samples: Sample[] = [];
  let result: Result | null = null;
  try {
    for await (const line of createInterface({ input: child.stdout! })) {
      const message = JSON.parse(line) as Message;
      if ("ready" in message) trouble.start(message.ready);
      else if ("pausing" in message) trouble.isPaused = true;
      else if ("sample" in message) samples.push(message.sample);
      else if ("error" in message) console.error(`${message.kind}: ${message.error}`);
      else result = message.result;
      if ("sample" in message) {
        trouble.isPaused = false;
        console.error(describeSample(runtime, message.sample));
      }
    }
    if (child.exitCode === null) await once(child, "exit");
  } finally {
    child.kill("SIGKILL");
    await trouble.stop();
  }
  if (result === null) throw new Error(`${runtime} ended with status ${child.exitCode}`);
  const mismatches = await countMismatches(lab);
  const { flaps, killed } = trouble;
  const mode = length.join(" ").slice(2);
  return { runtime, mode, samples, result, flaps, killed, mismatches };
}

function describeSample(runtime: Runtime, sample: Sample): string {
  const { seconds, connections, rss, heap, descriptors, timers } = sample;
  const [rssMib, heapMib] = [rss, heap].map((bytes) => (bytes / 2 ** 20).toFixed(1));
  return `${runtime} ${seconds.toFixed(0)} s: ${connections} connections, RSS ${rssMib} MiB, ` +
    `heap ${heapMib} MiB, ${descriptors} descriptors, ${timers} timers`;
}

/** What the kernel's own fault is known by: it mixes up bytes where mappings contradict one another. */
async function countMismatches({ client, server }: Lab): Promise<number> {
  let count = 0;
  for (const host of [client, server]) {
    const text = await host.run(["cat", "/proc/net/netstat"]);
    const [names, values] = text.split("\n")
      .filter((line) => line.startsWith("MPTcpExt"))
      .map((line) => line.split(" "));
    count += Number(values?.[names!.indexOf("DSSNotMatching")] ?? 0);
  }
  return count;
}

/** Resolves when a process has printed that it is ready, or ended. */
async function isReady(child: ChildProcess): Promise<void> {
  for await (const line of createInterface({ input: child.stdout! })) {
    if (line === "ready") return;
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

let isGood = true;
for (const runtime of runtimes) {
  const saved = await runOn(runtime);
  console.log(show(saved));
  if (values.save) save(saved);
  if (problemsOf(saved).length > 0) isGood = false;
}
process.exit(isGood ? 0 : 1);
