/**
 * Bytes between the runtime's `fetch` and a connection of ours.
 *
 * @module
 */

import { resetOnClose } from "../poll/socket.ts";
import type { Stream } from "../poll/fd.ts";
import type { MptcpConn } from "../types.ts";

const BUFFER_SIZE = 64 * 1024;

interface Duplex {
  read(buf: Uint8Array): Promise<number | null>;
  write(buf: Uint8Array): Promise<number>;
}

/** The connection that `fetch` is to have. */
export interface Remote {
  readonly conn: MptcpConn;
  /** Called whenever bytes have gone either way. */
  onBytes(): void;
  /** Called before the first answer is handed on; false to break the connection off. */
  isAcceptable(): boolean;
  /** Called before the connection is closed. */
  onClose(): void;
}

/** A connection of `fetch`, and the one that it stands for. */
export class Relay {
  readonly #local: Stream;
  readonly #remote: Remote;
  readonly #conn: MptcpConn;
  #isOneWay = false;

  constructor(local: Stream, remote: Remote) {
    this.#local = local;
    this.#remote = remote;
    this.#conn = remote.conn;
  }

  /** Carries bytes until both ends are closed. Never rejects. */
  async run(): Promise<void> {
    await Promise.all([this.#carryRequests(), this.#carryAnswers()]);
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
    this.#remote.onClose();
    this.#local.close();
    this.#conn[Symbol.dispose]();
  }

  async #carryRequests(): Promise<void> {
    const buf = new Uint8Array(BUFFER_SIZE);
    for (;;) {
      const count = await this.#local.read(buf).catch(() => null);
      // HTTP clients do not half-close: nobody is there to have an answer.
      if (count === null) return this.close();
      try {
        await this.#write(this.#conn, buf.subarray(0, count));
      } catch {
        // A server that wants no more of a request may have answered it.
        this.#isOneWay = true;
        return;
      }
    }
  }

  async #carryAnswers(): Promise<void> {
    const buf = new Uint8Array(BUFFER_SIZE);
    for (let isFirst = true;; isFirst = false) {
      let count;
      try {
        count = await this.#conn.read(buf);
      } catch {
        return this.#reset();
      }
      if (isFirst && !this.#remote.isAcceptable()) return this.#reset();
      if (count === null) return await this.#end();
      try {
        await this.#write(this.#local, buf.subarray(0, count));
      } catch {
        return this.close();
      }
    }
  }

  async #write(to: Duplex, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength;) at += await to.write(bytes.subarray(at));
    this.#remote.onBytes();
  }

  /** The server has ended its answers. */
  async #end(): Promise<void> {
    if (this.#isOneWay) return this.close();
    await this.#local.closeWrite().catch(() => this.close());
  }

  /** The connection broke: `fetch` must not take what it has for the whole. */
  #reset(): void {
    if (this.#local.fd >= 0) resetOnClose(this.#local.fd);
    this.close();
  }
}
