/**
 * Runs the tests on Deno and on Bun and prints a line of totals for each.
 *
 * `deno task test` runs all; arguments choose files or runtimes: `deno task test deno tests/conn_test.ts`.
 * `deno task test node` runs on Node.js, which npm fetches, what Node can do: see `NODE_TESTS`.
 * `--congestion=NAME` chooses the congestion control, cubic by default.
 *
 * Root gets a network namespace for each runtime, so that both run side by side: the counters of MPTCP,
 * the sysctls and the ports belong to one run alone, and nothing of the machine is changed. Without
 * root the runtimes run one after the other, in the network that they are in.
 *
 * @module
 */

import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs, stripVTControlCharacters } from "node:util";
import { fetchNode } from "./node_program.ts";

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

type Runtime = "deno" | "bun" | "node";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BUN = `${ROOT}node_modules/.bin/bun`;
const LABELS: Readonly<Record<Runtime, string>> = {
  deno: "Deno",
  bun: "Bun",
  node: "Node.js",
};

/** Sockets, path manager, proxy, HTTP by `node:http`, and the npm world. It takes five minutes. */
const NODE_TESTS = [
  ...["connect", "conn", "contract", "detach", "faults", "loop_waker", "orphans", "streams"],
  ...["address", "info", "netns", "socket_options", "subflows", "support", "truth"],
  ...["endpoints", "events", "netlink", "paths", "per_connection"],
  ...["proxy", "proxy_backends", "proxy_protocol", "proxy_relay", "proxy_shutdown"],
  ...["buffers", "descriptor", "leave", "listen_fds"],
  ...["http_client", "http_framing", "http_info", "http_options", "http_serve"],
  ...[
    "frameworks",
    "node_http",
    "node_runtime",
    "node_server",
    "node_socket",
    "package",
    "recipes",
  ],
].map((name) => `tests/${name}_test.ts`);

const { values, positionals } = parseArgs({
  options: { congestion: { type: "string", default: "cubic" } },
  allowPositionals: true,
});
const runtimes = (["deno", "bun", "node"] as const).filter((name) => positionals.includes(name));
const chosen = runtimes.length > 0 ? runtimes : ["deno", "bun"] as const;
const files = positionals.filter((arg) => !Object.hasOwn(LABELS, arg));

const isolated = canIsolate();
const disallow = isolated ? allowCongestion() : () => {};
const runs = chosen.map((name) => () => testOn(name));
const all = isolated ? await Promise.all(runs.map((run) => run())) : await inTurn(runs);
disallow();
for (const [i, { passed, failed, skipped }] of all.entries()) {
  console.log(`${LABELS[chosen[i]!]}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
}
process.exit(all.some(({ failed }) => failed > 0) ? 1 : 0);

async function inTurn<T>(tasks: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  for (const task of tasks) results.push(await task());
  return results;
}

function canIsolate(): boolean {
  const programs = ["unshare", "ip", "mount"];
  const folders = (process.env.PATH ?? "").split(":");
  return process.getuid?.() === 0 &&
    programs.every((name) => folders.some((folder) => existsSync(`${folder}/${name}`)));
}

/**
 * A namespace takes for its default only what is on a list of the whole machine. Puts there all that the
 * machine has, and returns what restores the list.
 */
function allowCongestion(): () => void {
  const [list, available] = ["allowed", "available"].map((kind) =>
    `/proc/sys/net/ipv4/tcp_${kind}_congestion_control`
  ) as [string, string];
  const before = readFileSync(list, "utf8");
  try {
    writeFileSync(list, readFileSync(available));
  } catch {
    // Read-only, as in a container: the default of the machine may do, and if not the run says so.
    return () => {};
  }
  return () => writeFileSync(list, before);
}

/**
 * A command in a namespace of its own: loopback is up, `ip netns` has names of its own, and host names
 * come from /etc/hosts alone, because no name server can be reached. It has a /tmp of its own: examples
 * write to fixed paths there.
 */
function inNamespace(command: readonly string[], folder: string): string[] {
  const script = [
    'mount --bind "$1" /tmp && shift',
    "mkdir -p /run/netns && mount -t tmpfs none /run/netns",
    'sed "s/^hosts:.*/hosts: files/" /etc/nsswitch.conf > /run/netns/.nsswitch',
    "mount --bind /run/netns/.nsswitch /etc/nsswitch.conf && rm /run/netns/.nsswitch",
    "ip link set lo up",
    'echo "$CONGESTION" > /proc/sys/net/ipv4/tcp_congestion_control',
    'exec "$@"',
  ].join("\n");
  return ["unshare", "--net", "--mount", "sh", "-ec", script, "sh", folder, ...command];
}

function commandOf(name: Runtime): string[] {
  if (name === "node") {
    const options = ["--disable-warning=ExperimentalWarning", "--import", "./tests/node_hooks.ts"];
    // One file at a time: they share a namespace, as on the other runtimes.
    const runner = ["--test", "--test-concurrency=1", "--test-reporter=spec"];
    return [fetchNode(), ...options, ...runner, ...(files.length > 0 ? files : NODE_TESTS)];
  }
  if (name === "bun") return [BUN, "test", ...(files.length > 0 ? files : ["tests"])];
  // Snippets of documentation are tests too; the pages have programs, which docs_test.ts runs.
  const paths = files.length > 0 ? files : ["tests", "mod.ts", "src", "--doc"];
  // `deno task check` has checked the types.
  return [process.execPath, "test", "-A", "--no-check", "--preload", "tests/preload.ts", ...paths];
}

async function testOn(name: Runtime): Promise<Totals> {
  if (name === "bun" && !existsSync(BUN)) {
    throw new Error("Bun is not installed: run `deno install`");
  }
  const folder = mkdtempSync(join(tmpdir(), "mptcp-suite-"));
  // Servers that tests start have users of their own.
  chmodSync(folder, 0o1777);
  try {
    const command = commandOf(name);
    const [status, output] = await runTeed(
      name,
      isolated ? inNamespace(command, folder) : command,
    );
    const totalsOf = { deno: totalsOfDeno, bun: totalsOfBun, node: totalsOfNode }[name];
    return totalsOf(status, output);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function totalsOfDeno(status: number, output: string): Totals {
  const [, passed, failed] = /\| (\d+) passed.*? \| (\d+) failed/.exec(output) ?? [];
  return toTotals(status, passed, failed, /\| (\d+) ignored/.exec(output)?.[1]);
}

function totalsOfBun(status: number, output: string): Totals {
  const count = (what: string) => new RegExp(`^ (\\d+) ${what}$`, "m").exec(output)?.[1];
  return toTotals(status, count("pass"), count("fail"), count("skip"));
}

function totalsOfNode(status: number, output: string): Totals {
  const count = (what: string) => new RegExp(`^ℹ ${what} (\\d+)$`, "m").exec(output)?.[1];
  return toTotals(status, count("pass"), count("fail"), count("skipped"));
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

/** Runs a program with its lines shown as they come; gives its status and output without colours. */
async function runTeed(name: Runtime, command: string[]): Promise<[number, string]> {
  const child = spawn(command[0]!, command.slice(1), {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      CONGESTION: values.congestion,
      MPTCP_TEST_DENO: process.execPath,
      ...(isolated && { MPTCP_TEST_OUTSIDE: String(process.pid) }),
    },
  });
  const prefix = chosen.length > 1 && isolated ? `${name.padEnd(4)} | ` : "";
  let output = "";
  for (const stream of ["stdout", "stderr"] as const) {
    createInterface({ input: child[stream] }).on("line", (line) => {
      process[stream].write(`${prefix}${line}\n`);
      output += `${stripVTControlCharacters(line)}\n`;
    });
  }
  const [status] = await once(child, "close");
  return [(status as number | null) ?? 1, output];
}
