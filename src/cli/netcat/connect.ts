/**
 * `mptcp connect`: standard input and output over a connection.
 *
 * @module
 */

import process from "node:process";
import { remoteOptions, sourceOptions } from "../args/addresses.ts";
import type { Arguments } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { netnsOptions } from "../args/common_options.ts";
import { ConnectionLog } from "./connection_log.ts";
import { dial } from "../dial.ts";
import { Input } from "./input.ts";
import {
  explainRefusal,
  NETCAT_OPTIONS,
  socketOptionsOf,
  TELLING_DETAILS,
  tellingOf,
} from "./options.ts";
import { Shuttle } from "./shuttle.ts";
import type { Terminal } from "../ui/terminal.ts";

/** The command. */
export const connect: Command = {
  name: "connect",
  summary: "Send standard input to a server, and print what comes back",
  operands: "ADDRESS",
  count: { min: 1, max: 1 },
  details:
    `At the end of standard input the sending direction is ended, and what the server still sends
is printed. The command ends when both directions have; on a terminal, when the server has ended.

${TELLING_DETAILS}`,
  options: [
    {
      name: "timeout",
      short: "w",
      value: "SECONDS",
      summary: "Give up connecting, or a connection where nothing moves",
    },
    { name: "source", short: "s", value: "ADDRESS[:PORT]", summary: "Where to connect from" },
    ...NETCAT_OPTIONS,
  ],
  statuses: { 1: "the server cannot be reached, or the connection was lost" },
  examples: [
    { line: "connect -v localhost:8000", summary: "Talk to a server, and see by what" },
    { line: "connect mptcp@10.0.0.2:9000 < file", summary: "Send a file, by MPTCP sockets alone" },
  ],
  run,
};

async function run(args: Arguments, terminal: Terminal): Promise<number> {
  const remote = remoteOptions(args.operands[0]!);
  const idle = args.number("timeout", { integer: false });
  const options = {
    ...remote,
    ...netnsOptions(args.text("netns")),
    ...sourceOptions(args.text("source")),
    ...socketOptionsOf(args),
  };
  using conn = await dial(options, idle, terminal.signal).catch((error) => {
    throw explainRefusal(error);
  });
  using log = new ConnectionLog(conn, false, tellingOf(args), terminal);
  const input = args.has("no-stdin") ? null : new Input();
  const endsWithPeer = input === null || process.stdin.isTTY === true;
  const shuttle = new Shuttle(conn, terminal, { input, endsWithPeer, idle });
  try {
    await shuttle.run();
  } finally {
    log.end(shuttle.totals);
  }
  return 0;
}
