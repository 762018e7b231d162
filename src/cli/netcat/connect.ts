/**
 * `mptcp connect`: standard input and output over a connection.
 *
 * @module
 */

import process from "node:process";
import type { Command } from "../args/command.ts";
import { withPolicy } from "../args/policy.ts";
import { ConnectionLog } from "./connection_log.ts";
import { dial } from "../dial.ts";
import { Input } from "./input.ts";
import {
  CONNECT_OPTIONS,
  type ConnectCommandOptions,
  explainRefusal,
  readConnectOptions,
  TELLING_DETAILS,
} from "./options.ts";
import { Shuttle } from "./shuttle.ts";
import type { Terminal } from "../ui/terminal.ts";

/** The command. */
export const connect: Command = withPolicy({
  name: "connect",
  summary: "Send standard input to a server, and print what the server sends",
  operands: "ADDRESS",
  count: { min: 1, max: 1 },
  details:
    `At the end of standard input, the sending direction is closed; data from the server is still
printed. The command ends when both directions are closed. On a terminal, it ends as soon as the
server closes its direction.

${TELLING_DETAILS}`,
  options: CONNECT_OPTIONS,
  statuses: { 1: "the server could not be reached, or the connection was lost" },
  examples: [
    {
      line: "connect -v localhost:8000",
      summary: "Connect to a server, and see which protocol is used",
    },
    { line: "connect mptcp@10.0.0.2:9000 < file", summary: "Send a file over an MPTCP socket" },
  ],
  run: (args, terminal) => run(readConnectOptions(args), terminal),
}, "client");

async function run(options: ConnectCommandOptions, terminal: Terminal): Promise<number> {
  const { remote, connectTimeout, telling, stdin, idle } = options;
  using conn = await dial(remote, connectTimeout, terminal.signal).catch((error) => {
    throw explainRefusal(error);
  });
  using log = new ConnectionLog(conn, false, telling, terminal);
  const input = stdin ? new Input() : null;
  const endsWithPeer = input === null || process.stdin.isTTY === true;
  const shuttle = new Shuttle(conn, terminal, { input, endsWithPeer, idle });
  try {
    await shuttle.run();
  } finally {
    log.end(shuttle.totals);
  }
  return 0;
}
