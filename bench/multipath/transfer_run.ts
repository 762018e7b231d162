/**
 * One transfer in a lab, measured and checked.
 *
 * @module
 */

import { cpus } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { Lab } from "../lab/lab.ts";
import { bytesByPath, checkTransfer, counterOf, goodputOf, samplesByPath } from "./analysis.ts";
import { Peer } from "./programs.ts";
import type { Buffer, Incident, Program, Received, Run, Sent } from "./results.ts";
import type { Deed, Scenario } from "./scenarios.ts";

/** What one transfer is to be. */
export interface Plan {
  readonly scenario: Scenario;
  readonly program: Program;
  readonly command: readonly string[];
  readonly buffer: Buffer;
  readonly round: number;
  readonly seconds: number;
  /** Ends it: it fails with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What SO_RCVLOWAT is for a moment: the receive buffer becomes twice that. */
const RAISED_LOWAT = 2 * 1024 * 1024;

/** How much longer than planned a transfer may take, in milliseconds: loss delays its end. */
const PATIENCE = 25_000;

/**
 * Wrong bytes of which the receiving kernel says that they came with a mapping that contradicts another
 * (MPTcpExt DSSNotMatching): what place in the stream bytes have is between the kernels, no program can
 * get that wrong. Seen on Linux 6.18 with busy processors, when a path joins a connection whose sender
 * has much data on its way; the bytes of the first segments on it are taken for others.
 */
export class KernelFault extends Error {
  override readonly name = "KernelFault";
}

/**
 * Transfers once.
 *
 * @throws {KernelFault} when bytes are wrong, and the kernel knows that it made a mistake.
 * @throws {Error} when a byte is wrong or missing, a subflow did not come up, or a program failed.
 */
export async function transfer(lab: Lab, plan: Plan): Promise<Run> {
  const { scenario, command, seconds } = plan;
  const { protocol } = scenario;
  const lowat = plan.buffer === "raised" ? RAISED_LOWAT : 0;
  await scenario.prepare?.(lab);
  const mismatches = await countMismatches(lab);
  const before = cpuTimes();

  await using receiver = new Peer(lab.server, [
    ...command,
    ...["receive", protocol, `${seconds}`, `${lowat}`],
  ]);
  const { port } = await receiver.next<{ port: number }>();
  await using sender = new Peer(lab.client, [
    ...command,
    ...["send", protocol, `${seconds}`, lab.server.address(1), `${port}`],
  ]);
  const work = watch(lab, plan, receiver, sender);
  const [incidents, received, sent] = await within(
    work,
    seconds * 1000 + PATIENCE,
    plan.signal,
  );
  try {
    checkTransfer(received, sent, scenario);
  } catch (error) {
    const { message } = error as Error;
    const isFault = received.wrong !== null && await countMismatches(lab) > mismatches;
    throw isFault ? new KernelFault(message) : error;
  }

  return {
    program: plan.program,
    buffer: plan.buffer,
    round: plan.round,
    goodput: goodputOf(received),
    longestGap: received.longestGap,
    longestGapAt: received.longestGapAt,
    paths: bytesByPath(received, scenario.paths.length),
    cpu: { sender: percent(sent, seconds), receiver: percent(received, seconds) },
    incidents,
    busy: busyBetween(before, cpuTimes()),
    ...(scenario.deeds.length > 0 && {
      samples: samplesByPath(received, scenario.paths.length),
    }),
  };
}

/** How often the receiving kernel has seen a mapping that contradicts another. */
async function countMismatches({ server }: Lab): Promise<number> {
  const text = await server.run(["cat", "/proc/net/netstat"]);
  return counterOf(text, "MPTcpExt", "DSSNotMatching");
}

async function watch(
  lab: Lab,
  { scenario, seconds }: Plan,
  receiver: Peer,
  sender: Peer,
): Promise<[Incident[], Received, Sent]> {
  const result = sender.next<Sent>();
  const started = receiver.next<{ started: number }>();
  // A sender that fails at its start leaves a receiver that waits.
  await Promise.race([started, result]);
  const [incidents, received, sent] = await Promise.all([
    doDeeds(lab, scenario.deeds, (await started).started, seconds),
    receiver.next<Received>(),
    result,
  ]);
  await Promise.all([receiver.end(), sender.end()]);
  return [incidents, received, sent];
}

async function doDeeds(
  lab: Lab,
  deeds: readonly Deed[],
  started: number,
  seconds: number,
): Promise<Incident[]> {
  const incidents: Incident[] = [];
  for (const { at, name, act } of deeds) {
    await delay(Math.max(0, started + at * seconds * 1000 - Date.now()));
    await act(lab);
    incidents.push({ name, at: Date.now() - started });
  }
  return incidents;
}

function percent({ user, system }: Sent | Received, seconds: number): number {
  return 100 * (user + system) / seconds;
}

async function within<T>(
  work: Promise<T>,
  milliseconds: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = new Error(`not done after ${milliseconds / 1000} s`);
  const timer = setTimeout(() => reject(late), milliseconds);
  const abort = () => reject(signal?.reason);
  signal?.addEventListener("abort", abort);
  if (signal?.aborted) abort();
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    // What it fails by when its processes are killed is of no interest.
    work.catch(() => {});
  }
}

interface CpuTimes {
  readonly idle: number;
  readonly all: number;
}

function cpuTimes(): CpuTimes {
  let [idle, all] = [0, 0];
  for (const { times } of cpus()) {
    idle += times.idle;
    all += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idle, all };
}

function busyBetween(before: CpuTimes, after: CpuTimes): number {
  const all = after.all - before.all;
  return all > 0 ? 100 * (1 - (after.idle - before.idle) / all) : 0;
}
