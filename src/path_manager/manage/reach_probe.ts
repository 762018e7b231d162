/**
 * Finds out whether a path leads anywhere, before it is used.
 *
 * @module
 */

import { clearTimeout, setTimeout, type Timer } from "../../../ffi/event_loop.ts";
import { connectMptcp } from "../../net/connect.ts";
import type { PathInfo } from "./types.ts";

/** What is known of a path: nothing yet, that it leads somewhere, that it does not. */
export type Reach = "unknown" | "reached" | "failed";

/** What says whether a path works. */
export type Probe = (path: PathInfo, signal: AbortSignal) => Promise<boolean>;

/** How long one attempt may take, and when the next one comes, in milliseconds. */
const PATIENCE = 3000;
const FIRST_RETRY = 1000;
const LONGEST_RETRY = 300_000;

interface State {
  readonly abort: AbortController;
  reach: Reach;
  attempts: number;
  reason: string | null;
  timer: Timer | undefined;
}

/** See the module's documentation. */
export class ReachProbe {
  readonly #probe: Probe;
  readonly #onChange: () => void;
  readonly #states: Map<string, State> = new Map();

  /** `probe` is "HOST:PORT" to connect to over TCP, or a function. */
  constructor(probe: string | Probe, netns: string | undefined, onChange: () => void) {
    this.#probe = typeof probe === "function" ? probe : connectTo(probe, netns);
    this.#onChange = onChange;
  }

  /** What is known of a path; it is tried if nothing is. */
  reach(path: PathInfo): Reach {
    let state = this.#states.get(path.path);
    if (state === undefined) {
      state = {
        abort: new AbortController(),
        reach: "unknown",
        attempts: 0,
        reason: null,
        timer: undefined,
      };
      this.#states.set(path.path, state);
      void this.#try(path, state);
    }
    return state.reach;
  }

  /** Why a path was not reached; `null` where it was, or is being tried. */
  reason(path: string): string | null {
    return this.#states.get(path)?.reason ?? null;
  }

  /** Forgets what is known of all other paths: one that comes back is tried again. */
  forgetAllBut(paths: readonly string[]): void {
    for (const [path, state] of this.#states) {
      if (paths.includes(path)) continue;
      end(state);
      this.#states.delete(path);
    }
  }

  async #try(path: PathInfo, state: State): Promise<void> {
    const { signal } = state.abort;
    const expiry = AbortSignal.timeout(PATIENCE);
    let reached = false;
    let reason = "the probe failed";
    try {
      reached = await this.#probe(path, AbortSignal.any([signal, expiry]));
    } catch (error) {
      reason = expiry.aborted
        ? `nothing answered within ${PATIENCE / 1000} s`
        : error instanceof Error
        ? error.message
        : String(error);
    }
    if (signal.aborted) return;
    state.reach = reached ? "reached" : "failed";
    state.reason = reached ? null : reason;
    if (!reached) {
      const wait = Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** state.attempts++);
      state.timer = setTimeout(() => void this.#try(path, state), wait);
      state.timer.unref();
    }
    this.#onChange();
  }

  /** Ends all attempts. */
  close(): void {
    for (const state of this.#states.values()) end(state);
    this.#states.clear();
  }
}

function end({ abort, timer }: State): void {
  clearTimeout(timer);
  abort.abort();
}

/** @throws {TypeError} for what is no host and port. */
function connectTo(target: string, netns: string | undefined): Probe {
  const [, host, digits] = /^\[?([^\]\s]+?)\]?:(\d{1,5})$/.exec(String(target)) ?? [];
  const port = Number(digits);
  if (host === undefined || !(port >= 1 && port <= 65535)) {
    throw new TypeError(`Invalid probe "${target}": expected HOST:PORT or a function`);
  }
  return async ({ path, device }, signal) => {
    const conn = await connectMptcp({
      hostname: host,
      port,
      signal,
      mptcp: "off",
      localAddress: path,
      socketOptions: { bindDevice: device },
      ...(netns !== undefined && { netns }),
    });
    conn.close();
    return true;
  };
}
