/**
 * Ends connections whose client has left in the middle of an answer.
 *
 * Over TCP the kernel of a client that has closed answers data with a reset. A closed MPTCP socket
 * goes on taking data until its buffer is full: the server sees the end of the client's stream and a
 * window that does not open, until net.mptcp.close_timeout is over, a minute by default. The kernel
 * does not tell such a client from one that has half-closed and reads later, so time has to.
 *
 * @module
 */

import { clearInterval, setInterval } from "node:timers";
import { SHUT_RDWR } from "../../ffi/linux/abi.ts";
import { libc } from "../../ffi/runtime.ts";
import { readOutgoing } from "../kernel/info.ts";
import { hasPeerEnded } from "../poll/epoll.ts";
import { resetOnClose } from "../poll/socket.ts";
import type { ConnectionTable } from "./connections.ts";

/** How long a client that has ended its stream may take nothing, in milliseconds. */
export const PATIENCE = 10_000;
/** The same while the server shuts down. */
export const SHUTDOWN_PATIENCE = 2000;

/** Looks before a client is given up. */
const LOOKS = 4;

/** A connection with data that the client does not acknowledge. */
interface Stalled {
  readonly token: number;
  readonly sndUna: number;
  readonly since: number;
}

/** Watches the MPTCP connections of a server. Never keeps the process alive. */
export class GoneClients {
  readonly #connections: ConnectionTable;
  /** By descriptor. */
  #stalled = new Map<number, Stalled>();
  #patience = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Watches from now on. */
  constructor(connections: ConnectionTable, patience: number = PATIENCE) {
    this.#connections = connections;
    this.#start(patience);
  }

  /** The server is shutting down. */
  hurry(): void {
    if (this.#timer !== undefined) this.#start(SHUTDOWN_PATIENCE);
  }

  /** Watches no more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #start(patience: number): void {
    this.stop();
    this.#patience = patience;
    this.#timer = setInterval(this.#look, patience / LOOKS).unref();
  }

  readonly #look = (): void => {
    const now = performance.now();
    const before = this.#stalled;
    this.#stalled = new Map();
    for (const fd of this.#connections.all()) {
      const outgoing = readOutgoing(fd);
      if (outgoing === null) continue;
      const { token, sndUna } = outgoing;
      const known = before.get(fd);
      const isSame = known?.token === token && known.sndUna === sndUna;
      const stalled = isSame ? known : { token, sndUna, since: now };
      if (now - stalled.since < this.#patience) this.#stalled.set(fd, stalled);
      else if (hasPeerEnded(fd)) end(fd);
    }
  };
}

/** Has the runtime close the descriptor, and the kernel drop what nobody will read. */
function end(fd: number): void {
  resetOnClose(fd);
  libc().shutdown(fd, SHUT_RDWR);
}
