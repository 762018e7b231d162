/**
 * Whether this process can make labs, and how one without rights comes by them.
 *
 * @module
 */

import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { type CommandError, runSync, toolEnvironment } from "./command.ts";
import { newNames } from "./namespaces.ts";

/** The tools of a lab, and their Debian packages. */
const PACKAGES = {
  ip: "iproute2",
  tc: "iproute2",
  nft: "nftables",
  cc: "gcc libc6-dev",
} as const;

/** A tool that a lab may need: `tc` for rates, `nft` for firewall rules, `cc` for delay and loss. */
export type Tool = keyof typeof PACKAGES;

const MPTCP_ENABLED = "/proc/sys/net/mptcp/enabled";

/**
 * `ip netns` writes to /run/netns. Root of a user namespace may not, but can cover the folder with a
 * tmpfs where the mount namespace is its own too.
 */
const OPEN_FOLDER = `
  if [ -w /run/netns ] || mkdir /run/netns 2>/dev/null; then :
  elif grep -qw 4294967295 /proc/self/uid_map; then echo "/run/netns cannot be written" >&2; exit 1
  elif [ -d /run/netns ]; then mount -t tmpfs lab /run/netns
  else mount -t tmpfs lab /run && mkdir /run/netns
  fi`;

/**
 * Why no lab can be made here; `null` where it can. Tests give it to `skip`.
 *
 * Root can make labs, and so can anybody under `unshare -Urnm`: see {@linkcode inUserNamespace}.
 *
 * @param needs The tools that will be used beside `ip`: `tc` and `nft` by default.
 */
export function labUnavailable(needs: readonly Tool[] = ["tc", "nft"]): string | null {
  const missing = missingTool(["ip", ...needs]);
  if (missing !== null) return missing;
  const refused = refusal([]);
  return refused && `${refused}; run as root or under \`unshare -Urnm\``;
}

/** Why {@linkcode inUserNamespace} does not get this process a lab; `null` where it does. */
export function userNamespaceUnavailable(): string | null {
  return missingTool(["ip"]) ?? refusal(inUserNamespace([]));
}

/**
 * The command that runs `command` as root of user, mount and network namespaces of its own. Its
 * loopback interface is up, and MPTCP switched off if it is here.
 */
export function inUserNamespace(command: readonly string[]): string[] {
  const enabled = mptcpEnabled();
  const keepMptcp = enabled === null ? "" : `&& echo ${enabled} > ${MPTCP_ENABLED}`;
  const script = `ip link set lo up ${keepMptcp} && exec "$@"`;
  return ["unshare", "-Urnm", "--", "sh", "-c", script, "sh", ...command];
}

/** `net.mptcp.enabled` in this network namespace; `null` on a kernel without MPTCP. */
export function mptcpEnabled(): string | null {
  return existsSync(MPTCP_ENABLED) ? readFileSync(MPTCP_ENABLED, "utf8").trim() : null;
}

function missingTool(tools: readonly Tool[]): string | null {
  const folders = toolEnvironment().PATH!.split(":");
  const missing = tools.find((tool) =>
    !folders.some((folder) => isExecutable(`${folder}/${tool}`))
  );
  return missing === undefined
    ? null
    : `\`${missing}\` is missing (apt install ${PACKAGES[missing]})`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Makes a namespace and removes it, for nothing less tells whether that is allowed. */
function refusal(prefix: readonly string[]): string | null {
  const { probe } = newNames("probe");
  const script = `{ ${OPEN_FOLDER}\n} && ip netns add ${probe} && ip netns del ${probe}`;
  try {
    runSync([...prefix, "sh", "-c", script]);
    return null;
  } catch (error) {
    const [cause] = (error as CommandError).stderr.split("\n");
    return `this process may not make network namespaces (${cause})`;
  }
}
