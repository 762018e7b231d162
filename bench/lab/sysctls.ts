/**
 * Settings of the kernel, per namespace.
 *
 * @module
 */

import { accessSync, constants, readFileSync } from "node:fs";
import { type CommandError, run } from "./command.ts";
import { inNamespace, namespacePath } from "./namespaces.ts";

/** Settings by their dotted names, as "net.mptcp.enabled". */
export type Sysctls = Readonly<Record<string, string | number>>;

const CONGESTION = "net.ipv4.tcp_congestion_control";
const ALLOWED = "net.ipv4.tcp_allowed_congestion_control";

/** Writes settings. Any congestion control that the machine has will do, if root asks for it. */
export async function setSysctls(namespace: string, sysctls: Sysctls): Promise<void> {
  for (const [name, value] of Object.entries(sysctls)) {
    if (name === CONGESTION) await setCongestion(namespace, String(value));
    else await run(inNamespace(namespace, ["tee", procPath(name)]), { input: `${value}` });
  }
}

/** Whether {@linkcode setSysctls} can choose a congestion control here. */
export function hasCongestion(algorithm: string): boolean {
  const has = (list: string) =>
    readFileSync(procPath(list), "utf8").split(/\s/).includes(algorithm);
  return has(ALLOWED) || (has("net.ipv4.tcp_available_congestion_control") && isWritable(ALLOWED));
}

function isWritable(name: string): boolean {
  try {
    accessSync(procPath(name), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function procPath(name: string): string {
  return `/proc/sys/${name.replaceAll(".", "/")}`;
}

/**
 * A namespace takes for its default only what is on a list of the whole machine, so the algorithm is
 * put on that list for a moment. The lock is for other labs that do the same.
 */
const SET_CONGESTION = `
  algorithm=$1 namespace=$2
  list=${procPath(ALLOWED)}
  allowed=$(cat $list)
  case " $allowed " in
    *" $algorithm "*) listed=yes ;;
    *) listed=no; echo "$allowed $algorithm" | tee $list || exit ;;
  esac
  echo "$algorithm" | nsenter --net="$namespace" tee ${procPath(CONGESTION)}
  status=$?
  [ $listed = yes ] || echo "$allowed" | tee $list
  exit $status`;

async function setCongestion(namespace: string, algorithm: string): Promise<void> {
  const script = ["sh", "-c", SET_CONGESTION, "sh", algorithm, namespacePath(namespace)];
  try {
    await run(["flock", "/run/netns", ...script]);
  } catch (error) {
    throw new Error(
      `${CONGESTION}=${algorithm}: ${(error as CommandError).stderr}. What is not in ` +
        `${ALLOWED}, only root outside of namespaces can set`,
    );
  }
}
