/**
 * A network namespace for a benchmark.
 *
 * Loopback MPTCP depends on the congestion control more than on anything else: bbr paces each
 * subflow, and bulk runs stall for hundreds of milliseconds. It is a setting of the namespace, so
 * the benchmark starts itself again in one of its own, which goes when its last process does.
 *
 * @module
 */

import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";

const INSIDE = "MPTCP_BENCH_NAMESPACE";
const CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control";

/** Those that send as soon as they may, best first. A namespace need not allow each. */
const CONGESTION_CONTROLS = ["cubic", "reno"];

/**
 * Runs this program again inside a new namespace and ends with its exit code. Returns where that
 * was done already, and where it is not allowed.
 */
export function enterNamespace(): void {
  if (process.env[INSIDE] !== undefined) return;
  const unshare = process.getuid!() === 0 ? ["--net"] : ["--map-root-user", "--net"];
  if (spawnSync("unshare", [...unshare, "true"]).status !== 0) {
    console.error("No network namespace of its own: needs root, or user namespaces");
    return;
  }
  const { status } = spawnSync("unshare", [...unshare, process.execPath, ...ownArguments()], {
    stdio: "inherit",
    env: { ...process.env, [INSIDE]: "1" },
  });
  process.exit(status ?? 1);
}

function ownArguments(): string[] {
  const [, program, ...args] = process.argv;
  const run = "Deno" in globalThis ? ["run", "--allow-all"] : [];
  return [...run, program!, ...args];
}

/** Brings up loopback and chooses the congestion control, where this is a namespace of our own. */
export function prepareNamespace(congestion?: string): void {
  if (process.env[INSIDE] === undefined) return;
  execFileSync("ip", ["link", "set", "lo", "up"]);
  const wanted = congestion === undefined ? CONGESTION_CONTROLS : [congestion];
  if (!wanted.some(setCongestion)) throw new Error(`Not allowed here: ${wanted.join(", ")}`);
}

function setCongestion(name: string): boolean {
  try {
    writeFileSync(CONGESTION, name);
    return true;
  } catch {
    return false;
  }
}

/** The congestion control that sockets get here. */
export function congestionControl(): string {
  return readFileSync(CONGESTION, "utf8").trim();
}
