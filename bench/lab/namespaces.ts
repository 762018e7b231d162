/**
 * Network namespaces with names, made and removed by `ip netns`.
 *
 * A name carries the process that made it, by its number and when it started, so that what a crashed
 * run left behind is known as such.
 * Nothing with another name is ever touched.
 *
 * @module
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { run } from "./command.ts";

/** Where `ip netns` keeps the names. */
const FOLDER = "/run/netns";

const NAME = /^mp-lab-(\d+)-(\d+)-\d+-\w+$/;

let made = 0;

/** Names for the namespaces of one lab: `mp-lab-<pid>-<start of the process>-<serial>-<role>`. */
export function newNames<Role extends string>(...roles: Role[]): Record<Role, string> {
  const lab = `mp-lab-${process.pid}-${startOf(process.pid)}-${++made}`;
  const named = roles.map((role) => [role, `${lab}-${role}`]);
  return Object.fromEntries(named);
}

/** The path of a namespace, as `setns` and `nsenter` want it. */
export function namespacePath(name: string): string {
  return `${FOLDER}/${name}`;
}

/** The command that runs `command` in a namespace. */
export function inNamespace(name: string, command: readonly string[]): string[] {
  return ["nsenter", `--net=${namespacePath(name)}`, "--", ...command];
}

/** Makes a namespace. */
export async function addNamespace(name: string): Promise<void> {
  await run(["ip", "netns", "add", name]);
}

/** Removes a namespace that the lab made, and kills what still runs in it. */
export async function removeNamespace(name: string): Promise<void> {
  if (!NAME.test(name)) throw new Error(`"${name}" is no namespace of a lab: it stays`);
  // A namespace lives on without its name as long as a process is in it.
  const pids = await run(["ip", "netns", "pids", name]);
  for (const pid of pids.split("\n").filter(Boolean)) kill(Number(pid));
  await run(["ip", "netns", "del", name]);
}

/** Removes the namespaces that processes made which are no more. */
export async function removeStaleNamespaces(): Promise<void> {
  for (const name of labNamespaces()) {
    const [, pid, start] = NAME.exec(name)!;
    if (startOf(Number(pid)) === start) continue;
    // Another lab may be about to remove the same.
    await removeNamespace(name).catch((error) => {
      if (existsSync(namespacePath(name))) throw error;
    });
  }
}

/** The names of the namespaces of all labs there are, or of those that one process made. */
export function labNamespaces(pid?: number): string[] {
  const names = existsSync(FOLDER) ? readdirSync(FOLDER) : [];
  return names.filter((name) => {
    const maker = NAME.exec(name)?.[1];
    return maker !== undefined && (pid === undefined || Number(maker) === pid);
  });
}

/**
 * When a process started, in the kernel's ticks: its number may be another's later. `null` if there is
 * no such process, or only what its parent has not waited for.
 */
function startOf(pid: number): string | null {
  let stat;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return null;
  }
  // The name before these fields may have spaces and brackets; fields are counted from 3.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return /[ZX]/.test(fields[0]!) ? null : fields[19]!;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
}
