/**
 * `mptcp endpoint`: the addresses that the kernel's path manager uses.
 *
 * @module
 */

import { type Endpoint, MptcpPathManager } from "../../path_manager/mod.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import { endpointFlags } from "../check/support.ts";
import type { Command, Option } from "../args/command.ts";
import { NETNS, netnsOptions } from "../args/common_options.ts";
import { toJson } from "../ui/json.ts";
import { tableLines } from "../ui/table.ts";
import type { Terminal } from "../ui/terminal.ts";

const FLAGS: readonly Option[] = [
  { name: "signal", summary: "Announce the address to peers: for servers" },
  { name: "subflow", summary: "Open a subflow from the address: for clients" },
  { name: "backup", summary: "Use its subflows only while no other path works" },
  { name: "fullmesh", summary: "Open subflows from it to every address of the peer" },
  { name: "laminar", summary: "Use it to answer announcements of the peer (Linux 6.18)" },
];

const PRIVILEGE = { 1: "the kernel refuses it, or CAP_NET_ADMIN is missing" } as const;

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
  details: "--json gives an array of {id, address, port, device, signal, subflow, backup, ...}.",
  options: [NETNS],
  examples: [{ line: "endpoint list", summary: "What the path manager uses" }],
  run: (args, terminal) => withPaths(args, (paths) => show(paths.endpoints(), args, terminal)),
};

const add: Command = {
  name: "add",
  summary: "Add an endpoint, and show it as the kernel has it",
  operands: "ADDRESS",
  count: { min: 1, max: 1 },
  details: "Connections that there are use it too. Without --signal and --subflow it does nothing.",
  options: [
    ...FLAGS,
    { name: "id", value: "ID", summary: "1 to 255 (default: the next that is free)" },
    { name: "port", value: "PORT", summary: "With --signal: where to take subflows" },
    { name: "dev", value: "DEVICE", summary: "The interface that its subflows go out by" },
    NETNS,
  ],
  statuses: PRIVILEGE,
  examples: [
    { line: "endpoint add 192.0.2.2 --signal", summary: "Announce a server's second address" },
    { line: "endpoint add 10.0.1.5 --subflow --dev wlan0", summary: "Use a client's second path" },
  ],
  run: (args, terminal) =>
    withPaths(args, (paths) => {
      const [id, port] = [args.number("id", { min: 1, max: 255 }), args.number("port", PORTS)];
      const device = args.text("dev");
      const added = operandChecked(() =>
        paths.addEndpoint({
          address: args.operands[0]!,
          ...Object.fromEntries(FLAGS.map(({ name }) => [name, args.has(name)])),
          ...(id !== undefined && { id }),
          ...(port !== undefined && { port }),
          ...(device !== undefined && { device }),
        })
      );
      show([added], args, terminal);
    }),
};

const PORTS = { min: 1, max: 65535 } as const;

const change: Command = {
  name: "change",
  summary: "Change flags of an endpoint, and show it as the kernel has it",
  operands: "ID|ADDRESS",
  count: { min: 1, max: 1 },
  details: "Connections that there are follow. Other flags can only be had by a new endpoint.",
  options: [
    { name: "backup", summary: "Use its subflows only while no other path works" },
    { name: "no-backup", summary: "Use them at all times" },
    { name: "fullmesh", summary: "Open subflows from it to every address of the peer" },
    { name: "no-fullmesh", summary: "Open one to the first address alone" },
    NETNS,
  ],
  statuses: PRIVILEGE,
  examples: [{ line: "endpoint change 1 --backup", summary: "Spare a path" }],
  run: (args, terminal) =>
    withPaths(args, (paths) => {
      const flags = { ...switchOf(args, "backup"), ...switchOf(args, "fullmesh") };
      if (Object.keys(flags).length === 0) throw new UsageError("expected a flag to change");
      const which = endpointOperand(args.operands[0]!);
      show([operandChecked(() => paths.changeEndpoint(which, flags))], args, terminal);
    }),
};

const remove: Command = {
  name: "remove",
  summary: "Remove endpoints",
  operands: "ID|ADDRESS...",
  count: { min: 1, max: 255 },
  details:
    "The subflows from them are closed. --json gives the endpoints that were removed, as list does.",
  options: [NETNS],
  statuses: PRIVILEGE,
  examples: [{ line: "endpoint remove 1 192.0.2.2", summary: "Remove two" }],
  run: (args, terminal) =>
    withPaths(args, (paths) => {
      const before = paths.endpoints();
      try {
        for (const operand of args.operands) {
          operandChecked(() => paths.removeEndpoint(endpointOperand(operand)));
        }
      } finally {
        tellRemoved(before, paths, args, terminal);
      }
    }),
};

const flush: Command = {
  name: "flush",
  summary: "Remove all endpoints",
  details: "--json gives the endpoints that were removed, as list does.",
  options: [NETNS],
  statuses: PRIVILEGE,
  examples: [{ line: "endpoint flush", summary: "Keep connections to one path" }],
  run: (args, terminal) =>
    withPaths(args, (paths) => {
      const before = paths.endpoints();
      paths.flushEndpoints();
      tellRemoved(before, paths, args, terminal);
    }),
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
  args: Arguments,
  action: (paths: MptcpPathManager) => void,
): Promise<number> {
  return Promise.resolve().then(() => {
    using paths = new MptcpPathManager(netnsOptions(args.text("netns")));
    action(paths);
    return 0;
  });
}

function show(endpoints: readonly Endpoint[], args: Arguments, terminal: Terminal): void {
  if (args.has("json")) return terminal.print(toJson(endpoints));
  const rows = endpoints.map((endpoint) => [
    String(endpoint.id),
    endpoint.address,
    String(endpoint.port ?? "-"),
    endpoint.device ?? "-",
    endpointFlags(endpoint).join(" ") || "-",
  ]);
  terminal.print(tableLines(COLUMNS, rows, terminal.styles).join("\n"));
}

function tellRemoved(
  before: readonly Endpoint[],
  paths: MptcpPathManager,
  args: Arguments,
  terminal: Terminal,
): void {
  if (!args.has("json")) return;
  const left = new Set(paths.endpoints().map(({ id }) => id));
  terminal.print(toJson(before.filter(({ id }) => !left.has(id))));
}

/** An id, or an address. */
function endpointOperand(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
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

function switchOf(args: Arguments, name: "backup" | "fullmesh"): Record<string, boolean> {
  const [on, off] = [args.has(name), args.has(`no-${name}`)];
  if (on && off) throw new UsageError(`--${name} and --no-${name} exclude each other`);
  return on || off ? { [name]: on } : {};
}
