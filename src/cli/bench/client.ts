/**
 * `bench client`: measures what goes through to a `bench server`.
 *
 * @module
 */

import { formatHostPort } from "../../show.ts";
import type { MptcpConn } from "../../types.ts";
import type { Command } from "../args/command.ts";
import { withPolicy } from "../args/policy.ts";
import { CONNECT_TIMEOUT, FAMILY_OPTIONS } from "../args/connecting.ts";
import { dial } from "../dial.ts";
import { StatusError } from "../ui/status_error.ts";
import type { Terminal } from "../ui/terminal.ts";
import { Intervals } from "./intervals.ts";
import { type BenchClientOptions, readClientOptions } from "./options.ts";
import { inTime } from "./patience.ts";
import {
  type Answer,
  type Figures,
  type Hello,
  Lines,
  PeerError,
  PROTOCOL,
  readFigures,
} from "./protocol.ts";
import { summaryJson, summaryLines } from "./report.ts";
import { type Job, Traffic } from "./streams.ts";

/** Milliseconds that the server has to answer, and to end a test when its time is over. */
const PATIENCE = 10_000;

/** The command. */
export const benchClient: Command = withPolicy({
  name: "client",
  summary: "Measure the rate to a bench server",
  operands: "ADDRESS",
  count: { min: 1, max: 1 },
  details:
    `Sends data to the server for 10 seconds by default. Rates count data that has arrived. With more
than one path, the rate of each path is shown. CPU use is in percent of one processor, for each end.`,
  options: [
    { name: "reverse", short: "R", summary: "Receive from the server instead of sending" },
    { name: "bidirectional", short: "b", summary: "Send and receive at the same time" },
    {
      name: "parallel",
      short: "P",
      value: "N",
      summary: "Use N connections (1 to 128, default 1)",
    },
    { name: "time", short: "t", value: "SECONDS", summary: "How long to send (default 10)" },
    {
      name: "bytes",
      short: "n",
      value: "BYTES",
      summary: "Send this much, such as 500M, instead of for a time; with -b each end does",
    },
    {
      name: "interval",
      short: "i",
      value: "SECONDS",
      summary: "Time between two lines of output (default 1)",
    },
    { name: "require-mptcp", summary: "Fail with exit status 3 if a connection is TCP" },
    CONNECT_TIMEOUT,
    ...FAMILY_OPTIONS,
  ],
  examples: [
    { line: "bench client 10.0.0.1", summary: "Measure the rate to port 5201 of a server" },
    {
      line: "bench client -R -t 30 tcp@10.0.0.1",
      summary: "Receive for 30 seconds over TCP, to compare",
    },
    {
      line: "bench client -n 1G -P 4 --json 10.0.0.1",
      summary: "Send 1 GiB over each of 4 connections, and print JSON",
    },
  ],
  statuses: { 3: "with --require-mptcp: a connection is TCP" },
  run: (args, terminal) => runClient(readClientOptions(args), terminal),
}, "client");

async function runClient(options: BenchClientOptions, terminal: Terminal): Promise<number> {
  const { remote, hello, interval, json, connectTimeout } = options;
  const server = formatHostPort(remote.hostname, remote.port);
  const conns: MptcpConn[] = [];
  const stop = () => {
    for (const conn of conns) conn[Symbol.dispose]();
  };
  const { signal } = terminal;
  signal.addEventListener("abort", stop);
  try {
    const connect = () => dial(remote, connectTimeout, signal);
    const lines = await greet(connect, hello, conns);
    await openStreams(connect, hello, conns, lines);
    const streams = conns.slice(1);
    if (options.requireMptcp) checkProtocol(streams);
    const traffic = new Traffic(streams, jobOf(hello));
    using intervals = new Intervals(traffic, streams, { interval, json }, terminal);
    const figures = await measure(traffic, lines, hello, conns);
    intervals.finish();
    const result = { hello, local: traffic.figures(), remote: figures, streams, intervals };
    if (json) terminal.print(summaryJson(result));
    else for (const line of summaryLines(result, terminal.styles)) terminal.print(line);
    return 0;
  } catch (error) {
    if (error instanceof PeerError) throw new Error(`${server}: ${error.message}`);
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}

type Connect = () => Promise<MptcpConn>;

/** Makes the connection for control, and asks for the test. */
async function greet(connect: Connect, hello: Hello, conns: MptcpConn[]): Promise<Lines> {
  const conn = await connect();
  conns.push(conn);
  const lines = new Lines(conn);
  await lines.send(hello);
  await answerOf(lines);
  return lines;
}

/** Makes the connections that carry bytes, and waits until the server is ready. */
async function openStreams(
  connect: Connect,
  { id, streams }: Hello,
  conns: MptcpConn[],
  lines: Lines,
): Promise<void> {
  await Promise.all(Array.from({ length: streams }, async () => {
    const conn = await connect();
    conns.push(conn);
    await new Lines(conn).send({ protocol: PROTOCOL, type: "stream", id });
  }));
  await answerOf(lines);
}

/** What the server answers; throws unless it says to go on. */
async function answerOf(lines: Lines): Promise<void> {
  const noServer = 'is "mptcp bench server" running there?';
  const answer = await inTime(lines.next(), PATIENCE, `no answer: ${noServer}`).catch((error) => {
    if (error instanceof PeerError && /benchmark/.test(error.message)) {
      throw new PeerError(`${error.message}: ${noServer}`);
    }
    throw error;
  }) as Answer | null;
  if (answer === null) throw new PeerError(`it closed the connection: ${noServer}`);
  if (answer.ok === true) return;
  throw new PeerError(answer.ok === false ? String(answer.reason) : `no answer: ${noServer}`);
}

function checkProtocol(streams: readonly MptcpConn[]): void {
  const tcp = streams.find(({ protocol }) => protocol !== "mptcp");
  if (tcp === undefined) return;
  const why = tcp.fallback?.detail ?? "this kernel does not report why";
  throw new StatusError(3, `the connection is not MPTCP: ${why}`);
}

function jobOf({ direction, seconds, bytes }: Hello): Job {
  return { sends: direction !== "download", receives: direction !== "upload", seconds, bytes };
}

/** Moves the bytes, and gives what the server has measured. */
async function measure(
  traffic: Traffic,
  lines: Lines,
  { seconds }: Hello,
  conns: readonly MptcpConn[],
): Promise<Figures> {
  const started = performance.now();
  const figures = lines.next().catch(() => null).then((value) => {
    const figures = readFigures(value);
    if (figures !== null) return lines.send({ ok: true }).then(() => figures);
    const after = ((performance.now() - started) / 1000).toFixed(1);
    throw new PeerError(`the server disconnected ${after} s after the start`);
  });
  const run = async () => {
    // A stream that breaks is less than the server's end, which the connection for control tells.
    await traffic.run().catch(async (error) => {
      await inTime(figures, 1000, "").catch((cause) => {
        if (cause instanceof PeerError && cause.message !== "") throw cause;
      });
      throw error;
    });
    return await figures;
  };
  try {
    const all = Promise.race([run(), figures.then(() => new Promise<never>(() => {}))]);
    if (seconds === null) return await all;
    const limit = seconds * 1000 + PATIENCE;
    return await inTime(all, limit, `the test has not ended ${PATIENCE / 1000} s after its time`);
  } catch (error) {
    for (const conn of conns) conn[Symbol.dispose]();
    throw error;
  }
}
