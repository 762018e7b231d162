/**
 * What the live page shows: the connections of a machine with the rates of their paths.
 *
 * @module
 */

import { mptcpCounters } from "../../../kernel/counters.ts";
import { hostAddresses } from "../../../kernel/local_addresses.ts";
import type { ManagedPaths, PathDecision } from "../../../path_manager/mod.ts";
import { decisionText } from "../../ui/decision_line.ts";
import { formatAddr } from "../../ui/subflow_table.ts";
import { tokenText } from "../event_line.ts";
import { type ConnectionRates, look, RateMeter, type SubflowRates } from "../traffic_table.ts";

/** A path of a connection. */
export interface PathState {
  /** The same from one state to the next. */
  readonly key: string;
  readonly local: string;
  readonly remote: string;
  /** The interface of the local address; empty where it has none any more. */
  readonly interface: string;
  readonly state: string;
  readonly backup: boolean;
  /** Microseconds. */
  readonly rtt: number | null;
  readonly retransmissions: number;
  /** Bytes per second. */
  readonly sent: number;
  /** Bytes per second. */
  readonly received: number;
}

/** A connection. */
export interface ConnectionState {
  readonly token: string;
  readonly local: string;
  readonly remote: string;
  /** Bytes per second. */
  readonly sent: number;
  /** Bytes per second. */
  readonly received: number;
  readonly subflows: readonly PathState[];
}

/** All that is shown at one moment. */
export interface MachineState {
  readonly totals: {
    readonly connections: number;
    readonly subflows: number;
    /** Bytes per second. */
    readonly sent: number;
    /** Bytes per second. */
    readonly received: number;
  };
  /** The busiest. */
  readonly connections: readonly ConnectionState[];
  /** How many others there are. */
  readonly more: number;
  /** Connections that became TCP since the machine, or the namespace, began. */
  readonly fallbacks: readonly { readonly reason: string; readonly count: number }[];
  /** What to be wary of; `null` for nothing. */
  readonly warning: string | null;
  /** The last decisions of the policy that runs in this program; `null` where none does. */
  readonly decisions: readonly DecisionState[] | null;
}

/** A decision about a path. */
export interface DecisionState {
  /** In milliseconds since 1970. */
  readonly time: number;
  readonly text: string;
}

/** Decisions that are shown. */
const SHOWN_DECISIONS = 50;

/** As many as a browser draws with ease. */
const SHOWN = 200;

const FALLBACKS = {
  MPCapableFallbackSYNACK: "The server does not support MPTCP",
  MPCapableFallbackACK: "The handshake ended without MPTCP",
  MPCapableSYNTXDrop: "SYNs with MPTCP were not answered",
  MPCapableSYNTXDisabled: "MPTCP not requested, because earlier SYNs were not answered",
  MPCapableDataFallback: "The first data came without MPTCP",
  DssFallback: "A data mapping was missing",
  DSSCorruptionFallback: "A data mapping was corrupt",
  InfiniteMapRx: "The peer fell back while connected",
} as const;

/** Looks at the machine, time and again. */
export class MachineWatch {
  readonly #netns: string | undefined;
  readonly #meter: RateMeter = new RateMeter();
  readonly #mismatchesAtStart: number;
  readonly #paths: Pick<ManagedPaths, "decisions"> | undefined;

  /** @param paths What has decisions of its own to show. */
  constructor(netns: string | undefined, paths?: Pick<ManagedPaths, "decisions">) {
    this.#netns = netns;
    this.#paths = paths;
    this.#mismatchesAtStart = this.#counters().DSSNotMatching ?? 0;
  }

  /** The state now; rates are since the last call. */
  look(): MachineState {
    const { count, subflows, rates, connections } = look(this.#meter, this.#netns, SHOWN);
    const addresses = hostAddresses(this.#netns);
    const devices = new Map(addresses.map(({ address, device }) => [address, device]));
    return {
      totals: { connections: count, subflows, ...rates },
      connections: connections.map((connection) => connectionState(connection, devices)),
      more: count - connections.length,
      ...this.#troubles(),
      decisions: this.#paths?.decisions().slice(-SHOWN_DECISIONS).map(decisionState) ?? null,
    };
  }

  #troubles(): Pick<MachineState, "fallbacks" | "warning"> {
    const counters = this.#counters();
    const fallbacks = Object.entries(FALLBACKS)
      .map(([name, reason]) => ({ reason, count: counters[name] ?? 0 }))
      .filter(({ count }) => count > 0);
    const mismatches = (counters.DSSNotMatching ?? 0) - this.#mismatchesAtStart;
    const warning = mismatches === 0
      ? null
      : `Received data mappings contradicted one another ${mismatches} times ` +
        "(MPTcpExtDSSNotMatching): a transfer may have delivered wrong bytes. Verify its digest.";
    return { fallbacks, warning };
  }

  #counters(): ReturnType<typeof mptcpCounters> {
    return mptcpCounters(this.#netns === undefined ? {} : { netns: this.#netns });
  }
}

function decisionState(decision: PathDecision): DecisionState {
  return { time: decision.time, text: decisionText(decision) };
}

function connectionState(
  { token, localAddr, remoteAddr, rates, subflows }: ConnectionRates,
  devices: ReadonlyMap<string, string>,
): ConnectionState {
  return {
    token: tokenText(token),
    local: formatAddr(localAddr),
    remote: formatAddr(remoteAddr),
    ...rates,
    // The kernel lists them in no lasting order.
    subflows: subflows.map((subflow) => pathState(subflow, devices))
      .sort((a, b) => a.interface.localeCompare(b.interface) || a.key.localeCompare(b.key)),
  };
}

function pathState(
  { localAddr, remoteAddr, backup, tcp, rates }: SubflowRates,
  devices: ReadonlyMap<string, string>,
): PathState {
  const [local, remote] = [formatAddr(localAddr), formatAddr(remoteAddr)];
  return {
    key: `${local} ${remote}`,
    local,
    remote,
    interface: devices.get(localAddr.hostname) ?? "",
    state: (tcp.state ?? "").toLowerCase().replaceAll("_", " "),
    backup,
    rtt: tcp.rtt ?? null,
    retransmissions: tcp.totalRetrans ?? 0,
    ...rates,
  };
}
