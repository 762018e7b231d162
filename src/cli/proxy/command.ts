/**
 * `mptcp proxy`.
 *
 * @module
 */

import { once } from "node:events";
import process from "node:process";
import { proxyMptcp } from "../../proxy/mod.ts";
import type { MptcpProxy } from "../../proxy/types.ts";
import type { Command } from "../args/command.ts";
import { DESCRIPTOR_DETAILS } from "../args/descriptors.ts";
import { withPolicy } from "../args/policy.ts";
import { ProxyLog } from "./log.ts";
import { type ProxyCommandOptions, readProxyOptions, sideOf } from "./options.ts";
import { serveStatus } from "./status.ts";
import type { Terminal } from "../ui/terminal.ts";

/** Both print the counters. Deno opens its debugger as well on the first, as Node does. */
const COUNTER_SIGNALS = ["SIGUSR1", "SIGUSR2"] as const;

/** When connections were cut off at the end. */
const CUT_OFF = 3;

/** The command. */
export const proxyCommand: Command = withPolicy({
  name: "proxy",
  summary: "Forward connections to backends, with MPTCP on either side",
  operands: "FRONT BACK...",
  count: { min: 2, max: Infinity },
  details:
    `Listens on FRONT, which may name a range of ports, and forwards each connection to a BACK. Backends
are used round-robin; an unreachable one is skipped for a while.

${DESCRIPTOR_DETAILS}

When a connection ends, it prints one line: the client, the protocol and number of paths on each side,
the bytes from the client (in) and to the client (out), the duration, and how the connection ended:
closed, client-reset, backend-reset, idle, no-backend, bad-header, stopped or failed.

SIGUSR1 and SIGUSR2 print counters on standard error. In Deno use SIGUSR2, because SIGUSR1 also starts
Deno's debugger. SIGTERM and SIGINT stop accepting and let connections finish; a second signal exits
immediately.`,
  options: [
    { name: "front", value: "ADDRESS", many: true, summary: "Also listen on this address" },
    {
      name: "proxy-protocol",
      value: "VERSION",
      choices: ["v1", "v2"],
      summary: "Send the client's address to backends with the PROXY protocol",
    },
    {
      name: "accept-proxy",
      summary: "Require a PROXY protocol header, v1 or v2, from every client",
    },
    {
      name: "header-timeout",
      value: "SECONDS",
      summary: "Time allowed for the PROXY protocol header (default 3)",
    },
    {
      name: "max-connections",
      value: "COUNT",
      summary: "Forward at most this many at once; others wait in the backlog",
    },
    {
      name: "backlog",
      value: "COUNT",
      summary: "How many connections may wait to be accepted (default 511)",
    },
    {
      name: "connect-timeout",
      value: "SECONDS",
      summary: "Time allowed to connect to a backend (default 5)",
    },
    {
      name: "idle-timeout",
      value: "SECONDS",
      summary: "Reset connections that are idle this long (default 3600, 0 for never)",
    },
    {
      name: "drain-timeout",
      value: "SECONDS",
      summary: "Time for connections to finish after SIGTERM or SIGINT (default: no limit)",
    },
    { name: "reuse-port", summary: "Share the ports with other processes (SO_REUSEPORT)" },
    {
      name: "mss",
      value: "BYTES",
      summary: "Set the maximum segment size on both sides (TCP_MAXSEG)",
    },
    {
      name: "status",
      value: "PLACE",
      summary: "Serve counters as JSON over HTTP, on an address or a Unix socket path",
    },
    { name: "quiet", short: "q", summary: "Do not print a line for each connection" },
  ],
  statuses: { [CUT_OFF]: "connections were reset because --drain-timeout was exceeded" },
  examples: [
    {
      line: "proxy 'mptcp@*:8000' tcp@10.0.0.1:80 tcp@10.0.0.2:80",
      summary: "MPTCP in front of two TCP-only servers",
    },
    {
      line: "proxy tcp@127.0.0.1:1080 mptcp@example.com:443",
      summary: "Give TCP-only programs several paths",
    },
    {
      line: "proxy '[::]:8000-8010' 10.0.0.1:80 --proxy-protocol v2 --status /run/mptcp.sock",
      summary: 'Read the counters with "curl --unix-socket /run/mptcp.sock http://proxy/"',
    },
  ],
  run: (args, terminal) => runProxy(readProxyOptions(args), terminal),
}, sideOf);

async function runProxy(options: ProxyCommandOptions, terminal: Terminal): Promise<number> {
  const log = new ProxyLog(terminal, options);
  const proxy = proxyMptcp({
    ...options.proxy,
    ...(!options.quiet && { onClose: (report) => log.connection(report) }),
    onBackend: (backend) => log.print({ event: "backend", ...backend }),
    onError: (error) => log.print({ event: "error", error }),
  });
  try {
    await using _status = await serveStatus(options.status, proxy);
    using _signals = onCounterSignals(() => log.counters(proxy.stats()));
    for (const front of proxy.fronts) log.print({ event: "listening", ...front });
    if (!terminal.signal.aborted) await once(terminal.signal, "abort");
    return await drain(proxy, options, log, String(terminal.signal.reason));
  } finally {
    proxy.close();
    await proxy.finished;
  }
}

async function drain(
  proxy: MptcpProxy,
  { drainTimeout }: ProxyCommandOptions,
  log: ProxyLog,
  signal: string,
): Promise<number> {
  log.print({ event: "draining", signal, active: proxy.stats().active });
  const cut = await proxy.shutdown(drainTimeout === undefined ? {} : { timeout: drainTimeout });
  log.print({ event: "stopped", cut });
  return cut > 0 ? CUT_OFF : 0;
}

function onCounterSignals(handler: () => void): Disposable {
  for (const signal of COUNTER_SIGNALS) process.on(signal, handler);
  return {
    [Symbol.dispose]() {
      for (const signal of COUNTER_SIGNALS) process.off(signal, handler);
    },
  };
}
