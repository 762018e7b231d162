/**
 * `mptcp monitor`: what happens to the MPTCP connections of a machine.
 *
 * @module
 */

import { MptcpPathManager } from "../../path_manager/mod.ts";
import type { Command } from "../args/command.ts";
import { NETNS, netnsOptions } from "../args/common_options.ts";
import { eventLine } from "./event_line.ts";
import { toJson } from "../ui/json.ts";
import type { Terminal } from "../ui/terminal.ts";
import { LiveTable } from "./live_table.ts";
import { serveMetrics } from "./metrics_server.ts";
import { type MonitorOptions, monitorOptions } from "./options.ts";
import { serveLivePage } from "./web/server.ts";

/** The command. */
export const monitor: Command = {
  name: "monitor",
  summary: "Watch the MPTCP connections and subflows of all processes",
  details:
    `On a terminal, it shows a table of connections and subflows with the rate of each, and the most
recent events. Press q or Ctrl-C to quit. Events need CAP_NET_ADMIN; before Linux 6.15, subflows do too.

If standard output is not a terminal, or with --lines, it prints a line for each new event. --json
prints the event objects of the library's path manager, each with a "time".

--web serves a live page for browsers: the paths of each connection as moving bands, fallbacks
with their reasons, and events. It listens on 127.0.0.1:8420 by default. On an address that other
machines can reach, the page requires a token, which is part of the printed URL.

--metrics serves /metrics for Prometheus, on 127.0.0.1:9584 by default: sums per interface, endpoint
and role, fallbacks by reason, and the kernel's counters.`,
  operands: "[ADDRESS]",
  count: { min: 0, max: 1 },
  options: [
    { name: "web", summary: "Serve a live page for browsers" },
    { name: "metrics", summary: "Serve metrics for Prometheus" },
    {
      name: "connections",
      value: "COUNT",
      summary: "With --metrics: also export series for the COUNT busiest connections (default 0)",
    },
    { name: "lines", summary: "Print events as lines even on a terminal" },
    { name: "interval", value: "SECONDS", summary: "How often to refresh the table (default 1)" },
    NETNS,
  ],
  examples: [
    { line: "monitor", summary: "Watch all connections in a table" },
    { line: "monitor --json > events", summary: "Record all events" },
    { line: "monitor --web", summary: "Watch in a browser" },
    { line: "monitor --metrics 0.0.0.0:9584", summary: "Let Prometheus scrape this machine" },
  ],
  run: (args, terminal) => run(monitorOptions(args, terminal), terminal),
};

async function run(options: MonitorOptions, terminal: Terminal): Promise<number> {
  switch (options.view) {
    case "web":
      return await serveUntilSignal(
        terminal,
        "the live page",
        () =>
          serveLivePage({ ...options.address, netns: options.netns, interval: options.interval }),
      );
    case "metrics":
      return await serveUntilSignal(terminal, "metrics", () => {
        const { address, netns, connections } = options;
        return serveMetrics(address, { connections, ...netnsOptions(netns) });
      });
    default:
      return await watch(options, terminal);
  }
}

async function watch(
  { view, netns, interval }: MonitorOptions,
  terminal: Terminal,
): Promise<number> {
  using paths = new MptcpPathManager(netnsOptions(netns));
  if (view === "table") return await new LiveTable(paths, netns, terminal).run(interval);
  for await (const event of paths.events({ signal: terminal.signal })) {
    const time = new Date();
    terminal.print(view === "json" ? toJson({ time, ...event }) : eventLine(event, time));
  }
  return 0;
}

/** What serves something until it is closed. */
interface Serving {
  readonly url: string;
  close(): Promise<void>;
}

async function serveUntilSignal(
  terminal: Terminal,
  what: string,
  start: () => Serving,
): Promise<number> {
  const serving = start();
  terminal.warn(`Serving ${what} on ${serving.url}. Ctrl-C ends it.`);
  const { signal } = terminal;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  await serving.close();
  signal.throwIfAborted();
  return 0;
}
