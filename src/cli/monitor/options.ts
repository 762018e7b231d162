/**
 * What `mptcp monitor` is told to do.
 *
 * @module
 */

import { type Arguments, UsageError } from "../args/arguments.ts";
import { parseOperand } from "../args/addresses.ts";
import { isDumb, type Terminal } from "../ui/terminal.ts";

/** Where to listen. */
export interface ServerAddress {
  readonly hostname: string;
  readonly port: number;
}

/** How and where to show what is going on. */
export interface MonitorOptions {
  readonly view: "table" | "lines" | "json" | "web" | "metrics";
  readonly netns: string | undefined;
  /** Milliseconds between two looks. */
  readonly interval: number;
  /** Of a server. */
  readonly address: ServerAddress;
  /** How many connections have metrics of their own. */
  readonly connections: number;
}

const DEFAULT_SECONDS = 1;
const DEFAULT_PORTS = { web: 8420, metrics: 9584 } as const;

/** @throws {UsageError} for options that do not go together. */
export function monitorOptions(args: Arguments, terminal: Terminal): MonitorOptions {
  const view = viewOf(args, terminal);
  const [address] = args.operands;
  if (address !== undefined && view !== "web" && view !== "metrics") {
    throw new UsageError("ADDRESS can only be used with --web or --metrics");
  }
  if (args.has("connections") && view !== "metrics") {
    throw new UsageError("--connections can only be used with --metrics");
  }
  const seconds = args.number("interval", { min: 0.1, integer: false }) ?? DEFAULT_SECONDS;
  return {
    view,
    netns: args.text("netns"),
    interval: 1000 * seconds,
    address: serverAddress(address, view === "metrics" ? "metrics" : "web"),
    connections: args.number("connections") ?? 0,
  };
}

function viewOf(args: Arguments, terminal: Terminal): MonitorOptions["view"] {
  const chosen = (["web", "metrics", "lines", "json"] as const).filter((name) => args.has(name));
  if (chosen.length > 1) {
    throw new UsageError(`--${chosen[0]} and --${chosen[1]} exclude each other`);
  }
  return chosen[0] ?? (terminal.outIsTerminal && !isDumb() ? "table" : "lines");
}

/** Where to serve one of the two, by its address, which needs no port. */
export function serverAddress(text: string | undefined, view: "web" | "metrics"): ServerAddress {
  const usual = { hostname: "127.0.0.1", port: DEFAULT_PORTS[view] };
  if (text === undefined) return usual;
  const { hostname, port, lastPort } = parseOperand(text);
  if (port !== lastPort) throw new UsageError(`"${text}" names several ports: only one is allowed`);
  return { hostname: hostname || usual.hostname, port: port ?? usual.port };
}
