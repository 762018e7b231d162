/**
 * Counts of the connections and subflows of a machine, taken one by one: there may be tens of thousands,
 * so none of them is kept.
 *
 * @module
 */

import {
  type LocalEnd,
  surveyConnections,
  type SurveyedConnection,
  type SurveyedSubflow,
  surveySubflows,
} from "../../kernel/socket_survey.ts";

/** More than there are states in net/tcp_states.h. */
const STATES = 32;
/** More than the kernel's counter of subflows can hold. */
const SUBFLOWS = 256;

/** Counts of connections. */
export class ConnectionTally {
  /** Connections by state, for each version of IP. */
  readonly states: Readonly<Record<4 | 6, Uint32Array>> = {
    4: new Uint32Array(STATES),
    6: new Uint32Array(STATES),
  };
  /** Connections by how many subflows they have. */
  readonly bySubflows: Uint32Array = new Uint32Array(SUBFLOWS);
  /** Connections that became TCP. */
  readonly fallbacks: Record<4 | 6, number> = { 4: 0, 6: 0 };
  /** Connections that are MPTCP. */
  count = 0;
  /** All of them, where they are wanted one by one. */
  readonly kept: SurveyedConnection[] = [];

  /** Counts the connections of a network namespace; `keep` keeps each of them, too. */
  constructor(netns: string | undefined, keep: boolean) {
    surveyConnections((connection) => {
      const { end: { family }, state, fallback, subflows } = connection;
      if (fallback) {
        this.fallbacks[family]++;
        return;
      }
      this.count++;
      this.states[family][state % STATES]!++;
      this.bySubflows[subflows]!++;
      if (keep) this.kept.push({ ...connection });
    }, netns);
  }
}

/** Sums over the subflows on one address that have the same role. */
export class SubflowGroup {
  readonly end: LocalEnd;
  readonly backup: boolean;
  readonly states: Uint32Array = new Uint32Array(STATES);
  bytesSent = 0;
  bytesReceived = 0;
  bytesRetrans = 0;
  retransmissions = 0;
  unacked = 0;
  readonly #rtts: number[] = [];

  constructor(end: LocalEnd, backup: boolean) {
    this.end = end;
    this.backup = backup;
  }

  add(subflow: SurveyedSubflow): void {
    this.states[subflow.state % STATES]!++;
    this.bytesSent += subflow.bytesSent;
    this.bytesReceived += subflow.bytesReceived;
    this.bytesRetrans += subflow.bytesRetrans;
    this.retransmissions += subflow.retransmissions;
    this.unacked += subflow.unacked;
    this.#rtts.push(subflow.rtt);
  }

  /** The round-trip times in microseconds, the shortest first. */
  sortedRtts(): Uint32Array {
    return new Uint32Array(this.#rtts).sort();
  }
}

/** Counts the subflows of a network namespace by address and role. */
export function tallySubflows(netns: string | undefined): SubflowGroup[] {
  const groups = {
    regular: new Map<LocalEnd, SubflowGroup>(),
    backup: new Map<LocalEnd, SubflowGroup>(),
  };
  surveySubflows((subflow) => {
    const { end, backup } = subflow;
    const byEnd = backup ? groups.backup : groups.regular;
    let group = byEnd.get(end);
    if (group === undefined) byEnd.set(end, group = new SubflowGroup(end, backup));
    group.add(subflow);
  }, netns);
  return [...groups.regular.values(), ...groups.backup.values()];
}
