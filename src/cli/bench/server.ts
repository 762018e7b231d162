/**
 * `bench server`: the other end of benchmarks.
 *
 * @module
 */

import { listenMptcp } from "../../../mod.ts";
import { formatHostPort } from "../../show.ts";
import type { MptcpConn, MptcpListener } from "../../types.ts";
import type { Command } from "../args/command.ts";
import { withPolicy } from "../args/policy.ts";
import { interruptedStatus, type Terminal } from "../ui/terminal.ts";
import { formatBytes, formatRate } from "../ui/units.ts";
import { type BenchServerOptions, readServerOptions } from "./options.ts";
import { inTime } from "./patience.ts";
import { type Hello, Lines, PeerError, readHello, type StreamHello } from "./protocol.ts";
import { cpuText } from "./report.ts";
import { type Job, Traffic } from "./streams.ts";

/** Milliseconds that a connection has to say what it is for, and a test to begin. */
const PATIENCE = 5000;

/** The command. */
export const benchServer: Command = withPolicy({
  name: "server",
  summary: "Run the server side of benchmarks, one at a time",
  operands: "[ADDRESS]",
  count: { min: 0, max: 1 },
  details: "By default it listens on port 5201 of all addresses. It prints one line for each test.",
  options: [
    { name: "once", summary: "End after one test" },
    {
      name: "max-time",
      value: "SECONDS",
      summary: "Refuse or stop tests that take longer than this (default 3600)",
    },
  ],
  examples: [
    { line: "bench server", summary: "Listen on port 5201" },
    { line: "bench server mptcp@10.0.0.1:7000", summary: "Fail unless MPTCP is available" },
  ],
  run: (args, terminal) => runServer(readServerOptions(args), terminal),
}, "server");

async function runServer(options: BenchServerOptions, terminal: Terminal): Promise<number> {
  using listener = listenMptcp(options.listen);
  const { addr, protocol, fallback } = listener;
  const why = fallback === null ? "" : ` (${fallback.detail})`;
  terminal.warn(
    `Waiting at ${formatHostPort(addr.hostname, addr.port)} over ${protocol.toUpperCase()}${why}`,
  );
  return await new BenchServer(listener, options, terminal).run();
}

/** A test that is under way, or waits for its streams. */
interface Test {
  readonly hello: Hello;
  readonly streams: MptcpConn[];
  readonly isComplete: () => void;
}

class BenchServer {
  readonly #listener: MptcpListener;
  readonly #options: BenchServerOptions;
  readonly #terminal: Terminal;
  readonly #open = new Set<MptcpConn>();
  #test: Test | null = null;

  constructor(listener: MptcpListener, options: BenchServerOptions, terminal: Terminal) {
    this.#listener = listener;
    this.#options = options;
    this.#terminal = terminal;
  }

  async run(): Promise<number> {
    const { signal } = this.#terminal;
    const stop = () => {
      this.#listener.close();
      for (const conn of this.#open) conn[Symbol.dispose]();
    };
    signal.addEventListener("abort", stop);
    const running: Promise<void>[] = [];
    for await (const conn of this.#listener) running.push(this.#welcome(conn));
    await Promise.all(running);
    signal.removeEventListener("abort", stop);
    return signal.aborted ? interruptedStatus(signal) : 0;
  }

  /** Finds out what a connection is for. Never rejects. */
  async #welcome(conn: MptcpConn): Promise<void> {
    this.#open.add(conn);
    const timer = setTimeout(() => conn[Symbol.dispose](), PATIENCE);
    let isStream = false;
    try {
      const lines = new Lines(conn);
      const hello = readHello(await lines.next());
      clearTimeout(timer);
      if (hello === null) {
        throw new PeerError("it does not speak the benchmark protocol, or another version of it");
      }
      if (hello.type === "test") await this.#run(hello, lines);
      else isStream = this.#join(hello, conn);
    } catch (error) {
      if (this.#terminal.signal.aborted) return;
      const { hostname, port } = conn.remoteAddr;
      const who = formatHostPort(hostname, port);
      this.#terminal.warn(`${who}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      clearTimeout(timer);
      if (!isStream) {
        this.#open.delete(conn);
        conn[Symbol.dispose]();
      }
    }
  }

  /** Takes a stream into the test that it is of. */
  #join({ id }: StreamHello, conn: MptcpConn): boolean {
    const test = this.#test;
    if (test?.hello.id !== id || test.streams.length >= test.hello.streams) {
      throw new PeerError("its stream does not belong to a running test");
    }
    test.streams.push(conn);
    if (test.streams.length === test.hello.streams) test.isComplete();
    return true;
  }

  async #run(hello: Hello, lines: Lines): Promise<void> {
    if (this.#test !== null) {
      await lines.send({ ok: false, reason: "the server is busy with another test" });
      return;
    }
    const { maxTime } = this.#options;
    if ((hello.seconds ?? 0) > maxTime) {
      await lines.send({ ok: false, reason: `the server allows tests of at most ${maxTime} s` });
      return;
    }
    const streams: MptcpConn[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#test = { hello, streams, isComplete: resolve };
    try {
      await lines.send({ ok: true });
      await inTime(promise, PATIENCE, "its streams did not connect in time");
      await this.#measure(hello, lines, streams);
    } finally {
      this.#test = null;
      for (const conn of streams) {
        this.#open.delete(conn);
        conn[Symbol.dispose]();
      }
    }
    if (this.#options.once) this.#listener.close();
  }

  async #measure(hello: Hello, lines: Lines, streams: readonly MptcpConn[]): Promise<void> {
    const traffic = new Traffic(streams, jobOf(hello));
    // The client confirms the figures: streams that end alone may be those of one that is gone.
    const confirmed = lines.next().catch(() => null).then((line) => {
      if (line !== null) return;
      for (const conn of streams) conn[Symbol.dispose]();
      throw new PeerError("the client disconnected during the test");
    });
    confirmed.catch(() => {});
    // Ready: the client's clock and ours begin together.
    await lines.send({ ok: true });
    const { maxTime } = this.#options;
    const limit = hello.seconds === null ? maxTime * 1000 : hello.seconds * 1000 + PATIENCE;
    await inTime(Promise.race([traffic.run(), confirmed]), limit, "its test did not end in time");
    const figures = traffic.figures();
    const protocol = streams.every((conn) => conn.protocol === "mptcp") ? "mptcp" : "tcp";
    const { hostname } = lines.conn.remoteAddr;
    await lines.send(figures);
    await inTime(confirmed, PATIENCE, "it did not confirm the figures");
    if (this.#options.json) {
      const { direction, streams } = hello;
      this.#terminal.log(
        JSON.stringify({ remote: hostname, direction, streams, protocol, ...figures }),
      );
    } else {
      const bytes = figures.sent + figures.received;
      this.#terminal.log(
        `${hostname}  ${hello.direction}  ${protocol.toUpperCase()}  ${formatBytes(bytes)}  ` +
          `${formatRate(bytes / figures.seconds)}  ${cpuText(figures)}`,
      );
    }
  }
}

function jobOf({ direction, seconds, bytes }: Hello): Job {
  return { sends: direction !== "upload", receives: direction !== "download", seconds, bytes };
}
