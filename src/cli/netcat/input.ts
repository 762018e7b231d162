/**
 * Standard input, in chunks that one reader after the other takes.
 *
 * @module
 */

import process from "node:process";

/** A chunk, `null` at the end of the input, "released" for a reader that waits no longer. */
export type Taken = Uint8Array | null | "released";

/** A stream of chunks. Chunks that arrive after a reader was released are for the next one. */
export class Input {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #reading: Promise<Uint8Array | null> | null = null;
  #waiting: PromiseWithResolvers<Taken> | null = null;

  /** Reads standard input, or any chunks. */
  constructor(chunks: AsyncIterable<Uint8Array> = process.stdin) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next chunk. Nothing is read ahead: what is not asked for stays with its writer. */
  next(): Promise<Taken> {
    const waiting = this.#waiting = Promise.withResolvers<Taken>();
    this.#reading ??= this.#read();
    this.#reading.then((chunk) => this.#give(waiting, chunk), waiting.reject);
    return waiting.promise;
  }

  /** Lets a reader that waits go. */
  release(): void {
    this.#waiting?.resolve("released");
    this.#waiting = null;
  }

  async #read(): Promise<Uint8Array | null> {
    const { value, done } = await this.#chunks.next();
    return done ? null : value;
  }

  #give(waiting: PromiseWithResolvers<Taken>, chunk: Uint8Array | null): void {
    if (this.#waiting !== waiting) return;
    this.#waiting = null;
    // The end stays the end.
    if (chunk !== null) this.#reading = null;
    waiting.resolve(chunk);
  }
}
