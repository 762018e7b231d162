/**
 * Reading a connection into a stream.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { nextTick } from "node:process";
import type { MptcpConn } from "../types.ts";
import type { OnReadOptions } from "./types.ts";

/** Room for a read, in bytes: at first, and where data keeps filling it. */
const MIN_SIZE = 8 * 1024;
const MAX_SIZE = 64 * 1024;

/** The receiver of what was read. */
export interface ReaderSink {
  /** So many bytes have come. */
  onBytes(count: number): void;
  /** Takes bytes; false if no more are wanted for now. */
  push(chunk: Uint8Array): boolean;
  /** No more are wanted for now. */
  pause(): void;
  onEnd(): void;
  onError(error: unknown): void;
}

/** Reads while the stream wants more. */
export class SocketReader {
  readonly #onread: OnReadOptions | null;
  readonly #owner: object;
  readonly #sink: ReaderSink;
  #buffer: Buffer | null = null;
  #size = MIN_SIZE;
  #isReading = false;
  /** More was asked for while the last chunk was handed on. */
  #isWanted = false;

  /** `owner` is `this` of the callback. */
  constructor(onread: OnReadOptions | null, owner: object, sink: ReaderSink) {
    this.#onread = onread;
    this.#owner = owner;
    this.#sink = sink;
  }

  /** Whether it reads into a buffer of the caller's. */
  get hasOwnBuffer(): boolean {
    return this.#onread !== null;
  }

  /** Reads until the stream wants no more. */
  start(conn: MptcpConn): void {
    this.#isWanted = true;
    if (!this.#isReading) void this.#read(conn);
  }

  async #read(conn: MptcpConn): Promise<void> {
    this.#isReading = true;
    try {
      while (this.#isWanted) {
        const buffer = this.#room();
        const count = await conn.read(buffer);
        if (count === null) return this.#sink.onEnd();
        this.#isWanted = false;
        this.#sink.onBytes(count);
        if (this.#handSafely(buffer, count)) this.#isWanted = true;
      }
    } catch (error) {
      this.#sink.onError(error);
    } finally {
      this.#isReading = false;
    }
  }

  /** What a listener throws is uncaught, as with `net.Socket`, and no failure of the connection. */
  #handSafely(buffer: Uint8Array, count: number): boolean {
    try {
      return this.#hand(buffer, count);
    } catch (error) {
      nextTick(() => {
        throw error;
      });
      return true;
    }
  }

  #room(): Uint8Array {
    if (this.#onread !== null) {
      const { buffer } = this.#onread;
      return typeof buffer === "function" ? buffer() : buffer;
    }
    return this.#buffer ??= Buffer.allocUnsafeSlow(this.#size);
  }

  /** Hands bytes on; whether more are wanted. */
  #hand(buffer: Uint8Array, count: number): boolean {
    if (this.#onread !== null) {
      if (this.#onread.callback.call(this.#owner, count, buffer) !== false) return true;
      this.#sink.pause();
      return false;
    }
    return this.#sink.push(this.#take(buffer, count));
  }

  /** The bytes in a buffer that is not written to again. */
  #take(buffer: Uint8Array, count: number): Uint8Array {
    if (count * 2 < buffer.byteLength) return Buffer.from(buffer.subarray(0, count));
    this.#buffer = null;
    if (count === buffer.byteLength) this.#size = Math.min(this.#size * 2, MAX_SIZE);
    return buffer.subarray(0, count);
  }
}
