/**
 * Bytes between the runtime's `fetch` and a connection of ours.
 *
 * @module
 */

import { clearTimeout, setTimeout } from "../../ffi/event_loop.ts";
import { copy } from "../net/copy.ts";
import { finishOnClose, resetOnClose } from "../poll/socket.ts";
import type { Stream } from "../poll/fd.ts";
import type { MptcpConn } from "../types.ts";

/** How long the server has to end its side when `fetch` has ended, in milliseconds. */
export const LEAVE_TIMEOUT = 1000;

/** The connection that `fetch` is to have. */
export interface Remote {
  readonly conn: MptcpConn;
  /** Called whenever bytes have gone either way. */
  onBytes(): void;
  /** Called before the first answer is handed on; false to break the connection off. */
  isAcceptable(): boolean;
  /**
   * Called before the connection is closed.
   *
   * @param isBroken Whether it was reset, or cannot be used for another reason.
   */
  onClose(isBroken: boolean): void;
}

/** A connection of `fetch`, and the one that it stands for. */
export class Relay {
  readonly #local: Stream;
  readonly #remote: Remote;
  readonly #conn: MptcpConn;
  readonly #isMptcp: boolean;
  #isOneWay = false;
  #isBroken = false;
  #hasEnded = false;
  #leaving: Promise<void> | null = null;
  #isAccepted = false;

  constructor(local: Stream, remote: Remote) {
    this.#local = local;
    this.#remote = remote;
    this.#conn = remote.conn;
    this.#isMptcp = this.#conn.fd >= 0 && this.#conn.protocol !== "tcp";
    // In case the process exits in the middle of an answer.
    if (this.#isMptcp) resetOnClose(this.#conn.fd);
  }

  /** Carries bytes until both ends are closed. Never rejects. */
  async run(): Promise<void> {
    await Promise.all([this.#carryRequests(), this.#carryAnswers()]);
    await this.#leaving;
  }

  setRef(refed: boolean): void {
    if (this.#local.fd < 0) return;
    this.#local.setRef(refed);
    if (refed) this.#conn.ref();
    else this.#conn.unref();
  }

  /** Closes both ends. */
  close(): void {
    if (this.#local.fd < 0) return;
    this.#remote.onClose(this.#isBroken);
    this.#local.close();
    if (this.#isMptcp) this.#leaving = this.#leave();
    else this.#conn[Symbol.dispose]();
  }

  /**
   * Ends a connection whose server may be in the middle of an answer. The kernel answers what comes
   * after a `close` by a reset over TCP alone: an MPTCP server would wait for room until
   * net.mptcp.close_timeout is over, a minute. So this end waits for the server's, and resets the
   * connection if there is an answer instead.
   */
  async #leave(): Promise<void> {
    const conn = this.#conn;
    if (conn.fd < 0) return;
    conn.unref();
    const timer = setTimeout(() => conn[Symbol.dispose](), LEAVE_TIMEOUT).unref();
    try {
      if (!this.#hasEnded) {
        await conn.closeWrite();
        this.#hasEnded = await conn.read(new Uint8Array(1)) === null;
      }
      if (this.#hasEnded) finishOnClose(conn.fd);
    } catch {
      // It is broken.
    }
    clearTimeout(timer);
    conn[Symbol.dispose]();
  }

  async #carryRequests(): Promise<void> {
    const failure = await copy(this.#local, this.#conn, { onWritten: this.#onBytes });
    // A server that wants no more of a request may have answered it.
    if (failure?.side === "destination") this.#isOneWay = true;
    // HTTP clients do not half-close: nobody is there to have an answer.
    else this.close();
  }

  async #carryAnswers(): Promise<void> {
    const failure = await copy(this.#conn, this.#local, {
      onRead: this.#onAnswer,
      onWritten: this.#onBytes,
    });
    if (failure?.side === "source") return this.#reset();
    if (failure?.side === "destination") return this.close();
    this.#hasEnded = true;
    if (!this.#isAcceptable()) return this.#reset();
    await this.#end();
  }

  readonly #onBytes = (): void => this.#remote.onBytes();

  readonly #onAnswer = (): void => {
    if (!this.#isAcceptable()) throw new Error("not acceptable");
  };

  /** Asks once, when the server has answered or ended. */
  #isAcceptable(): boolean {
    return this.#isAccepted ||= this.#remote.isAcceptable();
  }

  /** The server has ended its answers. */
  async #end(): Promise<void> {
    if (this.#isOneWay) return this.close();
    await this.#local.closeWrite().catch(() => this.close());
  }

  /** The connection broke: `fetch` must not take what it has for the whole. */
  #reset(): void {
    this.#isBroken = true;
    if (this.#local.fd >= 0) resetOnClose(this.#local.fd);
    this.close();
  }
}
