/**
 * Options that several commands have.
 *
 * @module
 */

import type { Option } from "./command.ts";

/** The network namespace to work in. */
export const NETNS: Option = {
  name: "netns",
  value: "NAME",
  summary: "Work in this network namespace, a name of `ip netns` or a path",
};

/** The network namespace as the library takes it. */
export function netnsOptions(netns: string | undefined): { netns?: string } {
  return netns === undefined ? {} : { netns };
}
