/**
 * A lab whose paths are looked after, and changes of its network.
 *
 * @module
 */

import type { Lab } from "../bench/lab/lab.ts";
import type { ManagedPath, ManagedPaths } from "../src/path_manager/mod.ts";
import { delay } from "./sockets.ts";

/** Waits until something holds, and says what there was if it does not. */
export async function until(
  what: string,
  holds: () => boolean,
  show: () => unknown = () => "",
  patience = 5000,
): Promise<number> {
  const began = performance.now();
  while (!holds()) {
    if (performance.now() - began > patience) {
      throw new Error(`Not within ${patience} ms: ${what}; ${JSON.stringify(show())}`);
    }
    await delay(5);
  }
  return performance.now() - began;
}

/** The path with an address, or of an interface. */
export function pathOf(managed: ManagedPaths, name: string): ManagedPath | undefined {
  return managed.state().paths.find(({ address, device }) => address === name || device === name);
}

/** Gives the client a default route over a path, as its own network would. */
export async function addDefault({ client, server }: Lab, path: number): Promise<void> {
  await client.run([
    ...["ip", "route", "add", "default", "via", server.address(path), "dev", `path${path}`],
    ...["metric", String(100 * path)],
  ]);
}
