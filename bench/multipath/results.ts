/**
 * What is measured: the lines of JSON of the transfer programs, and the file that
 * `deno task bench:multipath --json FILE` writes ({@linkcode Results}).
 *
 * Rates are in Mbit/s of data, times in milliseconds unless their names say seconds.
 *
 * @module
 */

/** The programs that are compared. */
export const PROGRAMS = ["c", "deno", "bun"] as const;

/** `c` is the reference, the others are this module on either runtime. */
export type Program = typeof PROGRAMS[number];

/** What readers know them as. */
export const NAMES: Readonly<Record<Program, string>> = { c: "C", deno: "Deno", bun: "Bun" };

/** The receive buffer to begin with: the kernel's, or one raised by a passing SO_RCVLOWAT. */
export type Buffer = "default" | "raised";

/** What came by one subflow. */
export interface SubflowBytes {
  /** The receiver's address. */
  readonly local: string;
  readonly remote: string;
  /** By `TCP_INFO`; together they are more than the data where some came twice, by two paths. */
  readonly bytes: number;
}

/** Bytes that are not those that were sent there. */
export interface Wrong {
  /** Where the first word is that is wrong, and the position that it holds. */
  readonly offset: number;
  readonly found: number;
  /** How many words of four bytes are wrong, and where the last is. */
  readonly words: number;
  readonly last: number;
}

/** What the receiving program prints in the end. */
export interface Received {
  readonly bytes: number;
  /** What came in the first `seconds` since the first byte. */
  readonly measuredBytes: number;
  readonly seconds: number;
  /** The longest time without bytes, within these seconds. */
  readonly longestGap: number;
  /** When it began, since the first byte. */
  readonly longestGapAt: number;
  readonly wrong: Wrong | null;
  readonly protocol: string;
  /** CPU time in seconds. */
  readonly user: number;
  readonly system: number;
  readonly subflows: readonly SubflowBytes[];
  /** Every 50 ms: time since the first byte, bytes so far, and those of each subflow known by then. */
  readonly samples: readonly (readonly number[])[];
}

/** What the sending program prints in the end. */
export interface Sent {
  readonly bytes: number;
  readonly protocol: string;
  readonly user: number;
  readonly system: number;
}

/** Something that happened to the paths during a transfer. */
export interface Incident {
  readonly name: string;
  /** Since the first byte. */
  readonly at: number;
}

/** One transfer. */
export interface Run {
  readonly program: Program;
  readonly buffer: Buffer;
  /** Which repetition: transfers of one round are compared with each other. */
  readonly round: number;
  readonly goodput: number;
  readonly longestGap: number;
  readonly longestGapAt: number;
  /** Bytes that came by each path, from path 1 on. */
  readonly paths: readonly number[];
  /** CPU time of each process, user and system, in percent of one core. */
  readonly cpu: { readonly sender: number; readonly receiver: number };
  readonly incidents: readonly Incident[];
  /** How busy the machine was, in percent: figures of one that had no time left say little. */
  readonly busy: number;
  /** Where something happens on the way: time, bytes so far, and those of each path. */
  readonly samples?: readonly (readonly number[])[];
}

/** The transfers of one set-up. */
export interface ScenarioResult {
  readonly name: string;
  readonly title: string;
  /** Why a row is as it is, where that is no matter of course. */
  readonly note?: string;
  readonly protocol: "tcp" | "mptcp";
  /** The rate of each path. */
  readonly rates: readonly number[];
  readonly seconds: number;
  readonly runs: readonly Run[];
  /** Transfers that were repeated because the kernel had given them wrong bytes: see `KernelFault`. */
  readonly faults: readonly string[];
}

/** Where and with what it was measured. */
export interface Machine {
  readonly date: string;
  readonly processor: string;
  readonly cores: number;
  readonly kernel: string;
  readonly congestion: string;
  /** "2.9.6" of Deno, and of Bun and of the compiler likewise. */
  readonly versions: Readonly<Partial<Record<Program, string>>>;
}

/** The file. */
export interface Results {
  readonly format: 1;
  readonly machine: Machine;
  readonly scenarios: readonly ScenarioResult[];
}
