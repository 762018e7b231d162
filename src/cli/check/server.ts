/**
 * What `mptcp check ADDRESS` finds out of a server.
 *
 * @module
 */

import { type MptcpConn, mptcpSupport, type Subflow } from "../../../mod.ts";
import { reasonFor } from "../args/addresses.ts";
import { dial } from "../dial.ts";
import type { CheckOptions } from "./options.ts";
import { hintLines } from "./support.ts";
import { pause } from "../ui/pause.ts";
import { toJson } from "../ui/json.ts";
import { formatAddr, reportOf, subflowLines, type SubflowReport } from "../ui/subflow_table.ts";
import { pairLines } from "../ui/table.ts";
import type { Styles, Terminal } from "../ui/terminal.ts";

/** The result of connecting. */
interface Finding extends Pick<MptcpConn, "protocol" | "fallback" | "localAddr" | "remoteAddr"> {
  readonly connectMilliseconds: number;
  readonly waitedMilliseconds: number;
  readonly subflows: readonly SubflowReport[];
  readonly hints: readonly string[];
}

/** Connects to the server, prints the result, and returns whether it is MPTCP. */
export async function checkServer(
  remote: NonNullable<CheckOptions["remote"]>,
  { netns, json, wait, connectTimeout }: CheckOptions,
  terminal: Terminal,
): Promise<boolean> {
  // That MPTCP is refused is what is to be told, and no error.
  const mptcp = remote.mptcp === "require" ? "prefer" : remote.mptcp;
  const started = performance.now();
  using conn = await dial({ ...remote, ...netns, mptcp }, connectTimeout, terminal.signal);
  const connectMilliseconds = performance.now() - started;
  const waitedMilliseconds = conn.protocol === "mptcp" ? wait : 0;
  const subflows = await subflowsWithin(conn, waitedMilliseconds, terminal.signal);
  const { protocol, fallback, localAddr, remoteAddr } = conn;
  const hints = protocol === "mptcp" && subflows.length < 2 ? hintsOn(netns) : [];
  const finding: Finding = {
    protocol,
    fallback: fallback && { ...fallback, detail: reasonFor(fallback, remote.mptcp) },
    localAddr,
    remoteAddr,
    connectMilliseconds: Math.round(connectMilliseconds * 10) / 10,
    waitedMilliseconds,
    subflows: subflows.map(reportOf),
    hints,
  };
  terminal.print(
    json ? toJson(finding) : findingLines(finding, terminal.styles).join("\n"),
  );
  return protocol === "mptcp";
}

/** The subflows once some time has passed, or the last that there were. */
async function subflowsWithin(
  conn: MptcpConn,
  milliseconds: number,
  signal: AbortSignal,
): Promise<Subflow[]> {
  const until = performance.now() + milliseconds;
  let subflows = conn.subflows();
  for (;;) {
    const left = until - performance.now();
    if (left <= 0) return subflows;
    await pause(Math.min(left, 50), signal);
    const now = conn.subflows();
    // A server that closes at once leaves none.
    if (now.length >= subflows.length) subflows = now;
  }
}

function hintsOn(netns: { netns?: string }): string[] {
  const { hints, endpoints } = mptcpSupport(netns);
  const silent = endpoints?.some(({ subflow }) => subflow)
    ? [
      "The kernel opens subflows from this host's endpoints only after the server has sent data, " +
      "and this check sends no request",
    ]
    : [];
  return [...hints, ...silent];
}

function findingLines(finding: Finding, styles: Styles): string[] {
  const { protocol, fallback, remoteAddr, subflows, hints } = finding;
  const { connectMilliseconds, waitedMilliseconds } = finding;
  const answers = { mptcp: styles.green("yes"), tcp: styles.yellow("no, TCP"), unknown: "unknown" };
  const pairs: [string, string][] = [
    ["MPTCP", answers[protocol]],
    ...fallback === null ? [] : [["Why not", fallback.detail] as [string, string]],
    ["Server", `${formatAddr(remoteAddr)}, connected in ${connectMilliseconds} ms`],
    ...protocol === "mptcp"
      ? [
        ["Subflows", `${subflows.length} after ${waitedMilliseconds / 1000} s`] as [string, string],
      ]
      : [],
  ];
  return [
    ...pairLines(pairs, styles),
    "",
    ...subflowLines(subflows, styles),
    ...hintLines(hints, styles),
  ];
}
