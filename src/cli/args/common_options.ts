/**
 * Options that several commands have.
 *
 * @module
 */

import type { Arguments } from "./arguments.ts";
import type { Option } from "./command.ts";

/** The network namespace to work in. */
export const NETNS: Option = {
  name: "netns",
  value: "NAME",
  summary: "Use this network namespace: a name from `ip netns`, or a path",
};

/** What every command can be told. */
export interface CommonOptions {
  /** Whether to print JSON. */
  readonly json: boolean;
}

/** What every command can be told that works in a network namespace. */
export interface NetnsOptions extends CommonOptions {
  /** The network namespace as the library takes it. */
  readonly netns: { readonly netns?: string };
}

/** Reads the options that every command has. */
export function readCommonOptions(args: Arguments): CommonOptions {
  return { json: args.has("json") };
}

/** Reads the options of a command that has {@linkcode NETNS}. */
export function readNetnsOptions(args: Arguments): NetnsOptions {
  return { ...readCommonOptions(args), netns: netnsOptions(args.text("netns")) };
}

/** The network namespace as the library takes it. */
export function netnsOptions(netns: string | undefined): { netns?: string } {
  return netns === undefined ? {} : { netns };
}
