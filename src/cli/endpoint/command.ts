/**
 * `mptcp endpoint`: the addresses that the kernel's path manager uses.
 *
 * @module
 */

import { type Endpoint, MptcpPathManager } from "../../path_manager/mod.ts";
import { UsageError } from "../args/arguments.ts";
import { endpointFlags } from "../check/support.ts";
import type { Command } from "../args/command.ts";
import { NETNS, type NetnsOptions, readNetnsOptions } from "../args/common_options.ts";
import { toJson } from "../ui/json.ts";
import { tableLines } from "../ui/table.ts";
import type { Terminal } from "../ui/terminal.ts";
import { FLAGS, readAddOptions, readChangeOptions, readRemoveOptions } from "./options.ts";

const PRIVILEGE = { 1: "the kernel refused it, or CAP_NET_ADMIN is missing" } as const;

const COLUMNS = [
  { heading: "ID", right: true },
  { heading: "ADDRESS" },
  { heading: "PORT" },
  { heading: "DEVICE" },
  { heading: "FLAGS" },
] as const;

const list: Command = {
  name: "list",
  summary: "List the endpoints",
  details: "--json prints an array of {id, address, port, device, signal, subflow, backup, ...}.",
  options: [NETNS],
  examples: [{ line: "endpoint list", summary: "List the addresses that the path manager uses" }],
  run: (args, terminal) => {
    const options = readNetnsOptions(args);
    return withPaths(options, (paths) => show(paths.endpoints(), options.json, terminal));
  },
};

const add: Command = {
  name: "add",
  summary: "Add an endpoint, and print the result",
  operands: "ADDRESS",
  count: { min: 1, max: 1 },
  details:
    "Existing connections use it too. An endpoint needs --signal, --subflow, --fullmesh or --laminar to have an effect.",
  options: [
    ...FLAGS,
    { name: "id", value: "ID", summary: "Its id, 1 to 255 (default: the next free one)" },
    { name: "port", value: "PORT", summary: "With --signal: the port that accepts subflows" },
    { name: "dev", value: "DEVICE", summary: "The interface that its subflows use" },
    NETNS,
  ],
  statuses: PRIVILEGE,
  examples: [
    { line: "endpoint add 192.0.2.2 --signal", summary: "Announce a server's second address" },
    { line: "endpoint add 10.0.1.5 --subflow --dev wlan0", summary: "Use a client's second path" },
  ],
  run: (args, terminal) => {
    const options = readAddOptions(args);
    return withPaths(options, (paths) => {
      const added = operandChecked(() => paths.addEndpoint(options.endpoint));
      show([added], options.json, terminal);
      if (!ROLES.some((role) => added[role])) terminal.warn(NO_ROLE);
    });
  },
};

/** Flags without which the path manager has no use for an endpoint. */
const ROLES = ["signal", "subflow", "fullmesh", "laminar"] as const;
const NO_ROLE = "This endpoint has no effect. Add it with --subflow to open subflows from it, or " +
  "with --signal to announce it to peers.";

const change: Command = {
  name: "change",
  summary: "Change the flags of an endpoint, and print the result",
  operands: "ID|ADDRESS",
  count: { min: 1, max: 1 },
  details:
    "This affects existing connections too. To change other flags, remove and re-add the endpoint.",
  options: [
    { name: "backup", summary: "Use its subflows only while no other path works" },
    { name: "no-backup", summary: "Use them at all times" },
    { name: "fullmesh", summary: "Open subflows from it to every address of the peer" },
    { name: "no-fullmesh", summary: "Open one to the first address only" },
    NETNS,
  ],
  statuses: PRIVILEGE,
  examples: [{ line: "endpoint change 1 --backup", summary: "Use a path only as a backup" }],
  run: (args, terminal) => {
    const { which, flags, json, netns } = readChangeOptions(args);
    return withPaths({ netns }, (paths) => {
      show([operandChecked(() => paths.changeEndpoint(which, flags))], json, terminal);
    });
  },
};

const remove: Command = {
  name: "remove",
  summary: "Remove endpoints",
  operands: "ID|ADDRESS...",
  count: { min: 1, max: 255 },
  details: "Their subflows are closed. --json prints the removed endpoints, in the format of list.",
  options: [NETNS],
  statuses: PRIVILEGE,
  examples: [{ line: "endpoint remove 1 192.0.2.2", summary: "Remove two endpoints" }],
  run: (args, terminal) => {
    const { which, json, netns } = readRemoveOptions(args);
    return withPaths({ netns }, (paths) => {
      const before = paths.endpoints();
      try {
        for (const name of which) operandChecked(() => paths.removeEndpoint(name));
      } finally {
        if (json) printRemoved(before, paths, terminal);
      }
    });
  },
};

const flush: Command = {
  name: "flush",
  summary: "Remove all endpoints",
  details: "--json prints the removed endpoints, in the format of list.",
  options: [NETNS],
  statuses: PRIVILEGE,
  examples: [{ line: "endpoint flush", summary: "Go back to one path per connection" }],
  run: (args, terminal) => {
    const { json, netns } = readNetnsOptions(args);
    return withPaths({ netns }, (paths) => {
      const before = paths.endpoints();
      paths.flushEndpoints();
      if (json) printRemoved(before, paths, terminal);
    });
  },
};

/** The command. */
export const endpoint: Command = {
  name: "endpoint",
  summary: "List and change the addresses that the path manager uses",
  details: "Listing needs no privilege; changing anything needs CAP_NET_ADMIN.",
  examples: [],
  commands: [list, add, change, remove, flush],
};

/** Runs an action on the path manager of the namespace that was asked for; status 0. */
export function withPaths(
  { netns }: Pick<NetnsOptions, "netns">,
  action: (paths: MptcpPathManager) => void,
): Promise<number> {
  return Promise.resolve().then(() => {
    using paths = new MptcpPathManager(netns);
    action(paths);
    return 0;
  });
}

function show(endpoints: readonly Endpoint[], json: boolean, terminal: Terminal): void {
  if (json) return terminal.print(toJson(endpoints));
  const rows = endpoints.map((endpoint) => [
    String(endpoint.id),
    endpoint.address,
    String(endpoint.port ?? "-"),
    endpoint.device ?? "-",
    endpointFlags(endpoint).join(" ") || "-",
  ]);
  terminal.print(tableLines(COLUMNS, rows, terminal.styles).join("\n"));
}

/** Prints those of some endpoints that are gone. */
function printRemoved(
  before: readonly Endpoint[],
  paths: MptcpPathManager,
  terminal: Terminal,
): void {
  const left = new Set(paths.endpoints().map(({ id }) => id));
  terminal.print(toJson(before.filter(({ id }) => !left.has(id))));
}

/** A value that no endpoint can have is wrong in the command line. */
function operandChecked<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    throw new UsageError(error.message);
  }
}
