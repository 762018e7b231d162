/**
 * The program and all its commands.
 *
 * @module
 */

import type { Command } from "./args/command.ts";

/** The name that the program is called by in its messages. */
export const PROGRAM = "mptcp";

// In Bun and in a bundle, loading all commands takes longer than everything else before the work begins.
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  check: async () => (await import("./check/command.ts")).check,
  doctor: async () => (await import("./doctor/command.ts")).doctor,
  get: async () => (await import("./get/command.ts")).get,
  serve: async () => (await import("./serve/command.ts")).serve,
  proxy: async () => (await import("./proxy/command.ts")).proxyCommand,
  connect: async () => (await import("./netcat/connect.ts")).connect,
  listen: async () => (await import("./netcat/listen.ts")).listen,
  bench: async () => (await import("./bench/command.ts")).bench,
  endpoint: async () => (await import("./endpoint/command.ts")).endpoint,
  limits: async () => (await import("./limits/command.ts")).limits,
  paths: async () => (await import("./paths/command.ts")).paths,
  monitor: async () => (await import("./monitor/command.ts")).monitor,
};

/** The program with the command of that name alone, or with all commands where that is none of these. */
export async function loadProgram(name?: string): Promise<Command> {
  if (name !== undefined && Object.hasOwn(COMMANDS, name)) {
    return { ...PROGRAM_ITSELF, commands: [await COMMANDS[name]!()] };
  }
  const { allCommands } = await import("./all_commands.ts");
  const program: Command = { ...PROGRAM_ITSELF, commands: allCommands(() => program) };
  return program;
}

const PROGRAM_ITSELF: Omit<Command, "commands"> = {
  name: PROGRAM,
  summary: "Multipath TCP from the command line",
  details:
    `Addresses are written [tcp|mptcp][4|6]@HOST[:PORT[-PORT]]. The prefix mptcp@ requires MPTCP, tcp@
uses TCP, and without a prefix MPTCP is preferred. 4 or 6 selects the address family. Ctrl-C stops
every command cleanly.

--json prints one JSON value per line. Errors are JSON as well, on standard error:
{"error":{"message":"...","code":"ECONNREFUSED"}}. Fields may be added but never changed or removed.

To run another program over MPTCP, use "mptcpize run PROGRAM".`,
  options: [{ name: "version", short: "V", summary: "Print the version" }],
  examples: [
    { line: "check", summary: "Check whether this machine supports MPTCP" },
    { line: "help endpoint add", summary: "Show the help of one command" },
  ],
};
