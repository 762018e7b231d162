/**
 * Bytes between the runtime's `fetch` and a connection of ours.
 *
 * @module
 */

import { clearTimeout, setTimeout } from "../../ffi/event_loop.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { type Acknowledged, readAcknowledged } from "../kernel/info.ts";
import { Conn } from "../net/conn.ts";
import { BlockSize, copy, type CopyFailure, writeAll } from "../net/copy.ts";
import { hasPeerEnded } from "../poll/epoll.ts";
import { finishOnClose, resetOnClose } from "../poll/socket.ts";
import type { Stream } from "../poll/fd.ts";
import type { MptcpConn } from "../types.ts";
import { RequestLog } from "./request_log.ts";

/** How long the server has to end its side when `fetch` has ended, in milliseconds. */
export const LEAVE_TIMEOUT = 1000;

/** The connection that `fetch` is to have. */
export interface Remote {
  readonly conn: MptcpConn;
  /** Called whenever bytes have gone either way. */
  onBytes(): void;
  /** Whether a request waits for its answer to begin. */
  isAwaited(): boolean;
  /** Called before the first answer is handed on; false to break the connection off. */
  isAcceptable(): boolean;
  /**
   * Called before the connection is closed.
   *
   * @param isBroken Whether it was reset, or cannot be used for another reason.
   */
  onClose(isBroken: boolean): void;
}

/** How long a request waits until `fetch` knows which connections have ended, in milliseconds. */
const SETTLE_TIMEOUT = 20;

/** Bytes of a request after which the server has probably acknowledged some. */
const ASK_AFTER = 64 * 1024;

/**
 * How long `fetch` is left a connection whose server has ended while a request is under way to some
 * connection, in milliseconds.
 */
const REST = 250;

const WOULD_BLOCK = -ERRNO.EAGAIN;

/**
 * A connection of `fetch`, and the one that it stands for.
 *
 * A server may end a connection that `fetch` is about to use again. A request that finds it ended goes
 * out over a new connection, if no byte of it can have reached the server's program: none has been sent,
 * or the server's end came without an acknowledgement of any. (A worker of the kernel handles the end
 * of an MPTCP stream, so it may come late.) Requests over TLS cannot be moved.
 */
export class Relay {
  readonly #local: Stream;
  readonly #dial: () => Promise<Remote>;
  readonly #log = new RequestLog();
  readonly #told = Promise.withResolvers<void>();
  #remote: Remote;
  #isMptcp = false;
  #isAccepted = false;
  #isBroken = false;
  #hasEnded = false;
  #isOneWay = false;
  #refed = true;
  /** Bytes of answers that have been read and not handed on. */
  #pending = 0;
  /** What the server had acknowledged when a request began on a connection that was used before. */
  #acknowledged: Acknowledged | null = null;
  /** Settled when another connection has taken this one's place, or none could: false. */
  #replacing: Promise<boolean> | null = null;
  #leaving: Promise<void> | null = null;
  /** Ends a rest. */
  #wake: () => void = () => {};

  /** `dial` makes a further connection to the same server. */
  constructor(local: Stream, remote: Remote, dial: () => Promise<Remote>) {
    this.#local = local;
    this.#dial = dial;
    this.#remote = remote;
    this.#begin(remote);
  }

  get #conn(): MptcpConn {
    return this.#remote.conn;
  }

  /** Carries bytes until both ends are closed. Never rejects. */
  async run(): Promise<void> {
    await Promise.all([this.#carryRequests(), this.#carryAnswers()]);
    await this.#leaving;
  }

  setRef(refed: boolean): void {
    this.#refed = refed;
    if (this.#local.fd < 0) return;
    this.#local.setRef(refed);
    if (refed) this.#conn.ref();
    else this.#conn.unref();
  }

  /** Closes both ends. */
  close(): void {
    if (this.#local.fd < 0) return;
    this.#local.close();
    this.#told.resolve();
    this.#wake();
    // What takes a connection's place is closed when it is there.
    if (this.#replacing === null) this.#closeRemote();
  }

  /**
   * Resolves when `fetch` can see that the server has ended the connection; `null` if the server has
   * not, if an answer has yet to be handed on, or if a request would be moved to another connection.
   */
  settle(): Promise<void> | null {
    if (!this.#log.isOpaque) return null;
    const isBusy = this.#hasEnded || this.#pending > 0 || this.#replacing !== null;
    if (this.#local.fd < 0 || isBusy || !this.#isGone()) return null;
    const timer = setTimeout(this.#told.resolve, SETTLE_TIMEOUT);
    return this.#told.promise.then(() => clearTimeout(timer));
  }

  #begin(remote: Remote): void {
    const { conn } = remote;
    this.#remote = remote;
    this.#isAccepted = this.#isBroken = this.#hasEnded = false;
    this.#isMptcp = conn.fd >= 0 && conn.protocol !== "tcp";
    // In case the process exits in the middle of an answer.
    if (this.#isMptcp) resetOnClose(conn.fd);
    if (!this.#refed) conn.unref();
  }

  #closeRemote(): void {
    this.#remote.onClose(this.#isBroken);
    if (this.#isMptcp) this.#leaving = this.#leave();
    else this.#conn[Symbol.dispose]();
  }

  /**
   * Ends a connection whose server may still be sending a response. Only over TCP does the kernel answer
   * data after a `close` with a reset. An MPTCP server would wait for room until
   * net.mptcp.close_timeout expires, after a minute. So this end waits for the end of the server's stream,
   * and resets the connection if data arrives instead.
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
    const blockSize = new BlockSize();
    let buf = new Uint8Array(blockSize.value);
    for (;;) {
      const count = await this.#local.read(buf).catch(() => null);
      // HTTP clients do not half-close: nobody is there to have an answer.
      if (count === null) return this.close();
      if (this.#replacing === null && this.#isMovable() && this.#isGone()) this.#replace();
      if (this.#replacing !== null && !await this.#replacing) return;
      if (!await this.#send(buf.subarray(0, count))) return;
      blockSize.learn(count);
      if (buf.byteLength !== blockSize.value) buf = new Uint8Array(blockSize.value);
    }
  }

  /** Sends a part of a request; false if there is nobody to send more to. */
  async #send(bytes: Uint8Array): Promise<boolean> {
    const conn = this.#conn;
    const isFirst = this.#log.isIdle;
    this.#log.push(bytes);
    if (isFirst) {
      this.#acknowledged = this.#log.unanswered && readAcknowledged(conn.fd, this.#isMptcp);
    }
    if (this.#log.size >= ASK_AFTER && !this.#mayRepeat()) this.#log.forget();
    try {
      const count = await conn.write(bytes);
      this.#remote.onBytes();
      if (count < bytes.byteLength) await writeAll(conn, bytes.subarray(count), this.#onBytes);
      return true;
    } catch {
      // The connection that takes its place has been sent these bytes too.
      if (conn !== this.#conn) return true;
    }
    if (this.#replacing === null && this.#peek() === 0 && this.#mayRepeat()) this.#replace();
    if (this.#replacing !== null) return await this.#replacing;
    // A server that wants no more of a request may have answered it.
    this.#isOneWay = true;
    return false;
  }

  async #carryAnswers(): Promise<void> {
    for (;;) {
      const conn = this.#conn;
      const failure = await copy(conn, this.#local, {
        onRead: (count, buf) => this.#onAnswer(conn, buf.subarray(0, count)),
        onWritten: this.#onHandedOn,
      });
      if (failure?.side === "destination") return this.close();
      if (this.#mayRest(conn)) await this.#rest();
      if (this.#mayReplace(conn, failure)) this.#replace();
      if (conn === this.#conn && this.#replacing === null) return await this.#end(failure);
      if (this.#replacing !== null && !await this.#replacing) return;
    }
  }

  readonly #onBytes = (): void => this.#remote.onBytes();

  #onAnswer(conn: MptcpConn, bytes: Uint8Array): void {
    const isCurrent = conn === this.#conn && this.#replacing === null;
    if (!isCurrent || !this.#isAcceptable()) throw new Error("not acceptable");
    this.#log.onAnswer(bytes);
    this.#pending += bytes.byteLength;
  }

  readonly #onHandedOn = (count: number): void => {
    this.#pending -= count;
    this.#remote.onBytes();
  };

  /** Asks once, when the server has answered or ended. */
  #isAcceptable(): boolean {
    return this.#isAccepted ||= this.#remote.isAcceptable();
  }

  /** The server sends no more answers. */
  async #end(failure: CopyFailure | null): Promise<void> {
    if (failure !== null) return this.#reset();
    this.#hasEnded = true;
    if (!this.#isAcceptable()) return this.#reset();
    if (this.#isOneWay) return this.close();
    await this.#local.closeWrite().catch(() => this.close());
    this.#told.resolve();
  }

  /** The connection broke: `fetch` must not take what it has for the whole. */
  #reset(): void {
    this.#isBroken = true;
    if (this.#local.fd >= 0) resetOnClose(this.#local.fd);
    this.close();
  }

  /** The server has ended the connection, or it is broken. */
  #isGone(): boolean {
    const found = this.#peek();
    // Bytes may have an end behind them.
    return found > 0 ? hasPeerEnded(this.#conn.fd) : found !== WOULD_BLOCK;
  }

  #peek(): number {
    const conn = this.#conn;
    return conn instanceof Conn && conn.fd >= 0 ? conn.stream.tryPeek() : WOULD_BLOCK;
  }

  /** Whether `fetch` may be about to use a connection that it has had its answer from. */
  #mayRest(conn: MptcpConn): boolean {
    const isOpen = conn === this.#conn && this.#replacing === null && this.#local.fd >= 0;
    return isOpen && this.#log.isReusable && this.#remote.isAwaited();
  }

  /** Resolves when another connection takes this one's place, or its time is over. */
  async #rest(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, REST).unref();
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
  }

  /** Whether a connection that has ended has, or is about to have, a request that can be moved. */
  #mayReplace(conn: MptcpConn, failure: CopyFailure | null): boolean {
    if (conn !== this.#conn || this.#replacing !== null) return false;
    if (this.#local.fd < 0 || this.#isOneWay) return false;
    // Bytes that have been read from `fetch` are not in the log before the next turn.
    if (this.#log.isIdle) {
      const found = this.#local.tryPeek();
      return found > 0 || (found !== 0 && this.#local.waits === 0);
    }
    return failure === null && this.#mayRepeat();
  }

  /**
   * Whether the server's program cannot have seen the request, if it has ended the connection: each
   * packet, the one with the end too, acknowledges all that has come before it.
   */
  #mayRepeat(): boolean {
    const before = this.#acknowledged;
    if (before === null || this.#log.unanswered === null) return false;
    const now = readAcknowledged(this.#conn.fd, this.#isMptcp);
    return now?.protocol === before.protocol && now.upTo === before.upTo;
  }

  /** A request that begins now can go out over another connection. */
  #isMovable(): boolean {
    return this.#log.isIdle && !this.#hasEnded;
  }

  /** Replaces the connection that the server has ended. */
  #replace(): void {
    const { conn, onClose } = this.#remote;
    onClose(false);
    if (this.#isMptcp) finishOnClose(conn.fd);
    conn[Symbol.dispose]();
    this.#wake();
    this.#replacing = this.#dialAgain();
  }

  async #dialAgain(): Promise<boolean> {
    try {
      const remote = await this.#dial();
      this.#acknowledged = null;
      this.#begin(remote);
    } catch {
      this.#reset();
      return false;
    }
    const isThere = await this.#repeat();
    this.#replacing = null;
    if (!isThere) this.#closeRemote();
    return isThere;
  }

  /** Sends what has been sent before; false if one of both ends is closed. */
  async #repeat(): Promise<boolean> {
    try {
      for (const bytes of this.#log.unanswered ?? []) {
        await writeAll(this.#conn, bytes, this.#onBytes);
      }
      return this.#local.fd >= 0;
    } catch {
      this.#reset();
      return false;
    }
  }
}
