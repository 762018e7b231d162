/**
 * What the two ends of a simulated MPTCP connection share: its subflows.
 *
 * @module
 */

import type { Address } from "./sock.ts";

/** A subflow as one end sees it: whoever opened the connection is the client. */
export interface SimSubflow {
  readonly id: number;
  readonly client: Address;
  readonly server: Address;
  backup: boolean;
  /** Nothing comes through, and nobody knows why. */
  isStalled: boolean;
}

/** A connection that MPTCP was agreed on for. */
export class MptcpState {
  readonly clientToken: number;
  readonly serverToken: number;
  readonly subflows: SimSubflow[] = [];
  /** Subflows that there ever were, to number them. */
  count = 0;
  hasFallenBack = false;

  constructor(clientToken: number, serverToken: number) {
    this.clientToken = clientToken;
    this.serverToken = serverToken;
  }

  add(client: Address, server: Address): SimSubflow {
    const subflow = { id: ++this.count, client, server, backup: false, isStalled: false };
    this.subflows.push(subflow);
    return subflow;
  }

  /** Whether anything comes through. */
  get isMoving(): boolean {
    return this.hasFallenBack || this.subflows.some(({ isStalled }) => !isStalled);
  }
}
