/**
 * `mptcp doctor`: why is a connection TCP, or why does it have one path?
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import { PacketCapture } from "../../kernel/packet_capture.ts";
import type { Command } from "../args/command.ts";
import { NETNS } from "../args/common_options.ts";
import { CONNECT_TIMEOUT, FAMILY_OPTIONS } from "../args/connecting.ts";
import { toJson } from "../ui/json.ts";
import type { Terminal } from "../ui/terminal.ts";
import { diagnose, type Diagnosis } from "./diagnose.ts";
import { examine } from "./examine.ts";
import { DOCTOR_PORT, type DoctorOptions, readDoctorOptions } from "./options.ts";
import { serveDoctors } from "./peer.ts";
import { reportLines } from "./report.ts";

/** The exit status if something is wrong. */
export const FOUND = 3;

/** The command. */
export const doctor: Command = {
  name: "doctor",
  summary: "Find out why connections to a server are TCP, or have one path",
  operands: "[HOST[:PORT]]",
  count: { min: 0, max: 1 },
  details: `Connects to the server over TCP and over MPTCP, exchanges a little data, and waits for a
second path. If one of these fails, it prints the cause, the evidence and what to do.

Many causes can only be told apart from both ends. Run mptcp doctor --listen on the server and
mptcp doctor HOST on the client: the server then reports which packets arrived. The default port is
${DOCTOR_PORT}. A server that does not run mptcp doctor is sent the request "HEAD /", unless --no-data is given.

The kernel's counters are for the whole machine, so other connections on a busy machine can distort
the result. No privilege is needed. Without CAP_NET_ADMIN, the addresses that the server announces
are not visible, and the output says so. --json prints {"cause", "summary", "evidence", "advice",
"protocol", "subflows", "unseen", "facts"}; "cause" is null if nothing is wrong. --pcap needs CAP_NET_RAW.`,
  options: [
    { name: "listen", summary: "Run the server side at [ADDRESS] until stopped by a signal" },
    { name: "wait", value: "SECONDS", summary: "How long to wait for a second path (default 3)" },
    { name: "no-data", summary: "Send nothing to a server that does not run mptcp doctor" },
    { name: "pcap", value: "FILE", summary: "Write the packets to FILE, for Wireshark" },
    CONNECT_TIMEOUT,
    ...FAMILY_OPTIONS,
    NETNS,
  ],
  statuses: { 0: "nothing is wrong", [FOUND]: "a cause was found" },
  examples: [
    { line: "doctor --listen", summary: "On the server" },
    { line: "doctor 192.0.2.1", summary: "On the client" },
    { line: "doctor www.example.com:443", summary: "Examine any other server" },
  ],
  run: (args, terminal) => run(readDoctorOptions(args), terminal),
};

async function run(options: DoctorOptions, terminal: Terminal): Promise<number> {
  const { remote, json } = options;
  if (remote === null) return await serveDoctors(options, terminal);
  const evidence = await captured(
    remote.port,
    options,
    () => examine(remote, options, terminal.signal),
  );
  const diagnosis = diagnose(evidence);
  if (json) terminal.print(toJson(jsonOf(diagnosis, evidence)));
  else terminal.print(reportLines(diagnosis, evidence, terminal.styles).join("\n"));
  return diagnosis === null ? 0 : FOUND;
}

/** Does something while packets are captured, where that is asked for. */
async function captured<T>(
  port: number,
  { pcap, netns }: DoctorOptions,
  action: () => Promise<T>,
): Promise<T> {
  if (pcap === null) return await action();
  using capture = new PacketCapture(port, netns.netns);
  try {
    return await action();
  } finally {
    writeFileSync(pcap, capture.bytes());
  }
}

function jsonOf(
  diagnosis: Diagnosis | null,
  evidence: Awaited<ReturnType<typeof examine>>,
): Record<string, unknown> {
  const { connection, tcp, connect, counters, peer, probes, unseen } = evidence;
  return {
    cause: diagnosis?.cause ?? null,
    summary: diagnosis?.summary ?? null,
    evidence: diagnosis?.evidence ?? [],
    advice: diagnosis?.advice ?? null,
    protocol: connection?.protocol ?? null,
    subflows: connection?.established ?? 0,
    unseen,
    facts: { tcp, connect, connection, counters: changed(counters), peer, probes },
  };
}

/** The counters that have risen. */
function changed(counters: object): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).filter(([, count]) => count !== 0));
}
