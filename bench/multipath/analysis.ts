/**
 * From what the programs say to figures.
 *
 * @module
 */

import { median } from "../report.ts";
import type { Buffer, Program, Received, Run, Sent, SubflowBytes } from "./results.ts";

/** Mbit/s of data. */
export function goodputOf({ measuredBytes, seconds }: Received): number {
  return seconds > 0 ? measuredBytes * 8 / 1e6 / seconds : 0;
}

/** The path of a subflow, counted from 0: addresses of a lab are 10.77.i.2 and fd77:i::2. */
export function pathOf({ local }: SubflowBytes): number {
  const [, path] = /^(?:10\.77\.|fd77:)(\d+)[.:]/.exec(local) ?? [];
  if (path === undefined) throw new Error(`${local} is no address of a lab`);
  return Number(path) - 1;
}

/** The bytes of each path: one that was mended may have had several subflows. */
export function bytesByPath({ subflows }: Received, paths: number): number[] {
  const bytes = Array<number>(paths).fill(0);
  for (const subflow of subflows) bytes[pathOf(subflow)]! += subflow.bytes;
  return bytes;
}

/** The samples, with paths in the place of subflows. */
export function samplesByPath({ samples, subflows }: Received, paths: number): number[][] {
  const order = subflows.map(pathOf);
  return samples.map(([at, total, ...counts]) => {
    const bytes = Array<number>(paths).fill(0);
    for (const [i, count] of counts.entries()) bytes[order[i]!]! += count;
    return [Math.round(at!), total!, ...bytes];
  });
}

/** What a transfer has to be like. */
export interface Expectation {
  readonly protocol: "tcp" | "mptcp";
  readonly subflows: number;
}

/** @throws {Error} when a byte is wrong or did not come, or not by the protocol and subflows that were meant. */
export function checkTransfer(received: Received, sent: Sent, expected: Expectation): void {
  if (received.wrong !== null) {
    const { offset, found, words, last } = received.wrong;
    throw new Error(
      `wrong bytes from offset ${offset} to ${last + 4}, ${4 * words} of them: first the word of ` +
        `offset ${found}; ${received.bytes} bytes came of ${sent.bytes}`,
    );
  }
  if (received.bytes !== sent.bytes) {
    throw new Error(`${received.bytes} bytes came of ${sent.bytes}`);
  }
  if (received.bytes === 0) throw new Error("nothing was transferred");
  for (const [end, { protocol }] of Object.entries({ sender: sent, receiver: received })) {
    if (protocol !== expected.protocol) {
      throw new Error(`the ${end} speaks ${protocol}, not ${expected.protocol}`);
    }
  }
  if (received.subflows.length < expected.subflows) {
    throw new Error(`${received.subflows.length} subflows came up, not ${expected.subflows}`);
  }
}

/** A counter of /proc/net/netstat; 0 where the kernel does not have it. */
export function counterOf(text: string, group: string, name: string): number {
  const lines = text.split("\n").filter((line) => line.startsWith(`${group}: `));
  const [names, values] = lines.map((line) => line.split(" "));
  return Number(values?.[names!.indexOf(name)] ?? 0);
}

/** The rates between samples: when each interval ends, in ms, and the Mbit/s of each column. */
export function ratesOf(
  samples: readonly (readonly number[])[],
  interval: number,
): { at: number; rates: number[] }[] {
  const end = samples.at(-1)?.[0] ?? 0;
  const columns = (samples[0]?.length ?? 1) - 1;
  const rates = [];
  for (let at = interval; at <= end; at += interval) {
    const values = Array.from({ length: columns }, (_, i) => {
      const bytes = valueAt(samples, at, i + 1) - valueAt(samples, at - interval, i + 1);
      // A subflow that is replaced by another may take its count with it.
      return Math.max(0, bytes) * 8 / 1000 / interval;
    });
    rates.push({ at, rates: values });
  }
  return rates;
}

/** A column at some time: on the straight line between the samples before and after it. */
function valueAt(samples: readonly (readonly number[])[], at: number, column: number): number {
  let before: readonly number[] = [0];
  for (const sample of samples) {
    const [time = 0] = sample;
    if (time >= at) {
      const [begun = 0] = before;
      const [low, high] = [before[column] ?? 0, sample[column] ?? 0];
      return time === begun ? high : low + (high - low) * (at - begun) / (time - begun);
    }
    before = sample;
  }
  return before[column] ?? 0;
}

/** The runs of a program. */
export function runsOf(runs: readonly Run[], program: Program, buffer: Buffer = "default"): Run[] {
  return runs.filter((run) => run.program === program && run.buffer === buffer);
}

/** The median of something; `null` where there is none. */
export function medianOf(runs: readonly Run[], value: (run: Run) => number): number | null {
  return runs.length > 0 ? median(runs.map(value)) : null;
}

/** The median of the rounds' ratios to the C program; `null` where there is no round of both. */
export function ratioToC(runs: readonly Run[], program: Program, buffer: Buffer): number | null {
  const reference = new Map(runsOf(runs, "c", buffer).map((run) => [run.round, run]));
  const ratios = runsOf(runs, program, buffer).flatMap(({ round, goodput }) => {
    const theirs = reference.get(round)?.goodput;
    return theirs === undefined || theirs === 0 ? [] : [goodput / theirs];
  });
  return ratios.length > 0 ? median(ratios) : null;
}
