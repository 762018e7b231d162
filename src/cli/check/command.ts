/**
 * `mptcp check`: can this machine speak MPTCP, and does a server?
 *
 * @module
 */

import { mptcpSupport } from "../../../mod.ts";
import { checkServer } from "./server.ts";
import { type CheckOptions, readCheckOptions } from "./options.ts";
import { supportLines } from "./support.ts";
import type { Command } from "../args/command.ts";
import { NETNS } from "../args/common_options.ts";
import { FAMILY_OPTIONS } from "../args/connecting.ts";
import { toJson } from "../ui/json.ts";
import type { Terminal } from "../ui/terminal.ts";

/** The exit status of what works, but as TCP. */
export const TCP_ONLY = 3;

/** The command. */
export const check: Command = {
  name: "check",
  summary: "Tell whether this machine, or a server, speaks MPTCP",
  operands: "[ADDRESS]",
  count: { min: 0, max: 1 },
  details: `Without an address: whether MPTCP sockets can be made, what is switched off, which paths
connections would use, and what to do about it.

With one: connects to that server, waits a moment for further subflows, and reports the
subflows, or why the connection is TCP. No data is sent.

--json gives what mptcpSupport() of the library gives, or with an address {"protocol", "fallback",
"localAddr", "remoteAddr", "connectMilliseconds", "waitedMilliseconds", "subflows", "hints"}.`,
  options: [
    {
      name: "wait",
      value: "SECONDS",
      summary: "How long to wait for further subflows (default 1)",
    },
    {
      name: "timeout",
      short: "w",
      value: "SECONDS",
      summary: "Give up connecting after this (default 10)",
    },
    ...FAMILY_OPTIONS,
    NETNS,
  ],
  statuses: {
    0: "MPTCP",
    1: "the server cannot be reached, or something else failed",
    [TCP_ONLY]: "no MPTCP: TCP works",
  },
  examples: [
    { line: "check", summary: "Look at this machine" },
    { line: "check www.example.com:443", summary: "Does this server speak MPTCP?" },
    { line: "check --json '[::1]:8080'", summary: "The same for a program" },
  ],
  run: (args, terminal) => run(readCheckOptions(args), terminal),
};

async function run(options: CheckOptions, terminal: Terminal): Promise<number> {
  const { remote, netns, json } = options;
  if (remote !== null) return await checkServer(remote, options, terminal) ? 0 : TCP_ONLY;
  const support = mptcpSupport(netns);
  terminal.print(json ? toJson(support) : supportLines(support, terminal.styles).join("\n"));
  return support.supported ? 0 : TCP_ONLY;
}
