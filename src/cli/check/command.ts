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
  summary: "Check whether this machine, or a server, supports MPTCP",
  operands: "[ADDRESS]",
  count: { min: 0, max: 1 },
  details:
    `Without ADDRESS: reports whether MPTCP sockets can be created, what is switched off, which
paths connections would use, and how to fix problems.

With ADDRESS: connects to that server, waits a moment for further subflows, and reports the subflows,
or why the connection is TCP. No data is sent.

--json prints the result of the library's mptcpSupport(), or with an address {"protocol", "fallback",
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
      summary: "Give up connecting after this time (default 10)",
    },
    ...FAMILY_OPTIONS,
    NETNS,
  ],
  statuses: {
    0: "MPTCP is available",
    1: "the server could not be reached, or something else failed",
    [TCP_ONLY]: "MPTCP is unavailable; TCP works",
  },
  examples: [
    { line: "check", summary: "Check this machine" },
    { line: "check www.example.com:443", summary: "Check whether a server supports MPTCP" },
    { line: "check --json '[::1]:8080'", summary: "The same as JSON" },
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
