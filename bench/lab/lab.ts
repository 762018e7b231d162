/**
 * A lab: two hosts joined by several paths, all inside this machine and away from its network.
 *
 * ```ts
 * import { connectMptcp, listenMptcp } from "@multipath/mptcp";
 * import { createLab } from "./bench/lab/lab.ts";
 *
 * await using lab = await createLab({ paths: [{ rate: 100 }, { rate: 100 }] });
 * using listener = listenMptcp({ netns: lab.server.name, port: 5000 });
 * using conn = await connectMptcp({
 *   netns: lab.client.name,
 *   hostname: lab.server.address(),
 *   port: 5000,
 * });
 * ```
 *
 * Linux, root or `unshare -Urnm`, and the tools `ip`, `tc` for rates, `nft` for firewall rules and
 * a C compiler for delay and loss.
 * Paths are counted from 1; path i is 10.77.i.0/24 and fd77:i::/64.
 *
 * @module
 */

import { checkImpairment, type Impairment, Middle, sendSingleSegments } from "./delay.ts";
import { Host } from "./host.ts";
import { addLinks, type IpVersion } from "./links.ts";
import { addNamespace, newNames, removeNamespace, removeStaleNamespaces } from "./namespaces.ts";
import { labUnavailable, mptcpEnabled, type Tool } from "./rights.ts";
import type { Sysctls } from "./sysctls.ts";

export type { Host } from "./host.ts";
export { labUnavailable } from "./rights.ts";

/** One path. */
export interface PathOptions {
  /** In Mbit/s, each way; as fast as the machine can by default, which no figure should rest on. */
  rate?: number;
  /** How long a packet takes each way beside the rate, in milliseconds, up to 10 000. Needs `cc`. */
  delay?: number;
  /** How many packets are lost each way, in percent. Needs `cc`. */
  loss?: number;
}

/** What the lab is to be like. */
export interface LabOptions {
  /**
   * The paths, 1 to 8.
   * @default {[{}, {}]}
   */
  paths?: readonly PathOptions[];
  /**
   * Which of its addresses on path 2 and beyond the server announces to MPTCP clients, so that they
   * open subflows there; `null` for none.
   * @default {4}
   */
  signal?: IpVersion | null;
  /**
   * Chooses which packets are lost.
   * @default {1}
   */
  seed?: number;
  /** Settings of the kernel at both ends, as `{ "net.ipv4.tcp_congestion_control": "cubic" }`. */
  sysctls?: Sysctls;
}

/** Two hosts and the paths between them. Disposing of it removes all. */
export interface Lab {
  readonly client: Host;
  readonly server: Host;
  /**
   * Has packets of a path take another time each way, in milliseconds; one that was made with a delay
   * or a loss.
   */
  setDelay(path: number, delay: number): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Makes a lab. What is left of labs of processes that crashed is removed first.
 *
 * @throws {Error} that says which tool or right is missing, or which command failed and how. Nothing
 * is left behind then.
 */
export async function createLab(options: LabOptions = {}): Promise<Lab> {
  const { paths = [{}, {}], signal = 4, seed = 1, sysctls = {} } = options;
  if (paths.length < 1 || paths.length > 8) throw new RangeError("A lab has 1 to 8 paths");
  const impairments = impairmentsOf(paths);
  const needs: Tool[] = paths.some(({ rate }) => rate !== undefined) ? ["tc"] : [];
  if (impairments.size > 0) needs.push("cc");
  const unavailable = labUnavailable(needs);
  if (unavailable !== null) throw new Error(`No lab can be made here: ${unavailable}`);
  await removeStaleNamespaces();

  const names = newNames("client", "server", "middle");
  const client = new Host("client", names.client, paths.length);
  const server = new Host("server", names.server, paths.length);
  await using stack = new AsyncDisposableStack();
  for (const host of [client, server]) {
    await addNamespace(host.name);
    stack.defer(() => removeNamespace(host.name));
    stack.defer(() => host.stop());
    await host.setSysctls(sysctls);
  }
  const middle = impairments.size > 0 ? stack.use(await Middle.create(names.middle)) : null;
  const split = middle && { name: middle.name, paths: [...impairments.keys()] };
  await addLinks(client.name, server.name, paths.length, split);
  for (const [path, impairment] of impairments) {
    if (impairment.loss > 0) await sendSingleSegments(path, [client.name, server.name]);
    await middle!.connect(path, impairment, seed + path);
  }
  await shape(paths, client, server);
  if (mptcpEnabled() !== null) await announce(paths, signal, client, server);

  const made = stack.move();
  return {
    client,
    server,
    setDelay(path, delay) {
      if (middle === null) throw new RangeError(`Path ${path} was made without a delay`);
      middle.setDelay(path, delay);
    },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  };
}

/** What happens on the paths, by their numbers, on which something does. */
function impairmentsOf(paths: readonly PathOptions[]): Map<number, Impairment> {
  const impairments = new Map<number, Impairment>();
  for (const [i, { delay = 0, loss = 0 }] of paths.entries()) {
    if (delay === 0 && loss === 0) continue;
    checkImpairment(i + 1, { delay, loss });
    impairments.set(i + 1, { delay, loss });
  }
  return impairments;
}

async function shape(paths: readonly PathOptions[], ...hosts: Host[]): Promise<void> {
  for (const [i, { rate }] of paths.entries()) {
    if (rate === undefined) continue;
    for (const host of hosts) await host.setRate(i + 1, rate);
  }
}

/** The paths of MPTCP. Announced by the server, they need no routing by source address. */
async function announce(
  paths: readonly PathOptions[],
  signal: IpVersion | null,
  client: Host,
  server: Host,
): Promise<void> {
  // The maxima: by default the kernel takes no announced address.
  for (const host of [client, server]) await host.setLimits({ subflows: 8, addAddrAccepted: 8 });
  if (signal === null) return;
  for (let path = 2; path <= paths.length; path++) {
    await server.addEndpoint(server.address(path, signal), "signal");
  }
}
