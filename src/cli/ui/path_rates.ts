/**
 * What each path of some connections carries, and at which rate.
 *
 * @module
 */

import type { Subflow } from "../../types.ts";

/** A path in the last moments. */
export interface PathRate {
  /** Its two addresses, as "10.77.1.1 > 10.77.1.2". */
  readonly path: string;
  /** Bytes so far. */
  readonly bytes: number;
  /** Bytes per second. */
  readonly rate: number;
  /** Whether it is still there. */
  readonly isOpen: boolean;
}

/** Names a subflow among all of this process. */
export function subflowKey({ localAddr: from, remoteAddr: to }: Subflow): string {
  return `${from.hostname} ${from.port} ${to.hostname} ${to.port}`;
}

/** The path of a subflow. */
export function pathText({ localAddr, remoteAddr }: Subflow): string {
  return `${localAddr.hostname} > ${remoteAddr.hostname}`;
}

/** Those that are connected: others may have no addresses yet, or no more. */
export function connected(subflows: readonly Subflow[]): Subflow[] {
  return subflows.filter(({ tcp }) => tcp.state !== "CLOSE" && tcp.state !== "SYN_SENT");
}

interface Sample {
  readonly time: number;
  readonly bytes: number;
}

interface Known {
  readonly path: string;
  readonly samples: Sample[];
  isOpen: boolean;
}

/** Takes samples of subflows, of one connection or several. */
export class PathRates {
  readonly #bytesOf: (subflow: Subflow) => number;
  readonly #window: number;
  readonly #known = new Map<string, Known>();

  /**
   * @param bytesOf The figure to go by: bytes sent, or received, or both.
   * @param window Milliseconds that a rate is taken over.
   */
  constructor(bytesOf: (subflow: Subflow) => number, window: number) {
    this.#bytesOf = bytesOf;
    this.#window = window;
  }

  /** Adds the current subflows, and returns all paths so far, in order of appearance. */
  sample(subflows: readonly Subflow[], time: number): PathRate[] {
    for (const known of this.#known.values()) known.isOpen = false;
    for (const subflow of connected(subflows)) this.#add(subflow, time);
    const paths = new Map<string, PathRate>();
    for (const known of this.#known.values()) {
      const { path, isOpen, samples } = known;
      const { bytes = 0, rate = 0, isOpen: others = false } = paths.get(path) ?? {};
      paths.set(path, {
        path,
        bytes: bytes + samples.at(-1)!.bytes,
        rate: rate + this.#rate(known, time),
        isOpen: isOpen || others,
      });
    }
    return [...paths.values()];
  }

  #add(subflow: Subflow, time: number): void {
    const key = subflowKey(subflow);
    const known = this.#known.get(key) ?? { path: pathText(subflow), samples: [], isOpen: true };
    this.#known.set(key, known);
    known.isOpen = true;
    known.samples.push({ time, bytes: this.#bytesOf(subflow) });
    // One stays that is as old as the window, or older.
    while (known.samples.length > 2 && known.samples[1]!.time <= time - this.#window) {
      known.samples.shift();
    }
  }

  #rate({ samples, isOpen }: Known, time: number): number {
    const first = samples[0]!;
    const milliseconds = time - first.time;
    if (!isOpen || milliseconds <= 0) return 0;
    return (samples.at(-1)!.bytes - first.bytes) * 1000 / milliseconds;
  }
}
