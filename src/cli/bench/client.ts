/**
 * `bench client`: measures what goes through to a `bench server`.
 *
 * @module
 */

import { connectMptcp } from "../../../mod.ts";
import { formatHostPort } from "../../show.ts";
import type { ConnectMptcpOptions, MptcpConn } from "../../types.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { StatusError } from "../ui/status_error.ts";
import type { Terminal } from "../ui/terminal.ts";
import { connectOptions } from "./addresses.ts";
import { Intervals } from "./intervals.ts";
import { inTime } from "./patience.ts";
import {
  type Answer,
  type Direction,
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
export const benchClient: Command = {
  name: "client",
  summary: "Measure the way to a bench server",
  operands: "ADDRESS",
  count: { min: 1, max: 1 },
  details:
    `Sends to the server, for 10 seconds. Rates are of what has arrived. With more than one path each has
its own; CPU is of one processor, at this end and at the server's.`,
  options: [
    { name: "reverse", short: "R", summary: "The server sends" },
    { name: "bidirectional", short: "b", summary: "Both send" },
    { name: "parallel", short: "P", value: "N", summary: "That many connections, 1 to 128" },
    { name: "time", short: "t", value: "SECONDS", summary: "Send for that time, 10 by default" },
    {
      name: "bytes",
      short: "n",
      value: "BYTES",
      summary: "Send that much, as 500M, each sending end",
    },
    { name: "interval", short: "i", value: "SECONDS", summary: "Between two lines, 1 by default" },
    { name: "require-mptcp", summary: "Fail, with status 3, where the connection is TCP" },
  ],
  examples: [
    { line: "bench client 10.0.0.1", summary: "To port 5201 of a server" },
    {
      line: "bench client -R -t 30 tcp@10.0.0.1",
      summary: "From the server, over TCP, to compare",
    },
    { line: "bench client -n 1G -P 4 --json 10.0.0.1", summary: "For a script" },
  ],
  statuses: { 3: "with --require-mptcp: the connection is TCP" },
  run: runClient,
};

async function runClient(args: Arguments, terminal: Terminal): Promise<number> {
  const hello = readArguments(args);
  const interval = (args.number("interval", { min: 0.1, integer: false }) ?? 1) * 1000;
  const options = connectOptions(args.operands[0]!);
  const server = formatHostPort(options.hostname, options.port);
  const conns: MptcpConn[] = [];
  const stop = () => {
    for (const conn of conns) conn[Symbol.dispose]();
  };
  const { signal } = terminal;
  signal.addEventListener("abort", stop);
  try {
    const lines = await greet({ ...options, signal }, hello, conns);
    await openStreams({ ...options, signal }, hello, conns, lines);
    const streams = conns.slice(1);
    checkProtocol(args, streams);
    const traffic = new Traffic(streams, jobOf(hello));
    using intervals = new Intervals(
      traffic,
      streams,
      { interval, json: args.has("json") },
      terminal,
    );
    const remote = await measure(traffic, lines, hello, conns);
    intervals.finish();
    const result = { hello, local: traffic.figures(), remote, streams, intervals };
    if (args.has("json")) terminal.print(summaryJson(result));
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

function readArguments(args: Arguments): Hello {
  for (const [a, b] of [["reverse", "bidirectional"], ["time", "bytes"]] as const) {
    if (args.has(a) && args.has(b)) throw new UsageError(`--${a} and --${b} exclude each other`);
  }
  const bytes = args.bytes("bytes") ?? null;
  if (bytes === 0) throw new UsageError("--bytes has to be more than 0");
  const seconds = args.number("time", { min: 0.1, max: 86_400, integer: false }) ?? 10;
  const direction: Direction = args.has("reverse")
    ? "download"
    : args.has("bidirectional")
    ? "both"
    : "upload";
  return {
    protocol: PROTOCOL,
    type: "test",
    id: crypto.randomUUID(),
    direction,
    streams: args.number("parallel", { min: 1, max: 128 }) ?? 1,
    seconds: bytes === null ? seconds : null,
    bytes,
  };
}

type Connect = ConnectMptcpOptions & { readonly hostname: string };

/** Makes the connection for control, and asks for the test. */
async function greet(options: Connect, hello: Hello, conns: MptcpConn[]): Promise<Lines> {
  const conn = await connectMptcp(options);
  conns.push(conn);
  const lines = new Lines(conn);
  await lines.send(hello);
  await answerOf(lines);
  return lines;
}

/** Makes the connections that carry bytes, and waits until the server is ready. */
async function openStreams(
  options: Connect,
  { id, streams }: Hello,
  conns: MptcpConn[],
  lines: Lines,
): Promise<void> {
  await Promise.all(Array.from({ length: streams }, async () => {
    const conn = await connectMptcp(options);
    conns.push(conn);
    await new Lines(conn).send({ protocol: PROTOCOL, type: "stream", id });
  }));
  await answerOf(lines);
}

/** What the server answers; throws unless it says to go on. */
async function answerOf(lines: Lines): Promise<void> {
  const noServer = 'is "mptcp bench server" there?';
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

function checkProtocol(args: Arguments, streams: readonly MptcpConn[]): void {
  if (!args.has("require-mptcp")) return;
  const tcp = streams.find(({ protocol }) => protocol !== "mptcp");
  if (tcp === undefined) return;
  const why = tcp.fallback?.detail ?? "this kernel cannot tell";
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
    throw new PeerError(`the server is gone, ${after} s after the beginning`);
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
    return await inTime(all, limit, `no end ${PATIENCE / 1000} s after the time of the test`);
  } catch (error) {
    for (const conn of conns) conn[Symbol.dispose]();
    throw error;
  }
}
