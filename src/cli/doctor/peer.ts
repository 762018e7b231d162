/**
 * The other end of `mptcp doctor`: it tells what of the packets has arrived there.
 *
 * @module
 */

import { listenMptcp, type MptcpConn, mptcpSupport } from "../../../mod.ts";
import { type MptcpCounters, mptcpCounters } from "../../kernel/counters.ts";
import { formatHostPort } from "../../show.ts";
import { interruptedStatus, type Terminal } from "../ui/terminal.ts";
import type { DoctorOptions } from "./options.ts";

/** What a doctor says to everyone who connects. */
export const GREETING = "MPTCP-DOCTOR 1";

/** Milliseconds that a connection is kept. */
const PATIENCE = 60_000;

/** What the other end has counted in the time of an examination. */
export interface PeerReport {
  /** Whether it makes MPTCP sockets. */
  readonly supported: boolean;
  /** How much its counters have risen. */
  readonly counters: MptcpCounters;
}

/** How much counters have risen. */
export function risen(before: MptcpCounters, now: MptcpCounters): MptcpCounters {
  return Object.fromEntries(
    Object.entries(now).map(([name, count = 0]) => [name, count - (before[name] ?? 0)]),
  );
}

/** The counters; none where this kernel has no MPTCP. */
export function readCounters(netns: DoctorOptions["netns"]): MptcpCounters {
  try {
    return mptcpCounters(netns);
  } catch {
    return {};
  }
}

/** Answers doctors until a signal ends it. */
export async function serveDoctors(
  { listen, netns }: DoctorOptions,
  terminal: Terminal,
): Promise<number> {
  using listener = listenMptcp(listen);
  const { addr, protocol } = listener;
  terminal.warn(
    `Waiting for mptcp doctor clients at ${formatHostPort(addr.hostname, addr.port)} over ` +
      protocol.toUpperCase(),
  );
  let before = readCounters(netns);
  const report = (): PeerReport => {
    const now = readCounters(netns);
    const counters = risen(before, now);
    before = now;
    return { supported: mptcpSupport(netns).supported, counters };
  };
  const open = new Set<MptcpConn>();
  const stop = () => {
    listener.close();
    for (const conn of open) conn[Symbol.dispose]();
  };
  terminal.signal.addEventListener("abort", stop, { once: true });
  const running: Promise<void>[] = [];
  for await (const conn of listener) {
    open.add(conn);
    running.push(talk(conn, report).finally(() => open.delete(conn)));
  }
  await Promise.all(running);
  return interruptedStatus(terminal.signal);
}

/** Answers one connection, line by line. Never rejects. */
async function talk(conn: MptcpConn, report: () => PeerReport): Promise<void> {
  const timer = setTimeout(() => conn[Symbol.dispose](), PATIENCE);
  try {
    const lines = new DoctorLines(conn);
    await lines.send(GREETING);
    for (;;) {
      const line = await lines.next();
      if (line === null) return;
      await lines.send(line === "report" ? JSON.stringify(report()) : "pong");
    }
  } catch {
    // A doctor that is gone has no questions.
  } finally {
    clearTimeout(timer);
    conn[Symbol.dispose]();
  }
}

const LINE_LIMIT = 64 * 1024;

/** Lines of text over a connection. */
export class DoctorLines {
  readonly #conn: MptcpConn;
  readonly #decoder = new TextDecoder();
  #rest = "";

  constructor(conn: MptcpConn) {
    this.#conn = conn;
  }

  /** Writes a line. */
  async send(line: string): Promise<void> {
    const bytes = new TextEncoder().encode(`${line}\n`);
    for (let at = 0; at < bytes.byteLength;) at += await this.#conn.write(bytes.subarray(at));
  }

  /** Reads a line; `null` at the end, and of what has none. */
  async next(): Promise<string | null> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return line;
      }
      if (this.#rest.length > LINE_LIMIT) return null;
      const buf = new Uint8Array(4096);
      const count = await this.#conn.read(buf);
      if (count === null) return null;
      this.#rest += this.#decoder.decode(buf.subarray(0, count), { stream: true });
    }
  }
}
