/**
 * The program and all its commands.
 *
 * @module
 */

import { bench } from "./bench/command.ts";
import { check } from "./check/command.ts";
import type { Command } from "./args/command.ts";
import { completionsOf } from "./completions/command.ts";
import { connect } from "./netcat/connect.ts";
import { doctor } from "./doctor/command.ts";
import { endpoint } from "./endpoint/command.ts";
import { get } from "./get/command.ts";
import { limits } from "./limits/command.ts";
import { listen } from "./netcat/listen.ts";
import { manOf } from "./man/command.ts";
import { monitor } from "./monitor/command.ts";
import { paths } from "./paths/command.ts";
import { proxyCommand } from "./proxy/command.ts";
import { serve } from "./serve/command.ts";

/** The name that the program is called by in its messages. */
export const PROGRAM = "mptcp";

/** The program, of which every command is a part. */
export const program: Command = {
  name: PROGRAM,
  summary: "Multipath TCP from the command line",
  details:
    `Addresses are [tcp|mptcp][4|6]@HOST[:PORT[-PORT]]. mptcp@ requires MPTCP, tcp@ switches it
off, no prefix prefers it; 4 and 6 fix the family. Ctrl-C ends every command cleanly.

--json prints one JSON value per line. Errors are JSON as well, on standard error:
{"error":{"message":"...","code":"ECONNREFUSED"}}. Fields may be added but never changed or removed.

To run another program over MPTCP, use "mptcpize run PROGRAM".`,
  options: [{ name: "version", short: "V", summary: "Print the version" }],
  examples: [
    { line: "check", summary: "What this machine can do" },
    { line: "help endpoint add", summary: "Help on one command" },
  ],
  commands: [
    check,
    doctor,
    get,
    serve,
    proxyCommand,
    connect,
    listen,
    bench,
    endpoint,
    limits,
    paths,
    monitor,
    completionsOf(() => program),
    manOf(() => program),
  ],
};
