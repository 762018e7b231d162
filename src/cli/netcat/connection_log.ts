/**
 * What becomes of a connection, told on standard error as it happens.
 *
 * @module
 */

import type { Fallback, MptcpConn, MptcpListener, Protocol, Subflow } from "../../../mod.ts";
import { toJson } from "../ui/json.ts";
import { formatAddr, reportOf, subflowLines, type SubflowReport } from "../ui/subflow_table.ts";
import type { Totals } from "./shuttle.ts";
import type { Terminal } from "../ui/terminal.ts";
import { count, formatBytes } from "../ui/units.ts";

/** Whether to tell, and how. */
export type Telling = "lines" | "json" | "nothing";

/** Milliseconds between looks at the subflows: the kernel reports them only if asked. */
const LOOK_INTERVAL = 100;

/** Says where a listener listens. */
export function tellListener(listener: MptcpListener, telling: Telling, terminal: Terminal): void {
  const { addr, protocol, fallback } = listener;
  if (telling === "json") {
    terminal.warn(toJson({ event: "listening", localAddr: addr, protocol, fallback }));
  } else if (telling === "lines") {
    terminal.warn(`Listening on ${formatAddr(addr)}: ${protocolText(protocol, fallback)}`);
  }
}

/** "MPTCP", or "TCP" and why. */
function protocolText(protocol: Protocol | "unknown", fallback: Fallback | null): string {
  if (protocol === "unknown") return "the kernel does not report whether it is MPTCP";
  return fallback === null
    ? protocol.toUpperCase()
    : `${protocol.toUpperCase()}. ${fallback.detail}`;
}

/** Reports on one connection, from now until it is ended. */
export class ConnectionLog implements Disposable {
  readonly #conn: MptcpConn;
  readonly #telling: Telling;
  readonly #terminal: Terminal;
  readonly #started: number = performance.now();
  /** By their ends; those that are gone too, as they were last seen. */
  readonly #subflows: Map<string, SubflowReport> = new Map();
  readonly #open: Set<string> = new Set();
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  /** Reports the new connection. `accepted`: the peer opened it. */
  constructor(conn: MptcpConn, accepted: boolean, telling: Telling, terminal: Terminal) {
    this.#conn = conn;
    this.#telling = telling;
    this.#terminal = terminal;
    if (telling === "nothing") return;
    const { localAddr, remoteAddr, protocol, fallback } = conn;
    const [local, remote] = [formatAddr(localAddr), formatAddr(remoteAddr)];
    const what = accepted
      ? `Connection from ${remote} to ${local}`
      : `Connected to ${remote} from ${local}`;
    this.#tell(
      { event: accepted ? "accepted" : "connected", localAddr, remoteAddr, protocol, fallback },
      [`${what}: ${protocolText(protocol, fallback)}`],
    );
    this.#open.add(keyOf(conn));
    this.#look();
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL);
  }

  /** Reports the end of the connection. To be called before it is closed. */
  end({ sent, received }: Totals): void {
    if (this.#telling === "nothing") return;
    this.#look();
    const { protocol, fallback } = this.#conn;
    const subflows = this.#reports({ sent, received });
    const milliseconds = Math.round(performance.now() - this.#started);
    const moved = `sent ${formatBytes(sent)}, received ${formatBytes(received)}`;
    this.#tell(
      {
        event: "closed",
        protocol,
        fallback,
        milliseconds,
        sent,
        received,
        subflows,
      },
      [
        `Closed after ${milliseconds / 1000} s: ${protocol.toUpperCase()}, ${moved}, over ` +
        count(subflows.length, "subflow"),
        ...subflowLines(subflows, this.#terminal.errorStyles),
      ],
    );
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    // One that is closed has no ends any more, and is listed for a moment.
    const isAlive = (subflow: Subflow) =>
      subflow.tcp.state !== "CLOSE" || this.#open.has(keyOf(subflow));
    const alive = this.#conn.subflows().filter(isAlive);
    const now = new Map(alive.map((subflow) => [keyOf(subflow), subflow]));
    for (const [key, subflow] of now) {
      this.#note(key, reportOf(subflow));
      if (this.#open.has(key)) continue;
      this.#open.add(key);
      const { localAddr, remoteAddr } = subflow;
      this.#tell({ event: "subflow", localAddr, remoteAddr }, [`New subflow: ${key}`]);
    }
    // All of them go at the end of a connection, which is told anyway.
    if (now.size === 0) return;
    for (const key of this.#open) {
      if (now.has(key)) continue;
      this.#open.delete(key);
      const gone = this.#subflows.get(key);
      if (gone === undefined) continue;
      const { localAddr, remoteAddr } = gone;
      this.#tell({ event: "subflow-closed", localAddr, remoteAddr }, [`Subflow closed: ${key}`]);
    }
  }

  /** A subflow that is closed has forgotten its figures. */
  #note(key: string, report: SubflowReport): void {
    const { state } = report;
    const known = this.#subflows.get(key);
    this.#subflows.set(
      key,
      known !== undefined && state === "CLOSE" ? { ...known, state } : report,
    );
  }

  /** What is known in the end: of the only subflow all that moved, of several what was last seen. */
  #reports({ sent, received }: Totals): SubflowReport[] {
    const reports = [...this.#subflows.values()];
    if (reports.length !== 1) return reports;
    return [{ ...reports[0]!, bytesSent: sent, bytesReceived: received }];
  }

  #tell(event: Record<string, unknown>, lines: readonly string[]): void {
    this.#terminal.warn(this.#telling === "json" ? toJson(event) : lines.join("\n"));
  }
}

function keyOf({ localAddr, remoteAddr }: Pick<Subflow, "localAddr" | "remoteAddr">): string {
  return `${formatAddr(localAddr)} to ${formatAddr(remoteAddr)}`;
}
