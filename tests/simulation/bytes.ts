/**
 * Bytes on their way: queues of them, and streams of them that say where they are.
 *
 * @module
 */

/** First in, first out. */
export class ByteQueue {
  length = 0;
  #chunks: Uint8Array[] = [];

  /** Takes a copy. */
  push(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#chunks.push(bytes.slice());
    this.length += bytes.byteLength;
  }

  /** Moves what fits into `buf`, at most `count`; how much it was. */
  take(buf: Uint8Array, count: number): number {
    let at = 0;
    while (at < count && this.length > 0) {
      const chunk = this.#chunks[0]!;
      const part = Math.min(chunk.byteLength, count - at);
      buf.set(part === chunk.byteLength ? chunk : chunk.subarray(0, part), at);
      if (part === chunk.byteLength) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(part);
      this.length -= part;
      at += part;
    }
    return at;
  }

  /** Moves the first `count` bytes to another queue. */
  moveTo(other: ByteQueue, count: number): void {
    const bytes = new Uint8Array(count);
    this.take(bytes, count);
    other.#chunks.push(bytes);
    other.length += count;
  }

  clear(): void {
    this.#chunks = [];
    this.length = 0;
  }
}

/** The byte at a place of a stream: neighbours differ, and so do places that are blocks apart. */
function byteAt(salt: number, at: number): number {
  return (salt + at * 7 + (at >>> 8) * 13 + (at >>> 16) * 29) & 0xff;
}

/** Bytes of a stream from `at` on. */
export function pattern(salt: number, at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = byteAt(salt, at + i);
  return bytes;
}

/** Throws unless the bytes are those of the stream from `at` on. */
export function assertPattern(salt: number, at: number, bytes: Uint8Array): void {
  for (let i = 0; i < bytes.byteLength; i++) {
    if (bytes[i] !== byteAt(salt, at + i)) {
      throw new Error(`Byte ${at + i} is ${bytes[i]} instead of ${byteAt(salt, at + i)}`);
    }
  }
}
