/**
 * `bench`: measures what goes through between two machines.
 *
 * @module
 */

import type { Command } from "../args/command.ts";
import { benchClient } from "./client.ts";
import { benchServer } from "./server.ts";

/** The command. */
export const bench: Command = {
  name: "bench",
  summary: "Measure the rate between two machines",
  details: "Run the server on one machine and the client on the other, as with iperf.",
  examples: [
    { line: "bench server", summary: "On one machine" },
    { line: "bench client 10.0.0.1", summary: "On the other" },
  ],
  commands: [benchServer, benchClient],
};
