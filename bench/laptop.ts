/**
 * `deno task bench:laptop`: a download on a laptop whose Wi-Fi and LTE come and go, by `mptcp get` over
 * MPTCP with `mptcp paths up`, and over TCP.
 *
 * Wi-Fi carries 50 Mbit/s, 5 ms away, and loses one packet in 500; LTE carries 20 Mbit/s, 60 ms away.
 * Wi-Fi is gone from the second to the fourth second, LTE from the fifth to the sixth. Options:
 * `--policy NAME`, `--congestion NAME`, `--verbose` for the decisions, `--publish` for the plot.
 *
 * @module
 */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { programCommand } from "./demo/program.ts";
import { createLab, type Lab, labUnavailable } from "./lab/lab.ts";
import { drop } from "./lab/firewall.ts";

const { values: options } = parseArgs({
  options: {
    policy: { type: "string", default: "adaptive" },
    congestion: { type: "string", default: "cubic" },
    verbose: { type: "boolean", default: false },
    publish: { type: "boolean", default: false },
  },
});

const PATHS = [{ rate: 50, delay: 2.5, loss: 0.2 }, { rate: 20, delay: 30 }] as const;
const SIZE = 40 * 2 ** 20;
/** When paths go and come, in milliseconds since the first byte. */
const COURSE = [
  { at: 2000, name: "Wi-Fi goes", act: ({ client }: Lab) => client.addRules(...drop(1)) },
  { at: 4000, name: "Wi-Fi is back", act: ({ client }: Lab) => client.clearRules() },
  { at: 5000, name: "LTE goes", act: ({ client }: Lab) => client.addRules(...drop(2)) },
  { at: 6000, name: "LTE is back", act: ({ client }: Lab) => client.clearRules() },
] as const;

/** One download: when it ended, the longest time without a byte, and what had come every 20 ms. */
interface Download {
  readonly name: string;
  readonly seconds: number;
  readonly longestStall: number;
  readonly stallAt: number;
  readonly samples: readonly (readonly [at: number, bytes: number])[];
}

async function download(name: string, policy: boolean): Promise<Download> {
  await using lab = await createLab({
    paths: PATHS,
    signal: null,
    sysctls: { "net.ipv4.tcp_congestion_control": options.congestion },
  });
  const { client, server } = lab;
  for (const path of [1, 2]) {
    const line = ["default", "via", server.address(path), "dev", `path${path}`];
    await client.run(["ip", "route", "add", ...line, "metric", `${100 * path}`]);
  }
  const folder = mkdtempSync(join(tmpdir(), "laptop-"));
  try {
    writeFileSync(join(folder, "file"), "");
    truncateSync(join(folder, "file"), SIZE);
    const program = (...args: string[]) => programCommand("src/cli/mod.ts", "-A", ...args);
    const serving = server.spawn(program("serve", folder, "--listen", "[::]:8080"), {
      stdio: ["ignore", "ignore", "pipe"],
    });
    await new Promise((resolve) => serving.stderr!.once("data", resolve));
    if (policy) {
      const up = client.spawn(
        program("paths", "up", "--include", "path*", "--exclude", "fd00::/8"),
        {
          stdio: ["ignore", "pipe", "inherit"],
        },
      );
      await new Promise((resolve) => up.stdout!.once("data", resolve));
      if (options.verbose) up.stdout!.on("data", (chunk) => process.stdout.write(chunk));
    }
    const url = `http://${server.address(1)}:8080/file`;
    const mode = ["--mptcp", policy ? "require-peer" : "off"];
    const getting = client.spawn(program("get", "--silent", ...mode, url), {
      stdio: ["ignore", "pipe", "inherit"],
    });
    return { name, ...await watch(lab, getting) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function watch(lab: Lab, getting: ChildProcess): Promise<Omit<Download, "name">> {
  const samples: [number, number][] = [];
  const course = [...COURSE];
  let [began, size, lastAt, longestStall, stallAt] = [0, 0, 0, 0, 0];
  const arrived = (count: number) => {
    const now = performance.now();
    if (began === 0) began = lastAt = now;
    if (now - lastAt > longestStall) [longestStall, stallAt] = [now - lastAt, lastAt - began];
    [size, lastAt] = [size + count, now];
    if (now - began >= (samples.at(-1)?.[0] ?? -20) + 20) samples.push([now - began, size]);
  };
  getting.stdout!.on("data", (chunk: Uint8Array) => arrived(chunk.length));
  const deadline = performance.now() + 60_000;
  const ended = once(getting.stdout!, "end");
  let isOver = false;
  void ended.then(() => isOver = true);
  while (!isOver) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    const now = performance.now();
    if (began > 0 && course.length > 0 && now - began >= course[0]!.at) {
      await course.shift()!.act(lab);
    }
    if (now > deadline) throw new Error(`The download does not end: ${size} bytes came`);
  }
  if (size !== SIZE) throw new Error(`${size} bytes came of ${SIZE}`);
  return { seconds: (lastAt - began) / 1000, longestStall, stallAt, samples };
}

async function draw(downloads: readonly Download[]): Promise<string> {
  const values = downloads.flatMap(({ name, samples }) =>
    samples.map(([at, bytes]) => ({ name, at: at / 1000, megabytes: bytes / 1e6 }))
  );
  const events = COURSE.map(({ at, name }) => ({ at: at / 1000, text: name }));
  const spec: TopLevelSpec = {
    config: { background: "#ffffff", padding: 12, font: "system-ui, sans-serif" },
    title: "A download while Wi-Fi and LTE come and go",
    width: 560,
    height: 260,
    layer: [
      {
        data: { values },
        mark: { type: "line", interpolate: "step-after" },
        encoding: {
          x: { field: "at", type: "quantitative", title: "Time (s)" },
          y: { field: "megabytes", type: "quantitative", title: "Received (MB)" },
          color: { field: "name", type: "nominal", title: null, legend: { orient: "bottom" } },
        },
      },
      {
        data: { values: events },
        mark: { type: "rule", strokeDash: [4, 3], color: "#b42318" },
        encoding: { x: { field: "at", type: "quantitative" } },
      },
      {
        data: { values: events },
        mark: { type: "text", align: "left", dx: 4, fontSize: 10, color: "#b42318" },
        encoding: {
          x: { field: "at", type: "quantitative" },
          y: { value: 8 },
          text: { field: "text", type: "nominal" },
        },
      },
    ],
  };
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

const unavailable = labUnavailable(["tc", "nft", "cc"]);
if (unavailable !== null) throw new Error(`No lab can be made here: ${unavailable}`);
const downloads = [
  await download("MPTCP, paths up", true),
  await download("TCP over Wi-Fi", false),
];
for (const { name, seconds, longestStall, stallAt } of downloads) {
  console.log(
    `${name.padEnd(18)} ${seconds.toFixed(1)} s, longest stall ${longestStall.toFixed(0)} ms at ${
      (stallAt / 1000).toFixed(1)
    } s`,
  );
}
if (options.publish) {
  writeFileSync(new URL("../docs/plots/laptop.svg", import.meta.url), await draw(downloads));
}
