/**
 * Lines on standard output that are not what a command is for: one that cannot be written is left out.
 *
 * @module
 */

import { write } from "node:fs";
import { setTimeout } from "node:timers";

/** Characters that wait for a slow reader; further lines are dropped. */
const LIMIT = 1_000_000;
/** Milliseconds between two attempts to write to a pipe that is full. */
const FULL_INTERVAL = 20;

/** Writes bytes to a descriptor; as `write` of node:fs. */
export type WriteBytes = (
  bytes: Uint8Array,
  done: (error: (Error & { code?: string | undefined }) | null, count: number) => void,
) => void;

const writeOut: WriteBytes = (bytes, done) =>
  // Not process.stdout, which is over for good after an error: a disk may have room again.
  write(1, bytes, 0, bytes.byteLength, null, (error, count) => done(error, count));

/** A log that ends nothing: neither a reader that is gone nor a full disk does harm. */
export class LogOutput {
  readonly #onFailure: (message: string) => void;
  readonly #write: WriteBytes;
  readonly #waiting: string[] = [];
  #size = 0;
  #lost = 0;
  #isFailing = false;
  #writing: Promise<void> | null = null;

  /** @param onFailure Called when lines begin to get lost, with the reason. */
  constructor(onFailure: (message: string) => void, write: WriteBytes = writeOut) {
    this.#onFailure = onFailure;
    this.#write = write;
  }

  /** Takes a line, or lines. */
  add(text: string): void {
    if (this.#size + text.length > LIMIT) {
      if (this.#lost++ === 0) this.#fail("the program that reads it is too slow");
      return;
    }
    this.#waiting.push(text);
    this.#size += text.length;
    this.#writing ??= this.#writeAll().finally(() => this.#writing = null);
  }

  /** Waits until all that was taken has been written, or could not be. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    // Nothing is written within the call that logs it: a row of lines is one write.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const lines = this.#waiting.splice(0);
      this.#size = 0;
      const text = this.#lost > 0 ? [`(${this.#lost} lines are missing here)`, ...lines] : lines;
      const error = await this.#writeBytes(new TextEncoder().encode(`${text.join("\n")}\n`));
      if (error === null) {
        [this.#lost, this.#isFailing] = [0, false];
      } else {
        this.#lost += lines.length;
        this.#fail(error);
      }
    }
  }

  #fail(reason: string): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    this.#onFailure(`Cannot write the log: ${reason}. Continuing without it.`);
  }

  /** Writes all of the bytes; gives why they could not be. */
  async #writeBytes(bytes: Uint8Array): Promise<string | null> {
    for (let at = 0; at < bytes.byteLength;) {
      const { error, count } = await new Promise<Written>((resolve) =>
        this.#write(bytes.subarray(at), (error, count) => resolve({ error, count }))
      );
      if (error === null) at += count;
      // Another process that has the pipe has set it to nonblocking.
      else if (error.code === "EAGAIN") await new Promise((go) => setTimeout(go, FULL_INTERVAL));
      else return error.code === "EPIPE" ? "the program that reads it has ended" : error.message;
    }
    return null;
  }
}

interface Written {
  readonly error: (Error & { code?: string | undefined }) | null;
  readonly count: number;
}
