/**
 * `mptcp listen`: standard input and output over a connection that comes.
 *
 * @module
 */

import process from "node:process";
import type { ListenMptcpOptions, MptcpConn, MptcpListener } from "../../../mod.ts";
import { listenOnEach, listenRange } from "../../net/listen_range.ts";
import { UsageError } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { DESCRIPTOR_DETAILS } from "../args/descriptors.ts";
import { withPolicy } from "../args/policy.ts";
import { ConnectionLog, tellListener } from "./connection_log.ts";
import { reportFailure } from "../ui/failure.ts";
import { Input } from "./input.ts";
import { ListenerGroup } from "./listener_group.ts";
import {
  explainRefusal,
  type ListenCommandOptions,
  NETCAT_OPTIONS,
  readListenOptions,
  TELLING_DETAILS,
} from "./options.ts";
import { Shuttle } from "./shuttle.ts";
import type { Terminal } from "../ui/terminal.ts";

/** The command. */
export const listen: Command = withPolicy({
  name: "listen",
  summary: "Wait for a client, print what it sends, and send it standard input",
  operands: "ADDRESS",
  count: { min: 1, max: 1 },
  details:
    `ADDRESS may be just a port, and may name a range of ports. If one of them is unavailable, the
command fails.

The command accepts one connection, and ends when both directions are closed. With --keep-open it
accepts the next connection when a client is done; standard input goes to the current one.

${DESCRIPTOR_DETAILS}

${TELLING_DETAILS}`,
  options: [
    { name: "keep-open", short: "k", summary: "Accept one connection after another" },
    {
      name: "timeout",
      short: "w",
      value: "SECONDS",
      summary: "Close a connection if no data moves for this long",
    },
    ...NETCAT_OPTIONS,
  ],
  statuses: { 1: "the address is unavailable, or the connection was lost" },
  examples: [
    { line: "listen -v 8000", summary: "Wait on port 8000 of every IPv4 address" },
    {
      line: "listen -k '[::]:9000-9010' > log",
      summary: "Collect what clients send, on eleven ports",
    },
  ],
  run: (args, terminal) => run(readListenOptions(args), terminal),
}, "server");

async function run(options: ListenCommandOptions, terminal: Terminal): Promise<number> {
  const { telling, stdin, keepOpen, json } = options;
  using group = new ListenerGroup(listenOn(options));
  for (const listener of group.listeners) tellListener(listener, telling, terminal);
  const input = stdin ? new Input() : null;
  if (!keepOpen) {
    using conn = await group.next(terminal.signal);
    group.close();
    await talk(conn, input, options, terminal);
    return 0;
  }
  for (;;) {
    using conn = await group.next(terminal.signal);
    try {
      await talk(conn, input, options, terminal);
    } catch (error) {
      if (terminal.signal.aborted) throw error;
      // One client that is lost is no reason to turn away the others.
      reportFailure(error, "mptcp listen", json, terminal);
    }
  }
}

function listenOn({ place, netns, socket }: ListenCommandOptions): MptcpListener[] {
  try {
    if (isDescriptors(place)) return listenOnEach(place.map((one) => ({ ...socket, ...one })));
    return listenRange(place, { ...netns, ...socket });
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw explainRefusal(error);
  }
}

function isDescriptors(
  place: ListenCommandOptions["place"],
): place is readonly ListenMptcpOptions[] {
  return Array.isArray(place);
}

async function talk(
  conn: MptcpConn,
  input: Input | null,
  { telling, idle, keepOpen }: ListenCommandOptions,
  terminal: Terminal,
): Promise<void> {
  using log = new ConnectionLog(conn, true, telling, terminal);
  const endsWithPeer = keepOpen || process.stdin.isTTY === true;
  const shuttle = new Shuttle(conn, terminal, { input, endsWithPeer, idle });
  try {
    await shuttle.run();
  } finally {
    log.end(shuttle.totals);
  }
}
