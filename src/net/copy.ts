/**
 * Copying bytes from one connection, or what looks like one, to another.
 *
 * @module
 */

import { changedError, isDetached } from "../poll/buffer.ts";

/** What bytes are read from. */
export interface Reader {
  /** At least one byte, waiting for it; `null` at the end of the stream. */
  read(p: Uint8Array): Promise<number | null>;
}

/** What bytes are written to. */
export interface Writer {
  /** At least one byte, waiting for room. */
  write(p: Uint8Array): Promise<number>;
}

/** Bytes that are asked for at a time: at least, at most. */
const MIN_BLOCK = 2 * 1024;
const MAX_BLOCK = 64 * 1024;

/**
 * How many bytes to ask for. Buffers are as large as the last reads suggest: to make large ones takes
 * longer than to read a small message.
 */
export class BlockSize {
  /** Bytes. */
  value: number = MIN_BLOCK;

  /** Follows the size of the data. */
  learn(count: number): void {
    const size = this.value;
    if (count === size) this.value = Math.min(size * 4, MAX_BLOCK);
    else if (count < size / 8) this.value = Math.max(size / 2, MIN_BLOCK);
  }
}

/** What a copy tells, and what it shares with others. */
export interface CopyOptions {
  /** Of the reads before, where there were some. */
  readonly blockSize?: BlockSize;
  /**
   * Called when bytes have been read into the beginning of `buf`. An exception fails the copy, as an
   * error of the source does.
   */
  onRead?(count: number, buf: Uint8Array): void;
  /** Called when bytes have been written. */
  onWritten?(count: number): void;
}

/** Why a copy has ended before its source: which side failed, and what was read and not written. */
export interface CopyFailure {
  readonly side: "source" | "destination";
  readonly error: unknown;
  readonly unwritten: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/** Copies until the source ends, which gives `null`, or one side fails. Never rejects. */
export async function copy(
  from: Reader,
  to: Writer,
  options: CopyOptions = {},
): Promise<CopyFailure | null> {
  const { blockSize = new BlockSize() } = options;
  let buf = new Uint8Array(blockSize.value);
  let unwritten = NOTHING;
  const onWritten = (count: number) => {
    unwritten = unwritten.subarray(count);
    options.onWritten?.(count);
  };
  try {
    for (;;) {
      const count = await from.read(buf);
      if (count === null) return null;
      options.onRead?.(count, buf);
      unwritten = count === buf.byteLength ? buf : buf.subarray(0, count);
      const written = await to.write(unwritten);
      options.onWritten?.(written);
      if (written < count) {
        unwritten = unwritten.subarray(written);
        await writeAll(to, unwritten, onWritten);
      }
      unwritten = NOTHING;
      blockSize.learn(count);
      if (buf.byteLength !== blockSize.value) buf = new Uint8Array(blockSize.value);
    }
  } catch (error) {
    const side = unwritten === NOTHING ? "source" : "destination";
    return { side, error, unwritten };
  }
}

/**
 * Writes all bytes, however many writes that takes.
 *
 * @throws {TypeError} if the bytes lose their memory meanwhile.
 */
export async function writeAll(
  to: Writer,
  bytes: Uint8Array,
  onWritten?: (count: number) => void,
): Promise<void> {
  const length = bytes.byteLength;
  if (length === 0 && isDetached(bytes)) throw changedError("write", 0);
  for (let at = 0; at < length;) {
    if (bytes.byteLength < length) throw changedError("write", at, length);
    let count;
    try {
      count = await to.write(at === 0 ? bytes : bytes.subarray(at, length));
    } catch (error) {
      const isChanged = error instanceof TypeError && bytes.byteLength < length;
      throw isChanged ? changedError("write", at, length) : error;
    }
    at += count;
    onWritten?.(count);
  }
}
