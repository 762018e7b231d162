/**
 * Simulated pipes, eventfds and files of /proc.
 *
 * @module
 */

import { EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { ByteQueue } from "./bytes.ts";
import { File } from "./file.ts";

/** One end of a pipe. */
export class PipeEnd extends File {
  readonly queue: ByteQueue;
  other: PipeEnd | null = null;
  readonly isReader: boolean;
  capacity: number = 64 * 1024;

  private constructor(queue: ByteQueue, isReader: boolean) {
    super();
    this.queue = queue;
    this.isReader = isReader;
  }

  /** The end to read from, and the end to write to. */
  static pair(): [PipeEnd, PipeEnd] {
    const queue = new ByteQueue();
    const reader = new PipeEnd(queue, true);
    const writer = new PipeEnd(queue, false);
    reader.other = writer;
    writer.other = reader;
    return [reader, writer];
  }

  get room(): number {
    return this.capacity - this.queue.length;
  }

  override poll(): number {
    const hasBytes = this.queue.length > 0;
    const isAlone = this.other === null ? EPOLLHUP : 0;
    if (this.isReader) return isAlone | (hasBytes ? EPOLLIN : 0);
    return isAlone | (this.room > 0 ? EPOLLOUT : 0);
  }

  override release(): void {
    if (this.other === null) return;
    this.other.other = null;
    this.other.wake();
  }
}

/** An eventfd. */
export class EventFd extends File {
  count = 0n;

  override poll(): number {
    return this.count > 0n ? EPOLLIN | EPOLLOUT : EPOLLOUT;
  }

  override release(): void {}

  read(buf: Uint8Array): number {
    if (this.count === 0n) return -ERRNO.EAGAIN;
    new DataView(buf.buffer, buf.byteOffset).setBigUint64(0, this.count, true);
    this.count = 0n;
    return 8;
  }

  write(buf: Uint8Array): number {
    this.count += new DataView(buf.buffer, buf.byteOffset).getBigUint64(0, true);
    this.wake();
    return 8;
  }
}

/** A file of /proc. */
export class ProcFile extends File {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(text: string) {
    super();
    this.#bytes = new TextEncoder().encode(text);
  }

  override poll(): number {
    return EPOLLIN;
  }

  override release(): void {}

  read(buf: Uint8Array, count: number): number {
    const part = this.#bytes.subarray(this.#at, this.#at + count);
    buf.set(part);
    this.#at += part.byteLength;
    return part.byteLength;
  }
}
