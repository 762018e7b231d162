/**
 * What is measured.
 *
 * @module
 */

import type { Task } from "./servers/tasks.ts";

/** What the load generator reports of one run, times in seconds; see `load.c`. */
export interface Result {
  readonly operations: number;
  readonly bytes: number;
  readonly seconds: number;
  /** CPU time of the server. */
  readonly serverCpu: number;
  /** CPU time of the load generator: close to `seconds`, it was the limit. */
  readonly loadCpu: number;
  /** Percentiles of the time of one operation, in microseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Bytes by which the server grew. */
  readonly serverMemory: number;
}

/** What a row shows of a result. */
export interface Metric {
  readonly unit: string;
  readonly lowerIsBetter: boolean;
  value(result: Result, connections: number): number;
  /** CPU time of the server per operation or byte; left out where it is the value itself. */
  cpu?(result: Result): number;
}

const latency: Metric = {
  unit: "µs",
  lowerIsBetter: true,
  value: ({ p50 }) => p50,
  cpu: ({ serverCpu, operations }) => serverCpu / operations,
};

const rate: Metric = {
  unit: "k/s",
  lowerIsBetter: false,
  value: ({ operations, seconds }) => operations / seconds / 1e3,
  cpu: ({ serverCpu, operations }) => serverCpu / operations,
};

const throughput: Metric = {
  unit: "MB/s",
  lowerIsBetter: false,
  value: ({ bytes, seconds }) => bytes / seconds / 1e6,
  cpu: ({ serverCpu, bytes }) => serverCpu / bytes,
};

const memory: Metric = {
  unit: "B/conn",
  lowerIsBetter: true,
  value: ({ serverMemory }, connections) => serverMemory / connections,
};

const usage: Metric = {
  unit: "% core",
  lowerIsBetter: true,
  value: ({ serverCpu, seconds }) => 100 * serverCpu / seconds,
};

/** One row of the table. */
export interface Row {
  /** What `--rows` selects by. */
  readonly name: string;
  readonly title: string;
  readonly task: Task;
  /** Bytes that the server asks for, or sends, per call. */
  readonly size: number;
  readonly mode: "echo" | "connect" | "send" | "receive" | "idle";
  readonly connections: number;
  /** Connections that rest meanwhile. */
  readonly idle?: number;
  /** Bytes of a message of the load. */
  readonly message: number;
  /** Rest of the load between two operations, in seconds. */
  readonly pause?: number;
  readonly metric: Metric;
  /** The ratio to the runtime's own sockets that this module is to reach, on plain TCP. */
  readonly goal: { readonly deno: number; readonly bun: number };
  /** Measured time where it is not the one asked for, in seconds. */
  readonly seconds?: number;
}

const KIB = 1024;

/** All rows, in the order of the table. */
export const ROWS: readonly Row[] = [
  ...[16, 64].map((message): Row => ({
    name: `roundtrip-${message}`,
    title: `round trip, ${message} B, p50`,
    task: "echo",
    size: 64 * KIB,
    mode: "echo",
    connections: 1,
    message,
    metric: latency,
    goal: { deno: 0.35, bun: 0.5 },
  })),
  {
    name: "paced",
    title: "round trip, 64 B, one each ms, p50",
    task: "echo",
    size: 64 * KIB,
    mode: "echo",
    connections: 1,
    message: 64,
    pause: 0.001,
    metric: latency,
    goal: { deno: 1, bun: 1 },
  },
  bulk("receive", 64, { deno: 1.1, bun: 1.8 }),
  bulk("receive", 256, { deno: 1.4, bun: 2.4 }),
  {
    name: "stream",
    title: "receive, 1448 B each 150 µs: CPU",
    task: "sink",
    size: 64 * KIB,
    mode: "send",
    connections: 1,
    message: 1448,
    // The load's timers are late by the 50 µs that Linux allows them.
    pause: 0.0001,
    metric: usage,
    goal: { deno: 1.2, bun: 1.2 },
  },
  bulk("send", 64, { deno: 1.05, bun: 1 }),
  bulk("send", 256, { deno: 1.05, bun: 1 }),
  ...[50, 1000].map((connections): Row => ({
    name: `echo-${connections}`,
    title: `echo, 64 B, ${connections} connections`,
    task: "echo",
    size: 16 * KIB,
    mode: "echo",
    connections,
    message: 64,
    metric: rate,
    goal: { deno: 1.05, bun: 1.2 },
  })),
  ...[1, 16].map((connections): Row => ({
    name: `connect-${connections}`,
    title: `connect + echo + close, ${connections} at once`,
    task: "echo",
    size: 16 * KIB,
    mode: "connect",
    connections,
    message: 64,
    metric: rate,
    goal: { deno: 1.2, bun: 1.2 },
  })),
  {
    name: "connect-idle",
    title: "connect + echo + close, 16 at once, 10 000 idle",
    task: "echo",
    size: 64,
    mode: "connect",
    connections: 16,
    idle: 10_000,
    message: 64,
    metric: rate,
    goal: { deno: 1, bun: 1 },
  },
  {
    name: "pipe-64",
    title: "readable.pipeTo(writable), 64 B, 50 connections",
    task: "pipe",
    size: 0,
    mode: "echo",
    connections: 50,
    message: 64,
    metric: rate,
    goal: { deno: 1, bun: 1 },
  },
  {
    name: "pipe-64k",
    title: "readable.pipeTo(writable), 64 KiB, 4 connections",
    task: "pipe",
    size: 0,
    mode: "echo",
    connections: 4,
    message: 64 * KIB,
    metric: throughput,
    goal: { deno: 1, bun: 1 },
  },
  ...[1000, 10_000].map((connections): Row => ({
    name: `memory-${connections}`,
    title: `memory, ${connections} idle connections`,
    task: "echo",
    size: 64,
    mode: "idle",
    connections,
    message: 64,
    metric: memory,
    goal: { deno: 1, bun: 1 },
    seconds: 0.1,
  })),
  {
    name: "idle",
    title: "CPU with 100 idle connections",
    task: "echo",
    size: 64,
    mode: "idle",
    connections: 100,
    message: 64,
    metric: usage,
    goal: { deno: 1, bun: 1 },
    seconds: 3,
  },
];

/** The task of the server is the other end of what the load does. */
function bulk(does: "receive" | "send", kib: number, goal: Row["goal"]): Row {
  return {
    name: `${does}-${kib}k`,
    title: `${does}, ${kib} KiB`,
    task: does === "receive" ? "sink" : "source",
    size: kib * KIB,
    mode: does === "receive" ? "send" : "receive",
    connections: 1,
    message: 0,
    metric: throughput,
    goal,
  };
}
