/**
 * `mptcp listen`: standard input and output over a connection that comes.
 *
 * @module
 */

import process from "node:process";
import type { MptcpConn, MptcpListener } from "../../mod.ts";
import { listenRange } from "../listen_range.ts";
import { parseOperand } from "./addresses.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { netnsOptions } from "./common_options.ts";
import { ConnectionLog, tellListener } from "./connection_log.ts";
import { reportFailure } from "./failure.ts";
import { Input } from "./input.ts";
import {
  explainRefusal,
  NETCAT_OPTIONS,
  socketOptionsOf,
  TELLING_DETAILS,
  tellingOf,
} from "./netcat_options.ts";
import { Shuttle } from "./shuttle.ts";
import type { Terminal } from "./terminal.ts";

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
  if (address.port === 0 && address.lastPort !== 0) {
    throw new UsageError("a range of ports begins at 1 or above");
  }
  using doors = new Doors(listenOn(address, args));
  for (const listener of doors.listeners) tellListener(listener, tellingOf(args), terminal);
  const input = args.has("no-stdin") ? null : new Input();
  if (!args.has("keep-open")) {
    using conn = await doors.next(terminal.signal);
    doors.close();
    await talk(conn, input, args, terminal);
    return 0;
  }
  for (;;) {
    using conn = await doors.next(terminal.signal);
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

/** Several listeners, whose connections come one after the other. */
class Doors implements Disposable {
  readonly listeners: readonly MptcpListener[];
  readonly #accepting: Map<MptcpListener, Promise<[MptcpListener, MptcpConn]>> = new Map();

  constructor(listeners: readonly MptcpListener[]) {
    this.listeners = listeners;
  }

  /** The next connection of any of them. */
  async next(signal: AbortSignal): Promise<MptcpConn> {
    signal.throwIfAborted();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop);
    try {
      for (const listener of this.listeners) this.#accept(listener);
      const [listener, conn] = await Promise.race([aborted, ...this.#accepting.values()]);
      this.#accepting.delete(listener);
      return conn;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  #accept(listener: MptcpListener): void {
    if (this.#accepting.has(listener)) return;
    const accepting = listener.accept().then((
      conn,
    ): [MptcpListener, MptcpConn] => [listener, conn]);
    this.#accepting.set(listener, accepting);
  }

  /** Closes all, and what they have accepted and nobody has taken. */
  close(): void {
    for (const accepting of this.#accepting.values()) {
      accepting.then(([, conn]) => conn.close(), () => {});
    }
    this.#accepting.clear();
    for (const listener of this.listeners) listener[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
