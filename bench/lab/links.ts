/**
 * The paths of a lab: veth pairs between its two namespaces.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { run, runBatch } from "./command.ts";
import { setSysctls } from "./sysctls.ts";

/** 4 or 6, of IPv4 and IPv6. */
export type IpVersion = 4 | 6;

/** Which end of a path. */
export type End = "client" | "server";

/** The interface of either end of a path. */
export function interfaceOf(path: number): string {
  return `path${path}`;
}

/** The address of one end: 10.77.i.1 or fd77:i::1 is the client's of path i, ...2 the server's. */
export function addressOf(end: End, path: number, version: IpVersion): string {
  const host = end === "client" ? 1 : 2;
  return version === 4 ? `10.77.${path}.${host}` : `fd77:${path}::${host}`;
}

/** The link in the middle of a path that leads to one end. */
export function middleOf(end: End, path: number): string {
  return `${end}${path}`;
}

/** The namespace in the middle of some paths: what passes frames on there is not the kernel. */
export interface MiddlePlace {
  readonly name: string;
  readonly paths: readonly number[];
}

/** Joins two namespaces by the paths 1 to `count`, directly or up to the one in the middle. */
export async function addLinks(
  client: string,
  server: string,
  count: number,
  middle: MiddlePlace | null = null,
): Promise<void> {
  const namespaces = { client, server };
  const paths = Array.from({ length: count }, (_, i) => i + 1);
  for (const path of paths) {
    const near = linkAt("client", path);
    if (!middle?.paths.includes(path)) {
      const far = linkAt("server", path);
      await addLink(client, `${near} type veth peer ${far} netns ${server}`);
    } else {
      for (const end of ["client", "server"] as const) {
        const far = `${middleOf(end, path)} netns ${middle.name}`;
        await addLink(namespaces[end], `${linkAt(end, path)} type veth peer ${far}`);
        await runBatch(["ip", "-n", middle.name], [`link set ${middleOf(end, path)} up`]);
      }
    }
  }
  await bringUp("client", client, paths);
  await bringUp("server", server, paths);
  for (const namespace of [client, server]) await untilUp(namespace, count);
}

/** The kernel may take a second to tell IPv6 that a link is up if both ends have the same index. */
function linkAt(end: End, path: number): string {
  return `name ${interfaceOf(path)} index ${(end === "client" ? 100 : 200) + path}`;
}

function addLink(namespace: string, line: string): Promise<void> {
  return runBatch(["ip", "-n", namespace], [`link add ${line}`]);
}

/**
 * Takes one end of a path down, or up again. The other end loses its carrier meanwhile, unless the
 * path has a delay or loss.
 */
export function setLink(namespace: string, path: number, state: "up" | "down"): Promise<void> {
  return runBatch(["ip", "-n", namespace], [`link set ${interfaceOf(path)} ${state}`]);
}

async function bringUp(end: End, namespace: string, paths: number[]): Promise<void> {
  const hasIpv6 = existsSync("/proc/sys/net/ipv6");
  // Otherwise a link that goes down loses its IPv6 addresses.
  if (hasIpv6) await setSysctls(namespace, { "net.ipv6.conf.all.keep_addr_on_down": 1 });
  const lines = paths.flatMap((path) => {
    const name = interfaceOf(path);
    const ipv4 = `addr add ${addressOf(end, path, 4)}/24 dev ${name}`;
    // Without nodad the address cannot be used for the first seconds.
    const ipv6 = `addr add ${addressOf(end, path, 6)}/64 dev ${name} nodad`;
    return [ipv4, ...(hasIpv6 ? [ipv6] : []), `link set ${name} up`];
  });
  await runBatch(["ip", "-n", namespace], ["link set lo up", ...lines]);
}

/** Waits, 3 s at the most, until the kernel calls all links operational: IPv6 loses packets before. */
async function untilUp(namespace: string, count: number): Promise<void> {
  const deadline = Date.now() + 3000;
  for (;;) {
    const links = await run(["ip", "-n", namespace, "-brief", "link", "show", "type", "veth"]);
    if (links.match(/^\S+ +UP /gm)?.length === count) return;
    if (Date.now() > deadline) throw new Error(`${namespace}: its links do not come up: ${links}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
