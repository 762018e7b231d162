/**
 * `mptcp paths`: what paths this machine has, what is missing, and keeping them in order.
 *
 * @module
 */

import type { ManagedPaths, ManagedPathsEvent } from "../../path_manager/mod.ts";
import type { Command, Option } from "../args/command.ts";
import { NETNS, netnsOptions } from "../args/common_options.ts";
import { openPaths, POLICIES } from "../args/policy.ts";
import { serveMetrics } from "../monitor/metrics_server.ts";
import { serveLivePage } from "../monitor/web/server.ts";
import { decisionLine } from "../ui/decision_line.ts";
import { toJson } from "../ui/json.ts";
import type { Terminal } from "../ui/terminal.ts";
import { pathLines } from "./describe.ts";
import { type PathsOptions, readPathsOptions, readUpOptions, type UpOptions } from "./options.ts";

const SELECTION: readonly Option[] = [
  {
    name: "include",
    value: "PATTERN",
    many: true,
    summary: "Use only matching interfaces, addresses or networks",
  },
  {
    name: "exclude",
    value: "PATTERN",
    many: true,
    summary: "Do not use matching interfaces, addresses or networks",
  },
  {
    name: "role",
    value: "PATTERN=ROLE",
    many: true,
    summary: "Set the role of matching paths: primary, backup or metered",
  },
  {
    name: "side",
    value: "SIDE",
    choices: ["client", "server"],
    summary: "Open subflows (client, the default) or announce addresses (server)",
  },
  NETNS,
];

const POLICY: Option = {
  name: "policy",
  value: "NAME",
  choices: POLICIES,
  summary: "Which paths carry data: adaptive (default), active-backup, overflow or none",
};

/** Milliseconds between two states of the live page. */
const PAGE_INTERVAL = 1000;

const PATTERNS =
  `A pattern is an interface name, which may contain * and ?, an address, or a network such as
10.0.0.0/8. Without --include, all interfaces are used except loopback, containers and tunnels.`;

const up: Command = {
  name: "up",
  summary: "Set up paths and maintain them until stopped",
  details:
    `Creates an endpoint for every address that has a default route, follows network changes, and lets a
policy choose which paths carry data. It does not touch endpoints of other programs. When stopped, it
removes everything it created. It needs CAP_NET_ADMIN and no other capability.

Policies: adaptive uses an additional path only while it makes transfers faster. active-backup uses it
only while the preferred path is down. overflow uses it, even if metered, once the other paths have
been full for two seconds. none uses all paths at all times.

${PATTERNS}`,
  options: [
    ...SELECTION,
    POLICY,
    { name: "fullmesh", summary: "Open subflows from every address to every address of the peer" },
    { name: "laminar", summary: "Answer address announcements from every address (Linux 6.18)" },
    {
      name: "probe",
      value: "HOST:PORT",
      summary: "Use a path only after it has reached HOST:PORT over TCP",
    },
    { name: "add-routes", summary: "Add missing routes and rules for each address" },
    { name: "close-stuck", summary: "Close subflows whose path has stopped working" },
    {
      name: "web",
      value: "ADDRESS",
      summary: "Serve a live page with the decisions, like monitor (default port 8420)",
    },
    {
      name: "metrics",
      value: "ADDRESS",
      summary: "Serve metrics for Prometheus, including decisions (default port 9584)",
    },
    { name: "dry-run", summary: "Print what would be done, without doing it" },
  ],
  statuses: { 1: "the kernel refused it, or CAP_NET_ADMIN is missing" },
  examples: [
    { line: "paths up", summary: "Use all interfaces that make transfers faster" },
    {
      line: "paths up --role 'wwan*=metered' --policy active-backup",
      summary: "Use LTE only while Wi-Fi is down",
    },
    { line: "paths up --side server --add-routes", summary: "Announce a server's addresses" },
    { line: "paths up --web 127.0.0.1", summary: "Watch the decisions in a browser" },
  ],
  run: (args, terminal) => keepUp(readUpOptions(args), terminal),
};

/** The command. */
export const paths: Command = {
  name: "paths",
  summary: "Show the paths of this machine, or set them up",
  details:
    `Shows interfaces, addresses and endpoints. If an address cannot be used as a path, it shows what is
missing and the command that fixes it. It changes nothing and needs no privilege. To set paths up and
maintain them, use "paths up".

${PATTERNS}`,
  options: SELECTION,
  examples: [{ line: "paths", summary: "Show the paths, and what is missing" }],
  commands: [up],
  run: (args, terminal) => show(readPathsOptions(args), terminal),
};

async function show({ managing, json }: PathsOptions, terminal: Terminal): Promise<number> {
  await using managed = openPaths(managing);
  const state = managed.state();
  if (json) terminal.print(toJson(state));
  else for (const line of pathLines(state, terminal.styles)) terminal.print(line);
  return 0;
}

async function keepUp(options: UpOptions, terminal: Terminal): Promise<number> {
  const { managing, json } = options;
  const { signal } = terminal;
  using managed = openPaths(managing);
  const events = managed.events();
  const stop = () => managed.close();
  const tell = (event: ManagedPathsEvent) => {
    if (json) terminal.print(toJson(event));
    else if (event.type === "decision") terminal.print(decisionLine(event.decision));
    else if (event.type === "problem") terminal.warn(event.message);
  };
  const { problems } = managed.state();
  for (const decision of managed.decisions()) tell({ type: "decision", decision });
  for (const message of problems) tell({ type: "problem", message, code: undefined });
  if (managing.dryRun || isRefused(managed)) return problems.length > 0 ? 1 : 0;
  await using _servers = serveDecisions(options, managed, terminal);
  // What follows the network does not keep the process alive.
  const alive = setInterval(() => {}, 1 << 30);
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  try {
    for await (const event of events) tell(event);
  } finally {
    clearInterval(alive);
    signal.removeEventListener("abort", stop);
  }
  return 0;
}

/** The live page and the metrics, as far as they are asked for. */
function serveDecisions(
  { managing, web, metrics }: UpOptions,
  paths: ManagedPaths,
  terminal: Terminal,
): AsyncDisposable {
  using stack = new DisposableStack();
  const netns = netnsOptions(managing.netns);
  const servers: { readonly url: string; close(): Promise<void> }[] = [];
  stack.defer(() => servers.forEach((server) => void server.close()));
  if (web !== null) {
    servers.push(serveLivePage({ ...web, ...netns, interval: PAGE_INTERVAL, paths }));
    terminal.warn(`Serving the live page on ${servers.at(-1)!.url}`);
  }
  if (metrics !== null) {
    servers.push(serveMetrics(metrics, { ...netns, paths }));
    terminal.warn(`Serving metrics on ${servers.at(-1)!.url}`);
  }
  stack.move();
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(servers.map((server) => server.close()));
    },
  };
}

/** Whether nothing at all could be done: there is no point in waiting for it. */
function isRefused(managed: ManagedPaths): boolean {
  const { paths, problems } = managed.state();
  return problems.some((problem) => problem.includes("CAP_NET_ADMIN")) &&
    !paths.some(({ state }) => state === "ready");
}
