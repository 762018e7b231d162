/**
 * Every row of the contract, run in the simulated kernel once for each call that can fail, with that
 * one failing: nothing may hang, leak, or succeed falsely.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import process from "node:process";
import { ERRNO } from "../../ffi/linux/errno.ts";
import type { Libc } from "../../ffi/linux/libc.ts";
import { implementations, type Subject } from "../contract/implementation.ts";
import { applies, type Row } from "../contract/row.ts";
import { contractRows } from "../contract/rows.ts";
import { NO_FAULTS } from "../simulation/kernel.ts";
import { PLAIN } from "../simulation/network.ts";
import { Simulation } from "../simulation/simulation.ts";
import { Sock } from "../simulation/sock.ts";
import { Stuck } from "../simulation/world.ts";
import { FAILURES } from "./failures.ts";
import { useTimersOf } from "./globals.ts";
import { HandedOver } from "./handed_over.ts";

/** One call that fails: the how manieth of those that can, and how. */
export interface Fault {
  readonly index: number;
  readonly call: keyof Libc;
  readonly errno: keyof typeof ERRNO;
  /** Whether users are told of it. */
  readonly isTold: boolean;
}

/** What came of a row. */
export interface Verdict {
  /** `null` where all is well. */
  readonly problem: string | null;
  /** The calls that can fail, in their order. */
  readonly calls: readonly (keyof Libc)[];
  /** Whether the fault has shown: the row failed, by the fault's own error. */
  readonly hasFailed: boolean;
}

/** A row on something that it is about. */
export interface Case {
  readonly name: string;
  readonly row: Row;
  readonly subject: Subject;
}

/** Rows whose own helper keeps an error to itself, and waits for bytes that it did not send. */
const EXCUSED: readonly string[] = [
  "the sender stalls while nobody reads readable",
  "the sender stalls while nobody reads at the end of a pipe",
];

/** Faults that are what the row itself waits for, or that it hears of only after what it waits for. */
const EXPECTED: Readonly<Record<string, keyof Libc>> = {
  "closeWrite goes behind the writes that wait": "shutdown",
  "a pipe from a connection that is reset fails so, and ends the destination": "recv",
  "with preventAbort the destination of a pipe that failed goes on": "recv",
};

/** Whether a fault is one that the row cannot say anything about. */
export function isExpected({ row }: Case, { call, isTold }: Fault): boolean {
  return isTold && EXPECTED[row.sentence] === call;
}

/** What there is to be tortured. */
export function allCases(): Case[] {
  return ["mptcp", "tcp"].flatMap((key) => {
    const subject: Subject = { ...implementations[key]!, key, hostname: "127.0.0.1" };
    return contractRows.filter((row) => applies(row, subject) && !EXCUSED.includes(row.sentence))
      .map((row) => ({ name: `${subject.name}: ${row.sentence}`, row, subject }));
  });
}

/** Runs a case in the simulated kernel, with a fault or without one. */
export async function runCase({ row, subject }: Case, fault: Fault | null): Promise<Verdict> {
  const calls: (keyof Libc)[] = [];
  const told: unknown[] = [];
  const onUnhandled = (reason: unknown) => void told.push(reason);
  process.on("unhandledRejection", onUnhandled);
  let rowError: unknown = null;
  let problem: string | null = null;
  await inMacrotask(() => {
    const simulation = new Simulation(1, {
      network: PLAIN,
      faults: NO_FAULTS,
      pace: { turnsFirst: 90, step: 0.02, delay: 0.1 },
      waker: "ideal",
      crowd: 0,
    });
    simulation.kernel.proc.set("hosts:localhost", "127.0.0.1");
    using _ = useTimersOf(simulation.world);
    using handedOver = new HandedOver();
    try {
      simulation.run(async () => {
        inject(simulation, calls, fault);
        try {
          await row.body(subject);
        } catch (error) {
          rowError = error ?? new Error("nothing was thrown");
          handedOver.closeAll();
        }
      });
    } catch (error) {
      if (error instanceof Stuck) problem = `hangs: ${error.message}`;
      else problem = String((error as Error).message);
    }
  });
  await inMacrotask(() => {});
  process.off("unhandledRejection", onUnhandled);
  return { calls, ...judge(fault, problem, rowError, told) };
}

function judge(
  fault: Fault | null,
  problem: string | null,
  rowError: unknown,
  told: readonly unknown[],
): { problem: string | null; hasFailed: boolean } {
  const failed = rowError !== null || told.length > 0;
  if (fault === null || !fault.isTold) {
    const why = rowError ?? told[0];
    return { hasFailed: false, problem: problem ?? (failed ? `fails: ${textOf(why)}` : null) };
  }
  const isExplained = [rowError, ...told].some((error) => error !== null && names(error, fault));
  // Where a test waits for the other end, which was told of the fault, it is the test that hangs.
  if (problem?.startsWith("hangs") && isExplained) return { hasFailed: true, problem: null };
  if (problem !== null) return { hasFailed: failed, problem };
  if (failed && !isExplained) {
    return {
      hasFailed: true,
      problem: `fails without a word of it: ${textOf(rowError ?? told[0])}`,
    };
  }
  return { hasFailed: failed, problem: null };
}

function textOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** Whether an error, or one that it was caused by, is about the fault. */
function names(error: unknown, { errno }: Fault): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: string };
  // An assertion without a word of its own, or about the class of an error alone.
  if (error.message === "" || error.message.includes("MptcpError")) return true;
  // A stream that fails closes its connection, which a test may be about to do.
  if (error.message === "Bad resource ID") return true;
  return code === errno || error.message.includes(errno) ||
    error.message.includes(CLASSES[errno] ?? errno) || names(error.cause, { errno } as Fault) ||
    (error instanceof AggregateError && error.errors.some((one) => names(one, { errno } as Fault)));
}

/** The names of the errors, which is all that an assertion about one may show. */
const CLASSES: Readonly<Record<string, string>> = {
  ECONNRESET: "ConnectionReset",
  EPIPE: "BrokenPipe",
  ECONNREFUSED: "ConnectionRefused",
  ETIMEDOUT: "TimedOut",
  EADDRINUSE: "AddrInUse",
  EADDRNOTAVAIL: "AddrNotAvailable",
  ENOTCONN: "NotConnected",
  EACCES: "PermissionDenied",
  EPERM: "PermissionDenied",
  ENETUNREACH: "NetworkUnreachable",
};

/** Tells of every call that can fail, and has the one fail that the fault is about. */
function inject(simulation: Simulation, calls: (keyof Libc)[], fault: Fault | null): void {
  const { libc } = simulation.kernel;
  const all = libc as unknown as Record<string, (...args: unknown[]) => number>;
  for (const name of Object.keys(FAILURES) as (keyof Libc)[]) {
    const real = all[name]!;
    const { applies = () => true } = FAILURES[name]!;
    all[name] = (...args) => {
      if (!applies(args)) return real(...args);
      const index = calls.push(name) - 1;
      if (index !== fault?.index) return real(...args);
      // Closed all the same.
      if (name === "close") real(...args);
      const sock = simulation.kernel.file(args[0] as number);
      // The kernel has a reason to say so only if an event will come.
      if (fault.errno === "EAGAIN" && sock instanceof Sock) {
        simulation.world.outside(() => sock.wake());
      }
      return -ERRNO[fault.errno];
    };
  }
}

/** Every fault that a case can have. */
export function faultsOf(calls: readonly (keyof Libc)[]): Fault[] {
  return calls.flatMap((call, index) => {
    const { hidden, told } = FAILURES[call]!;
    return [
      ...hidden.map((errno) => ({ index, call, errno, isTold: false })),
      ...told.map((errno) => ({ index, call, errno, isTold: true })),
    ];
  });
}

function inMacrotask(action: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        action();
        resolve();
      } catch (error) {
        reject(error);
      }
    });
  });
}
