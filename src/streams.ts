/**
 * A connection as web streams.
 *
 * @module
 */

/** What the streams need of a connection. */
export interface ByteChannel {
  read(p: Uint8Array): Promise<number | null>;
  write(p: Uint8Array): Promise<number>;
  /** Closes the connection unless it is closed. */
  finish(): void;
}

/** The streams of one connection, each made when it is first asked for. */
export class ConnStreams {
  readonly #channel: ByteChannel;
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | null = null;
  #writable: WritableStream<Uint8Array<ArrayBufferLike>> | null = null;

  /** Neither stream exists yet. */
  constructor(channel: ByteChannel) {
    this.#channel = channel;
  }

  /** The incoming bytes. */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#readable ??= readableOf(this.#channel, () => {
      // Whoever writes by the stream closes by the stream; anybody else would forget to.
      if (this.#writable === null) this.#channel.finish();
    });
  }

  /** The outgoing bytes. */
  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    return this.#writable ??= writableOf(this.#channel);
  }
}

/** Bytes asked for at a time when the consumer brings no buffer of its own: at least, at most. */
const MIN_CHUNK = 2 * 1024;
const MAX_CHUNK = 64 * 1024;

/**
 * The incoming bytes. Each pull is one read, so what the consumer does not take stays in the kernel
 * and slows the sender down. Buffers are as large as the last reads suggest: to make large ones takes
 * longer than to read a small message. `onEnd` is called at the end of the stream.
 */
function readableOf(
  channel: ByteChannel,
  onEnd: () => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let chunkSize = MIN_CHUNK;
  return new ReadableStream({
    type: "bytes",
    async pull(controller) {
      // Bun before 1.4 has `undefined` for none.
      const request = controller.byobRequest ?? null;
      const buf = request === null ? new Uint8Array(chunkSize) : viewOf(request.view!);
      let count;
      try {
        count = await channel.read(buf);
      } catch (error) {
        channel.finish();
        throw error;
      }
      if (count === null) {
        onEnd();
        controller.close();
        request?.respond(0);
      } else if (request === null) {
        if (count === chunkSize) chunkSize = Math.min(chunkSize * 4, MAX_CHUNK);
        else if (count < chunkSize / 8) chunkSize = Math.max(chunkSize / 2, MIN_CHUNK);
        controller.enqueue(buf.subarray(0, count));
      } else {
        request.respond(count);
      }
    },
    cancel: () => channel.finish(),
  }, { highWaterMark: 0 });
}

/** The outgoing bytes. Each chunk is written whole before the next is asked for. */
function writableOf(channel: ByteChannel): WritableStream<Uint8Array<ArrayBufferLike>> {
  return new WritableStream<Uint8Array<ArrayBufferLike>>({
    start(controller) {
      // `abort` below waits for a write under way, and that for the peer. Bun before 1.4 has no signal.
      const signal = controller.signal as AbortSignal | undefined;
      signal?.addEventListener("abort", () => channel.finish(), { once: true });
    },
    async write(chunk: ArrayBufferLike | ArrayBufferView) {
      try {
        const bytes = bytesOf(chunk);
        let written = await channel.write(bytes);
        while (written < bytes.byteLength) {
          written += await channel.write(bytes.subarray(written));
        }
      } catch (error) {
        channel.finish();
        throw error;
      }
    },
    close: () => channel.finish(),
    abort: () => channel.finish(),
  });
}

function viewOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** The bytes of what a web stream may carry; anything else is left for `write` to refuse. */
function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  if (!ArrayBuffer.isView(chunk)) return chunk as Uint8Array;
  return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
