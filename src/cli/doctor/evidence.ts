/**
 * What an examination has found out, from which a cause follows.
 *
 * @module
 */

import type { MptcpSupport } from "../../../mod.ts";
import type { Fallback, NetAddr, Protocol } from "../../types.ts";
import type { MptcpCounters } from "../../kernel/counters.ts";
import type { PeerReport } from "./peer.ts";

/** How an attempt to connect ended: "ok", "timeout", or the code of its error. */
export type Outcome = string;

/** A connection over MPTCP, as it was in the end. */
export interface ExaminedConnection {
  readonly protocol: Protocol | "unknown";
  readonly fallback: Fallback | null;
  readonly localAddr: NetAddr;
  readonly remoteAddr: NetAddr;
  readonly milliseconds: number;
  /**
   * How data went: "ok", "none" where none came back, "ended" where the server ended the connection
   * in place of that, or the code of an error.
   */
  readonly data: Outcome;
  /** Subflows that are established. */
  readonly established: number;
  /** Subflows whose SYN has had no answer. */
  readonly waiting: number;
}

/** An attempt to connect over another path by plain TCP. */
export interface PathProbe {
  readonly local: string | null;
  readonly remote: string;
  readonly outcome: Outcome;
}

/** What could not be looked at, and why. */
export interface Unseen {
  /** The capability that is missing. */
  readonly capability: string;
  /** What it would have shown. */
  readonly what: string;
}

/** All that was found out. */
export interface Evidence {
  readonly support: MptcpSupport;
  /** Plain TCP to the same address. */
  readonly tcp: Outcome;
  /** How connecting over MPTCP ended. */
  readonly connect: Outcome;
  readonly connection: ExaminedConnection | null;
  /** How much the counters of this end have risen. */
  readonly counters: MptcpCounters;
  /** What the other end says, if it is a doctor. */
  readonly peer: PeerReport | null;
  /** Of paths that were not established. */
  readonly probes: readonly PathProbe[];
  /** What could not be looked at. */
  readonly unseen: readonly Unseen[];
}
