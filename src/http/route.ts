/**
 * The contract of the routes: how the runtime's `fetch` is led over connections of ours.
 *
 * @module
 */

import type { Stream } from "../poll/fd.ts";
import { Relay, type Remote } from "./relay.ts";

/** Makes the connections of a client. */
export interface Dialer {
  /** Connects; `onBytes` and the like of the connection are the client's. */
  dial(hostname: string, port: number): Promise<Remote>;
}

/** The runtime's `fetch`, led over connections that a {@linkcode Dialer} makes. */
export interface Route {
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Makes waiting requests keep the process alive, or not, which is the default. */
  setRef(refed: boolean): void;
  /** Closes everything; resolves when the servers have been told. */
  close(): Promise<void>;
}

/** The connections under way. */
export class Relays {
  readonly #relays = new Map<Relay, Promise<void>>();
  #refed = false;

  get isEmpty(): boolean {
    return this.#relays.size === 0;
  }

  /**
   * Carries bytes until both ends are closed. `dial` makes further connections to the same server.
   * Never rejects.
   */
  async run(local: Stream, remote: Remote, dial: () => Promise<Remote>): Promise<void> {
    const relay = new Relay(local, remote, dial);
    relay.setRef(this.#refed);
    const running = relay.run();
    this.#relays.set(relay, running);
    await running;
    this.#relays.delete(relay);
  }

  setRef(refed: boolean): void {
    this.#refed = refed;
    for (const relay of this.#relays.keys()) relay.setRef(refed);
  }

  /**
   * Resolves when `fetch` can see which of its connections have been ended by their servers, so that it
   * does not use them again; `null` if none have.
   */
  settle(): Promise<unknown> | null {
    let settling: Promise<void>[] | null = null;
    for (const relay of this.#relays.keys()) {
      const settled = relay.settle();
      if (settled !== null) (settling ??= []).push(settled);
    }
    return settling && Promise.all(settling);
  }

  /** Closes all; resolves when the servers have been told. */
  async close(): Promise<void> {
    for (const relay of this.#relays.keys()) relay.close();
    await Promise.all(this.#relays.values());
  }
}
