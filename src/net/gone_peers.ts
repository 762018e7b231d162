/**
 * Finds the MPTCP connections whose peer has left while there is data for it.
 *
 * Over TCP the kernel of a peer that has closed answers data with a reset. A closed MPTCP socket goes
 * on taking data until its buffer is full: the sender sees the end of the peer's stream and a window
 * that does not open, until net.mptcp.close_timeout is over, a minute by default. The kernel does not
 * tell such a peer from one that has half-closed and reads later, so time has to.
 *
 * @module
 */

import { clearTimeout, now, setTimeout, type Timer } from "../../ffi/event_loop.ts";
import { MptcpError } from "../error.ts";
import { readOutgoing } from "../kernel/info.ts";
import { hasPeerEnded } from "../poll/epoll.ts";

/** How long a peer that has ended its stream may take nothing, in milliseconds. */
export const PATIENCE = 10_000;
/** The same during a shutdown. */
export const SHUTDOWN_PATIENCE = 2000;

/** Looks before a peer is given up. */
const LOOKS = 4;

/** Data that a peer does not acknowledge. */
interface Stalled {
  readonly token: number;
  readonly sndUna: number;
  readonly since: number;
}

/** Whose peers to look at, and what to do. */
export interface GonePeersOptions {
  /** The descriptors of the connections; which of them are MPTCP does not matter. */
  list(): Iterable<number>;
  /** Called with a descriptor whose peer is gone. */
  giveUp(fd: number): void;
  /** Instead of {@linkcode PATIENCE}. */
  readonly patience?: number;
}

/** Looks for peers that are gone, from now on. Never keeps the process alive. */
export class GonePeers {
  readonly #options: GonePeersOptions;
  /** By descriptor. */
  #stalled = new Map<number, Stalled>();
  #patience: number;
  #timer: Timer | undefined;

  constructor(options: GonePeersOptions) {
    this.#options = options;
    this.#patience = options.patience ?? PATIENCE;
    this.#arm();
  }

  /** Those that wait for the connections to end are not to wait for long. */
  hurry(): void {
    if (this.#timer === undefined) return;
    this.#patience = Math.min(this.#patience, SHUTDOWN_PATIENCE);
    this.#arm();
  }

  /** Looks no more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#look, this.#patience / LOOKS).unref();
  }

  readonly #look = (): void => {
    this.#arm();
    const time = now();
    const before = this.#stalled;
    this.#stalled = new Map();
    for (const fd of this.#options.list()) {
      const outgoing = readOutgoing(fd);
      if (outgoing === null) continue;
      const { token, sndUna } = outgoing;
      const known = before.get(fd);
      const isSame = known?.token === token && known.sndUna === sndUna;
      const stalled = isSame ? known : { token, sndUna, since: time };
      if (time - stalled.since < this.#patience) this.#stalled.set(fd, stalled);
      else if (hasPeerEnded(fd)) this.#options.giveUp(fd);
    }
  };
}

/** What is the matter with a peer that was given up. */
export function goneError(): MptcpError {
  return new MptcpError("The peer has ended its stream and no longer accepts data", {
    name: "TimedOut",
    code: "ERR_PEER_GONE",
  });
}
