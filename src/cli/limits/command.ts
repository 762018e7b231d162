/**
 * `mptcp limits`: how far the kernel's path manager goes.
 *
 * @module
 */

import type { PathManagerLimits } from "../../path_manager/mod.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { NETNS } from "../args/common_options.ts";
import { withPaths } from "../endpoint/command.ts";
import { toJson } from "../ui/json.ts";
import { pairLines } from "../ui/table.ts";
import type { Terminal } from "../ui/terminal.ts";

/** What the kernel is asked for is 32 bits: how much is too much, it says itself. */
const RANGE = { min: 0, max: 2 ** 32 - 1 } as const;

const set: Command = {
  name: "set",
  summary: "Set limits, and show them as the kernel has them",
  details: "What is left out stays.",
  options: [
    { name: "subflows", value: "COUNT", summary: "Subflows beside the first" },
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
  run: (args, terminal) =>
    withPaths(args, (paths) => {
      const subflows = args.number("subflows", RANGE);
      const addAddrAccepted = args.number("add-addr-accepted", RANGE);
      if (subflows === undefined && addAddrAccepted === undefined) {
        throw new UsageError("expected --subflows, --add-addr-accepted, or both");
      }
      const limits = paths.setLimits({
        ...(subflows !== undefined && { subflows }),
        ...(addAddrAccepted !== undefined && { addAddrAccepted }),
      });
      show(limits, args, terminal);
    }),
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
  run: (args, terminal) => withPaths(args, (paths) => show(paths.limits(), args, terminal)),
};

function show(limits: PathManagerLimits, args: Arguments, terminal: Terminal): void {
  if (args.has("json")) return terminal.print(toJson(limits));
  const pairs: [string, string][] = [
    ["subflows", String(limits.subflows)],
    ["add-addr-accepted", String(limits.addAddrAccepted)],
  ];
  terminal.print(pairLines(pairs, terminal.styles).join("\n"));
}
