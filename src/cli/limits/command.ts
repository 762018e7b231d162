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
  summary: "Set limits, and show them as the kernel has them",
  details: "What is left out stays. The largest value depends on the kernel: 8 on Linux 6.18.",
  options: [
    { name: "subflows", value: "COUNT", summary: "Subflows in addition to the first" },
    {
      name: "add-addr-accepted",
      value: "COUNT",
      summary: "Addresses announced by the peer that are used",
    },
    NETNS,
  ],
  statuses: { 1: "the kernel refuses it, or CAP_NET_ADMIN is missing" },
  examples: [
    { line: "limits set --subflows 4 --add-addr-accepted 4", summary: "Use what servers announce" },
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
  details: `The limits are for each connection of a network namespace. Showing them needs no
privilege; setting them needs CAP_NET_ADMIN. --json gives {subflows, addAddrAccepted}.`,
  options: [NETNS],
  examples: [{ line: "limits", summary: "Show them" }],
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
