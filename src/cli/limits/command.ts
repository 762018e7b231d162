/**
 * `mptcp limits`: how far the kernel's path manager goes.
 *
 * @module
 */

import { MptcpError } from "../../error.ts";
import type { MptcpPathManager, PathManagerLimits } from "../../path_manager/mod.ts";
import { UsageError } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { NETNS, readNetnsOptions } from "../args/common_options.ts";
import { withPaths } from "../endpoint/command.ts";
import { toJson } from "../ui/json.ts";
import { pairLines } from "../ui/table.ts";
import type { Terminal } from "../ui/terminal.ts";
import { readSetLimitsOptions, type SetLimitsOptions } from "./options.ts";

const set: Command = {
  name: "set",
  summary: "Set limits, and print the result",
  details:
    "A limit that you leave out is not changed. The maximum depends on the kernel: 8 on Linux 6.18.",
  options: [
    {
      name: "subflows",
      value: "COUNT",
      summary: "Subflows per connection, in addition to the first",
    },
    {
      name: "add-addr-accepted",
      value: "COUNT",
      summary: "How many addresses announced by the peer are used",
    },
    NETNS,
  ],
  statuses: { 1: "the kernel refused it, or CAP_NET_ADMIN is missing" },
  examples: [
    {
      line: "limits set --subflows 4 --add-addr-accepted 4",
      summary: "Allow 4 more subflows, and use 4 announced addresses",
    },
  ],
  run: (args, terminal) => {
    const options = readSetLimitsOptions(args);
    return withPaths(options, (paths) => show(setLimits(paths, options), options.json, terminal));
  },
};

/** The command. */
export const limits: Command = {
  name: "limits",
  summary: "Show or set how many paths a connection can have",
  details: `The limits apply to each connection in the network namespace. Showing them needs no
privilege; setting them needs CAP_NET_ADMIN. --json prints {subflows, addAddrAccepted}.`,
  options: [NETNS],
  examples: [{ line: "limits", summary: "Show the limits" }],
  commands: [set],
  run: (args, terminal) => {
    const options = readNetnsOptions(args);
    return withPaths(options, (paths) => show(paths.limits(), options.json, terminal));
  },
};

/** Sets limits; one that the kernel does not take is wrong in the command line. */
function setLimits(paths: MptcpPathManager, { limits }: SetLimitsOptions): PathManagerLimits {
  try {
    return paths.setLimits(limits);
  } catch (error) {
    const isRefused = error instanceof RangeError ||
      (error instanceof MptcpError && error.code === "EINVAL");
    throw isRefused ? new UsageError(error.message) : error;
  }
}

function show(limits: PathManagerLimits, json: boolean, terminal: Terminal): void {
  if (json) return terminal.print(toJson(limits));
  const pairs: [string, string][] = [
    ["subflows", String(limits.subflows)],
    ["add-addr-accepted", String(limits.addAddrAccepted)],
  ];
  terminal.print(pairLines(pairs, terminal.styles).join("\n"));
}
