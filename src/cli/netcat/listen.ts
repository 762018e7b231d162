/**
 * `mptcp listen`: standard input and output over a connection that comes.
 *
 * @module
 */

import process from "node:process";
import type { MptcpConn, MptcpListener } from "../../../mod.ts";
import { listenRange } from "../../net/listen_range.ts";
import { parseOperand } from "../args/addresses.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { netnsOptions } from "../args/common_options.ts";
import { ConnectionLog, tellListener } from "./connection_log.ts";
import { reportFailure } from "../ui/failure.ts";
import { Input } from "./input.ts";
import { ListenerGroup } from "./listener_group.ts";
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
export const listen: Command = {
  name: "listen",
  summary: "Wait for a client, print what it sends, and send it standard input",
  operands: "ADDRESS",
  count: { min: 1, max: 1 },
  details:
    `ADDRESS may be a port alone, and may have a range of ports: all of them are listened on, or none.

One connection is taken, and the command ends when both its directions have ended. With
--keep-open the next one follows when the client is done; standard input goes to the one that is
there.

${TELLING_DETAILS}`,
  options: [
    { name: "keep-open", short: "k", summary: "Take one connection after the other" },
    {
      name: "timeout",
      short: "w",
      value: "SECONDS",
      summary: "Give up a connection where nothing moves",
    },
    ...NETCAT_OPTIONS,
  ],
  statuses: { 1: "the address cannot be had, or the connection was lost" },
  examples: [
    { line: "listen -v 8000", summary: "Wait on port 8000 of every IPv4 address" },
    {
      line: "listen -k '[::]:9000-9010' > log",
      summary: "Collect what clients send, on eleven ports",
    },
  ],
  run,
};

async function run(args: Arguments, terminal: Terminal): Promise<number> {
  const [operand] = args.operands as [string];
  const address = parseOperand(/^\d+(-\d+)?$/.test(operand) ? `:${operand}` : operand);
  if (address.port === undefined) throw new UsageError(`"${operand}" has no port to listen on`);
  using group = new ListenerGroup(listenOn(address, args));
  for (const listener of group.listeners) tellListener(listener, tellingOf(args), terminal);
  const input = args.has("no-stdin") ? null : new Input();
  if (!args.has("keep-open")) {
    using conn = await group.next(terminal.signal);
    group.close();
    await talk(conn, input, args, terminal);
    return 0;
  }
  for (;;) {
    using conn = await group.next(terminal.signal);
    try {
      await talk(conn, input, args, terminal);
    } catch (error) {
      if (terminal.signal.aborted) throw error;
      // One client that is lost is no reason to turn away the others.
      reportFailure(error, "mptcp listen", args.has("json"), terminal);
    }
  }
}

function listenOn(address: Parameters<typeof listenRange>[0], args: Arguments): MptcpListener[] {
  try {
    return listenRange(address, { ...netnsOptions(args.text("netns")), ...socketOptionsOf(args) });
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw explainRefusal(error);
  }
}

async function talk(
  conn: MptcpConn,
  input: Input | null,
  args: Arguments,
  terminal: Terminal,
): Promise<void> {
  using log = new ConnectionLog(conn, true, tellingOf(args), terminal);
  const idle = args.number("timeout", { integer: false });
  const endsWithPeer = args.has("keep-open") || process.stdin.isTTY === true;
  const shuttle = new Shuttle(conn, terminal, { input, endsWithPeer, idle });
  try {
    await shuttle.run();
  } finally {
    log.end(shuttle.totals);
  }
}
