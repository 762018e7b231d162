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
  summary: "Watch connections and subflows, of all processes",
  details:
    `On a terminal: a table of the connections and their subflows with what goes over each, and the
last events. q or Ctrl-C ends it. Events need CAP_NET_ADMIN; so do subflows before Linux 6.15.

Elsewhere, or with --lines: a line for each event from now on. --json gives events as objects, as
the path manager of the library does, with a "time".

--web serves a live page for browsers: the paths of each connection as moving bands, fallbacks
with their reasons, and events. It listens on 127.0.0.1:8420 unless ADDRESS says otherwise; on an
address that others can reach, the page asks for a token, which is in the address that is printed.

--metrics serves /metrics for Prometheus, on 127.0.0.1:9584 unless ADDRESS says otherwise: sums per
interface, endpoint and role, fallbacks by reason, and the kernel's counters.`,
  operands: "[ADDRESS]",
  count: { min: 0, max: 1 },
  options: [
    { name: "web", summary: "Serve a live page for browsers" },
    { name: "metrics", summary: "Serve metrics for Prometheus" },
    {
      name: "connections",
      value: "COUNT",
      summary: "With --metrics: series for each of the busiest connections, too (default 0)",
    },
    { name: "lines", summary: "Print events as lines, on a terminal too" },
    { name: "interval", value: "SECONDS", summary: "How often the table is renewed (default 1)" },
    NETNS,
  ],
  examples: [
    { line: "monitor", summary: "Watch all connections" },
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
