/**
 * What the commands of `mptcp endpoint` are told.
 *
 * @module
 */

import type { EndpointOptions } from "../../path_manager/mod.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import type { Option } from "../args/command.ts";
import { type NetnsOptions, readNetnsOptions } from "../args/common_options.ts";

/** The flags of an endpoint. */
export const FLAGS: readonly Option[] = [
  { name: "signal", summary: "Announce the address to peers: for servers" },
  { name: "subflow", summary: "Open a subflow from the address: for clients" },
  { name: "backup", summary: "Use its subflows only while no other path works" },
  { name: "fullmesh", summary: "Open subflows from it to every address of the peer" },
  { name: "laminar", summary: "Use it to answer announcements of the peer (Linux 6.18)" },
];

/** Names an endpoint: an id, or an address. */
export type EndpointName = number | string;

/** What `endpoint add` is told. */
export interface AddEndpointOptions extends NetnsOptions {
  /** The endpoint to add. */
  readonly endpoint: EndpointOptions;
}

/** What `endpoint change` is told. */
export interface ChangeEndpointOptions extends NetnsOptions {
  /** The endpoint to change. */
  readonly which: EndpointName;
  /** The flags to change. */
  readonly flags: { readonly backup?: boolean; readonly fullmesh?: boolean };
}

/** What `endpoint remove` is told. */
export interface RemoveEndpointsOptions extends NetnsOptions {
  /** The endpoints to remove. */
  readonly which: readonly EndpointName[];
}

/** Reads the command line of `endpoint add`. */
export function readAddOptions(args: Arguments): AddEndpointOptions {
  const [id, port] = [args.number("id", { min: 1, max: 255 }), args.number("port", PORTS)];
  const device = args.text("dev");
  return {
    ...readNetnsOptions(args),
    endpoint: {
      address: args.operands[0]!,
      ...Object.fromEntries(FLAGS.map(({ name }) => [name, args.has(name)])),
      ...(id !== undefined && { id }),
      ...(port !== undefined && { port }),
      ...(device !== undefined && { device }),
    },
  };
}

const PORTS = { min: 1, max: 65535 } as const;

/** Reads the command line of `endpoint change`. */
export function readChangeOptions(args: Arguments): ChangeEndpointOptions {
  const flags = { ...switchOf(args, "backup"), ...switchOf(args, "fullmesh") };
  if (Object.keys(flags).length === 0) {
    throw new UsageError("expected a flag to change, such as --backup");
  }
  return { ...readNetnsOptions(args), which: endpointName(args.operands[0]!), flags };
}

/** Reads the command line of `endpoint remove`. */
export function readRemoveOptions(args: Arguments): RemoveEndpointsOptions {
  return { ...readNetnsOptions(args), which: args.operands.map(endpointName) };
}

function endpointName(text: string): EndpointName {
  return /^\d+$/.test(text) ? Number(text) : text;
}

function switchOf(args: Arguments, name: "backup" | "fullmesh"): Record<string, boolean> {
  const [on, off] = [args.has(name), args.has(`no-${name}`)];
  if (on && off) throw new UsageError(`--${name} and --no-${name} exclude each other`);
  return on || off ? { [name]: on } : {};
}
