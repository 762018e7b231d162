/**
 * Notices when a path of a transfer falls silent, goes, or comes back.
 *
 * @module
 */

import type { Subflow } from "../../types.ts";
import { connected, pathText, subflowKey } from "../ui/path_rates.ts";

/** Milliseconds without a byte after which a path has fallen silent. */
const SILENCE = 1500;
/** Milliseconds without a byte over any path after which that is told. */
const LONG_SILENCE = 3000;
/** The part of all bytes that a path must have carried to be missed. */
const SHARE = 0.05;

interface Path {
  readonly text: string;
  bytes: number;
  /** When it last carried something. */
  time: number;
  state: "open" | "silent" | "gone";
}

/** The paths of one transfer. */
export class PathWatch {
  readonly #paths = new Map<string, Path>();
  #total = 0;
  /** When something was last carried, by whichever path. */
  #time = 0;
  #isSilent = false;

  /** Takes the subflows at a time, in milliseconds, and returns the messages about changes. */
  update(all: readonly Subflow[], time: number): string[] {
    const subflows = connected(all);
    const said: string[] = [];
    const present = new Set(subflows.map(subflowKey));
    const grown = subflows.filter((subflow) => this.#grow(subflow, time, said));
    if (grown.length === 0) return [...said, ...this.#sayAllSilent(present.size, time)];
    this.#time = time;
    this.#isSilent = false;
    for (const [key, path] of this.#paths) {
      // As long as bytes come over others only: at its end a connection loses all paths at once.
      if (present.has(key) ? time - path.time < SILENCE : path.state === "gone") continue;
      const next = present.has(key) ? "silent" : "gone";
      if (path.state === next || path.bytes < this.#total * SHARE) continue;
      path.state = next;
      const how = next === "gone" ? "lost" : `has carried nothing for ${SILENCE / 1000} s`;
      const others = [...new Set(grown.map(pathText))].join(", ");
      said.push(`path ${path.text} ${how}, continuing over ${others}`);
    }
    return said;
  }

  /** Whether a subflow has carried something since the last time. */
  #grow(subflow: Subflow, time: number, said: string[]): boolean {
    const bytes = Number(subflow.tcp.bytesReceived ?? 0);
    const key = subflowKey(subflow);
    const path: Path = this.#paths.get(key) ??
      { text: pathText(subflow), bytes: 0, time, state: "open" };
    this.#paths.set(key, path);
    if (bytes <= path.bytes) return false;
    this.#total += bytes - path.bytes;
    path.bytes = bytes;
    path.time = time;
    if (path.state !== "open") said.push(`path ${path.text} is back`);
    path.state = "open";
    return true;
  }

  #sayAllSilent(count: number, time: number): string[] {
    if (this.#time === 0) this.#time = time;
    if (this.#isSilent || this.#total === 0 || time - this.#time < LONG_SILENCE) return [];
    this.#isSilent = true;
    return [
      count === 0
        ? "all paths are lost, waiting for a new one"
        : `nothing arrives over ${count === 1 ? "the path" : "any path"}, waiting`,
    ];
  }
}
