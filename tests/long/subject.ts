/**
 * The process that a long run looks at: servers and clients of everything, and what it holds. Prints
 * JSON, one object a line.
 *
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { createMptcpClient, type MptcpClient } from "../../src/http/mod.ts";
import { randomFrom } from "../faults.ts";
import { HTTP_WAYS } from "./http_ways.ts";
import { countDescriptors, Durations, type Sample, takeSample } from "./samples.ts";
import { Servers } from "./servers.ts";
import { WAYS } from "./ways.ts";

/** What the process prints. */
export type Message =
  | { readonly ready: { readonly http: number[]; readonly raw: (readonly [number, number])[] } }
  /** Nothing is to happen until the next sample. */
  | { readonly pausing: true }
  | { readonly sample: Sample }
  | { readonly error: string; readonly kind: string }
  | { readonly result: Result };

/** What came of it. */
export interface Result {
  readonly seconds: number;
  readonly connections: number;
  readonly victims: number;
  /** How often each way was gone. */
  readonly ways: Readonly<Record<string, number>>;
  /** By kind; none is expected. */
  readonly errors: Readonly<Record<string, number>>;
  /** How many of them are about wrong bytes, and of these, on connections that are all TCP. */
  readonly wrong: number;
  readonly wrongTcp: number;
  /** In milliseconds, median and 99th percentile. */
  readonly connect: readonly [number, number];
  readonly roundTrip: readonly [number, number];
}

const { values } = parseArgs({
  options: {
    connections: { type: "string" },
    minutes: { type: "string" },
    netns: { type: "string" },
    "server-netns": { type: "string" },
    hosts: { type: "string", default: "127.0.0.1,::1" },
    nobody: { type: "string", default: "240.0.0.1" },
    seed: { type: "string", default: "1" },
    samples: { type: "string", default: "16" },
    width: { type: "string", default: "64" },
  },
});

/** Milliseconds after which something hangs, and those that the ends of connections may take. */
const PATIENCE = 40_000;
const SETTLING = 60_000;
/** Most errors that are shown, of each kind. */
const SHOWN = 3;

const hosts = values.hosts.split(",");
const { netns, nobody } = values;
const most = values.connections === undefined ? Infinity : Number(values.connections);
const duration = values.minutes === undefined ? Infinity : Number(values.minutes) * 60_000;
const sampleCount = Number(values.samples);
const random = randomFrom(Number(values.seed));
const times = { connect: new Durations(), roundTrip: new Durations() };
const ways: Record<string, number> = {};
const errors: Record<string, number> = {};
let [connections, wrong, wrongTcp] = [0, 0, 0];
let stream = 1;

function print(message: Message): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function onError(where: string, error: unknown, isPlain = false): void {
  const { code, name, message } = error as { code?: string; name?: string; message?: string };
  const kind = `${where}: ${code ?? name ?? String(error)}`;
  errors[kind] = (errors[kind] ?? 0) + 1;
  if (code === "WRONG_BYTE") {
    wrong++;
    if (isPlain) wrongTcp++;
  }
  if (errors[kind] > SHOWN) return;
  const { cause } = error as { cause?: unknown };
  print({ kind, error: `${message ?? error}${cause === undefined ? "" : `; ${cause}`}` });
}

process.on("unhandledRejection", (error) => onError("unhandled rejection", error));
process.on("uncaughtException", (error) => onError("uncaught exception", error));

const servers = new Servers(values["server-netns"], onError);
const raw = Object.entries(WAYS).map(([name, way]) => ({
  name,
  way,
  weight: way.weight,
  routes: servers.routes.filter((route) => way.fits?.(route) ?? !route.hasTimeout),
}));
const http = Object.entries(HTTP_WAYS).map(([name, [weight, run]]) => ({ name, weight, run }));

function pick<T extends { readonly weight: number }>(all: readonly T[]): T {
  let at = random() * all.reduce((sum, { weight }) => sum + weight, 0);
  return all.find(({ weight }) => (at -= weight) < 0) ?? all.at(-1)!;
}

function anyOf<T>(all: readonly T[]): T {
  return all[Math.floor(random() * all.length)]!;
}

function onConnected(): void {
  connections++;
}

/** The next connection, and what its failure is called. */
function next(client: MptcpClient): { name: string; isPlain: boolean; run: () => Promise<void> } {
  const hostname = anyOf(hosts);
  stream = (stream + 1_000_003) >>> 0;
  const call = { hostname, netns, stream, random, onConnected };
  if (random() < 0.1) {
    const { name, run } = pick(http);
    const { engine: { name: engine }, addr: { port } } = anyOf(servers.http);
    return {
      name: `${name}, ${engine} engine`,
      isPlain: false,
      run: () => run({ ...call, port, client }),
    };
  }
  const { name, way, routes } = pick(raw);
  const route = anyOf(routes);
  return {
    name: `${name}, ${route.name}`,
    isPlain: route.isPlain,
    run: () => way.run({ ...call, route, nobody, times }),
  };
}

async function within(action: Promise<void>, name: string): Promise<void> {
  let timer;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name} hangs`)), PATIENCE);
  });
  try {
    await Promise.race([action, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** One connection after the other, until it is time for a sample. */
async function work(client: MptcpClient, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const { name, isPlain, run } = next(client);
    const short = name.slice(0, name.lastIndexOf(", "));
    ways[short] = (ways[short] ?? 0) + 1;
    try {
      await within(run(), name);
    } catch (error) {
      onError(name, error, isPlain);
    }
  }
}

/** Waits until all connections are gone that are about to go. */
async function settle(expected: number): Promise<void> {
  const until = performance.now() + SETTLING;
  const isSettled = () => servers.open === 0 && countDescriptors() <= expected;
  while (!isSettled() && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const began = performance.now();
print({
  ready: {
    http: servers.http.map(({ addr }) => addr.port),
    raw: servers.routes.map(({ port, protocol }) => [port, protocol === "tcp" ? 6 : 262] as const),
  },
});
let least = Infinity;
for (let i = 1; i <= sampleCount; i++) {
  const isOver = () =>
    connections >= most * i / sampleCount ||
    performance.now() - began >= duration * i / sampleCount;
  const client = createMptcpClient({ mptcp: "require", ...(netns !== undefined && { netns }) });
  const workers = Array.from({ length: Number(values.width) }, () => work(client, isOver));
  await Promise.all(workers);
  print({ pausing: true });
  await client[Symbol.asyncDispose]();
  await settle(least);
  const sample = await takeSample(
    (performance.now() - began) / 1000,
    connections + servers.victims,
  );
  least = Math.min(least, sample.descriptors);
  print({ sample });
}
const percentiles = (durations: Durations) =>
  [durations.percentile(50), durations.percentile(99)] as const;
print({
  result: {
    seconds: (performance.now() - began) / 1000,
    connections: connections + servers.victims,
    victims: servers.victims,
    ways,
    errors,
    wrong,
    wrongTcp,
    connect: percentiles(times.connect),
    roundTrip: percentiles(times.roundTrip),
  },
});
await servers[Symbol.asyncDispose]();
process.exit(0);
