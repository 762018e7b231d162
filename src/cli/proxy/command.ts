/**
 * `mptcp proxy`.
 *
 * @module
 */

import { once } from "node:events";
import process from "node:process";
import { parseAddress } from "../../net/address.ts";
import { proxyMptcp } from "../../proxy/mod.ts";
import type { MptcpProxy, ProxyHeaderVersion, ProxyMptcpOptions } from "../../proxy/types.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { ProxyLog } from "./log.ts";
import { serveStatus } from "./status.ts";
import type { Terminal } from "../ui/terminal.ts";

/** Both print the counters. Deno opens its debugger as well on the first, as Node does. */
const COUNTER_SIGNALS = ["SIGUSR1", "SIGUSR2"] as const;

/** When connections were cut off at the end. */
const CUT_OFF = 3;

/** The command. */
export const proxyCommand: Command = {
  name: "proxy",
  summary: "Pass connections on to backends, with MPTCP on either side",
  operands: "FRONT BACK...",
  count: { min: 2, max: Infinity },
  details:
    `Listens on FRONT, which may have a range of ports, and passes each connection on to a BACK, in
turn. One that cannot be reached is left out for a while, and its connection goes to the next.

Prints a line when a connection is over: its client, what both sides spoke and by how many paths,
the bytes from the client (in) and to it (out), how long it was open and how it ended: closed,
client-reset, backend-reset, idle, no-backend, bad-header, stopped or failed.

SIGUSR1 and SIGUSR2 print counters on standard error; in Deno prefer SIGUSR2, because the runtime
itself opens its debugger on SIGUSR1. SIGTERM and SIGINT stop listening and let connections finish;
a second one ends at once.`,
  options: [
    { name: "front", value: "ADDRESS", many: true, summary: "Listen here too" },
    {
      name: "proxy-protocol",
      value: "VERSION",
      choices: ["v1", "v2"],
      summary: "Tell backends who the client is, by the PROXY protocol",
    },
    { name: "accept-proxy", summary: "Expect the PROXY protocol, v1 or v2, from every client" },
    {
      name: "header-timeout",
      value: "SECONDS",
      summary: "Time for the header of the PROXY protocol (3)",
    },
    {
      name: "max-connections",
      value: "COUNT",
      summary: "Serve no more at once; others wait in the backlog",
    },
    { name: "backlog", value: "COUNT", summary: "How many may wait to be accepted (511)" },
    { name: "connect-timeout", value: "SECONDS", summary: "Time to reach a backend (5)" },
    {
      name: "idle-timeout",
      value: "SECONDS",
      summary: "Reset connections without a byte for so long (3600); 0 for never",
    },
    {
      name: "drain-timeout",
      value: "SECONDS",
      summary: "Time to finish after SIGTERM or SIGINT (for ever)",
    },
    { name: "reuse-port", summary: "Share the ports with other processes that say so too" },
    { name: "mss", value: "BYTES", summary: "The largest segment, on both sides (TCP_MAXSEG)" },
    {
      name: "status",
      value: "PLACE",
      summary: "Serve counters by HTTP, as JSON: an address, or the path of a Unix socket",
    },
    { name: "quiet", short: "q", summary: "Print no line for connections" },
  ],
  statuses: { [CUT_OFF]: "connections were reset, because the drain time was over" },
  examples: [
    {
      line: "proxy 'mptcp@*:8000' tcp@10.0.0.1:80 tcp@10.0.0.2:80",
      summary: "MPTCP for two servers that have TCP alone",
    },
    {
      line: "proxy tcp@127.0.0.1:1080 mptcp@example.com:443",
      summary: "Several paths for programs that have TCP alone",
    },
    {
      line: "proxy '[::]:8000-8010' 10.0.0.1:80 --proxy-protocol v2 --status /run/mptcp.sock",
      summary: 'Then "curl --unix-socket /run/mptcp.sock http://proxy/"',
    },
  ],
  run: runProxy,
};

async function runProxy(args: Arguments, terminal: Terminal): Promise<number> {
  const log = new ProxyLog(terminal, { json: args.has("json"), quiet: args.has("quiet") });
  const proxy = proxyMptcp(readOptions(args, log));
  try {
    await using _status = await serveStatus(args.text("status"), proxy);
    using _signals = onCounterSignals(() => log.counters(proxy.stats()));
    for (const front of proxy.fronts) log.print({ event: "listening", ...front });
    if (!terminal.signal.aborted) await once(terminal.signal, "abort");
    return await drain(proxy, args, log, String(terminal.signal.reason));
  } finally {
    await proxy.close();
  }
}

async function drain(
  proxy: MptcpProxy,
  args: Arguments,
  log: ProxyLog,
  signal: string,
): Promise<number> {
  log.print({ event: "draining", signal, active: proxy.stats().active });
  const seconds = args.number("drain-timeout", SECONDS);
  const cut = await proxy.shutdown(seconds === undefined ? {} : { deadline: seconds * 1000 });
  log.print({ event: "stopped", cut });
  return cut > 0 ? CUT_OFF : 0;
}

const SECONDS = { integer: false, max: 1_000_000 };

/** A time in seconds as whole milliseconds. */
function milliseconds(args: Arguments, name: string): number | undefined {
  const seconds = args.number(name, SECONDS);
  return seconds === undefined ? undefined : Math.ceil(seconds * 1000);
}

function readOptions(args: Arguments, log: ProxyLog): ProxyMptcpOptions {
  const [front, ...back] = args.operands as [string, ...string[]];
  const fronts = [front, ...args.texts("front")];
  for (const address of [...fronts, ...back]) checkAddress(address);
  const timeout = milliseconds(args, "header-timeout");
  const given = {
    tcpBacklog: args.number("backlog", { max: 0x7fffffff }),
    maxConnections: args.number("max-connections", { min: 1, max: 0x7fffffff }),
    connectTimeout: milliseconds(args, "connect-timeout"),
    idleTimeout: milliseconds(args, "idle-timeout"),
    sendProxy: args.text("proxy-protocol") as ProxyHeaderVersion | undefined,
  };
  // Read here, so that a mistake is found before anything listens.
  args.number("drain-timeout", SECONDS);
  const maxSegment = args.number("mss", { min: 1, max: 65535 });
  return {
    ...withoutUndefined(given),
    front: fronts,
    back,
    reusePort: args.has("reuse-port"),
    acceptProxy: args.has("accept-proxy") && (timeout === undefined ? true : { timeout }),
    socketOptions: maxSegment === undefined ? {} : { maxSegment },
    ...(!args.has("quiet") && { onClose: (report) => log.connection(report) }),
    onBackend: (backend) => log.print({ event: "backend", ...backend }),
    onError: (error) => log.print({ event: "error", error }),
  };
}

function checkAddress(address: string): void {
  try {
    parseAddress(address);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(object: T): Defined<T> {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Defined<T>;
}

function onCounterSignals(handler: () => void): Disposable {
  for (const signal of COUNTER_SIGNALS) process.on(signal, handler);
  return {
    [Symbol.dispose]() {
      for (const signal of COUNTER_SIGNALS) process.off(signal, handler);
    },
  };
}
