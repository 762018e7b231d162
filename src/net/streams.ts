/**
 * A connection as web streams.
 *
 * @module
 */

import { show } from "../show.ts";
import { BlockSize, copy, type Reader, writeAll, type Writer } from "./copy.ts";

/** What the streams need of a connection. */
export interface ByteChannel {
  /** What they read and write, with nothing in between: a pipe spends most of its time there. */
  readonly io: Reader & Writer;
  /** Closes the connection unless it is closed. */
  finish(): void;
}

/** The connection underneath both streams, and what broke it. */
class Channel {
  readonly io: Reader & Writer;
  readonly #channel: ByteChannel;
  #failure: { readonly error: unknown } | null = null;

  constructor(channel: ByteChannel) {
    this.io = channel.io;
    this.#channel = channel;
  }

  finish(): void {
    this.#channel.finish();
  }

  /** Closes the connection, and gives the error that is to be told: that which came first. */
  fail(error: unknown): unknown {
    this.#failure ??= { error };
    this.#channel.finish();
    return this.#failure.error;
  }
}

/** The streams of one connection, each made when it is first asked for. */
export class ConnStreams {
  readonly #channel: Channel;
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | null = null;
  #writable: WritableStream<Uint8Array<ArrayBufferLike>> | null = null;

  /** Neither stream exists yet. */
  constructor(channel: ByteChannel) {
    this.#channel = new Channel(channel);
  }

  /** The incoming bytes. */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#readable ??= readableOf(
      new ConnSource(this.#channel, () => {
        // Whoever writes by the stream closes by the stream; anybody else would forget to.
        if (this.#writable === null) this.#channel.finish();
      }),
    );
  }

  /** The outgoing bytes. */
  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    return this.#writable ??= writableOf(new ConnSink(this.#channel));
  }
}

/** What a pipe leaves to the stream: bytes that it could not write, or why it could not read. */
type Remains = { readonly bytes: Uint8Array } | { readonly error: unknown };

/**
 * The incoming bytes. Each pull is one read, so what the consumer does not take stays in the kernel
 * and slows the sender down.
 */
class ConnSource implements UnderlyingByteSource {
  readonly type = "bytes";
  readonly #channel: Channel;
  readonly #onEnd: () => void;
  readonly #blockSize = new BlockSize();
  #controller: ReadableByteStreamController | null = null;
  #isPulling = false;
  #remains: Remains | null = null;

  /** `onEnd` is called at the end of the stream. */
  constructor(channel: Channel, onEnd: () => void) {
    this.#channel = channel;
    this.#onEnd = onEnd;
  }

  start(controller: ReadableByteStreamController): void {
    this.#controller = controller;
  }

  async pull(controller: ReadableByteStreamController): Promise<void> {
    // Bun before 1.4 has `undefined` for none.
    const request = controller.byobRequest ?? null;
    const buf = request === null ? new Uint8Array(this.#blockSize.value) : viewOf(request.view!);
    let count;
    this.#isPulling = true;
    try {
      count = this.#remains === null ? await this.#channel.io.read(buf) : this.#takeRemains(buf);
    } catch (error) {
      throw this.#channel.fail(error);
    } finally {
      this.#isPulling = false;
    }
    if (count === null) {
      this.#onEnd();
      controller.close();
      request?.respond(0);
    } else if (request === null) {
      this.#blockSize.learn(count);
      controller.enqueue(buf.subarray(0, count));
    } else {
      request.respond(count);
    }
  }

  cancel(): void {
    this.#channel.finish();
  }

  /** Nothing has been read that the stream has not given away, and it is open. */
  get isFresh(): boolean {
    return !this.#isPulling && this.#controller!.desiredSize === 0;
  }

  /** Carries bytes to a sink until there are no more, or one of both fails, which the streams tell. */
  async carry(sink: ConnSink): Promise<void> {
    const failure = await copy(this.#channel.io, sink.channel.io, { blockSize: this.#blockSize });
    if (failure === null) return;
    const { side, error, unwritten } = failure;
    this.#remains = side === "source" ? { error } : { bytes: unwritten };
    if (side === "destination") sink.failure = { error };
  }

  #takeRemains(buf: Uint8Array): number {
    const remains = this.#remains!;
    if ("error" in remains) throw remains.error;
    const bytes = remains.bytes.subarray(0, buf.byteLength);
    buf.set(bytes);
    const isAll = bytes.byteLength === remains.bytes.byteLength;
    this.#remains = isAll ? null : { bytes: remains.bytes.subarray(bytes.byteLength) };
    return bytes.byteLength;
  }
}

/** The outgoing bytes. Each chunk is written whole before the next is asked for. */
class ConnSink implements UnderlyingSink<Uint8Array<ArrayBufferLike>> {
  readonly channel: Channel;
  /** Why a pipe could not write: the stream's next write tells. */
  failure: { readonly error: unknown } | null = null;

  constructor(channel: Channel) {
    this.channel = channel;
  }

  start(controller: WritableStreamDefaultController): void {
    // `abort` below waits for a write under way, and that for the peer. Bun before 1.4 has no signal.
    const signal = controller.signal as AbortSignal | undefined;
    signal?.addEventListener("abort", () => this.channel.finish(), { once: true });
  }

  async write(chunk: ArrayBufferLike | ArrayBufferView): Promise<void> {
    try {
      if (this.failure !== null) throw this.failure.error;
      await writeAll(this.channel.io, bytesOf(chunk));
    } catch (error) {
      throw this.channel.fail(error);
    }
  }

  close(): void {
    this.channel.finish();
  }

  abort(): void {
    this.channel.finish();
  }
}

const sinks = new WeakMap<WritableStream, ConnSink>();

function writableOf(sink: ConnSink): WritableStream<Uint8Array<ArrayBufferLike>> {
  const writable = new WritableStream(sink);
  sinks.set(writable, sink);
  return writable;
}

/** What goes from it to another connection's stream takes no stream's chunk and promises on its way. */
function readableOf(source: ConnSource): ReadableStream<Uint8Array<ArrayBuffer>> {
  const readable = new ReadableStream(source, { highWaterMark: 0 });
  const { pipeTo } = readable;
  readable.pipeTo = async (destination, options) => {
    const sink = sinks.get(destination);
    // A signal has to end a read that waits, which is for the stream to do.
    const canCarry = sink !== undefined && options?.signal === undefined &&
      !readable.locked && source.isFresh && isFresh(destination);
    if (canCarry) {
      const reader = readable.getReader();
      const writer = destination.getWriter();
      await source.carry(sink);
      reader.releaseLock();
      writer.releaseLock();
    }
    // How it ends is as the standard says.
    return pipeTo.call(readable, destination, options);
  };
  return readable;
}

/** Nobody has it, it can be written, and nothing is being written. */
function isFresh(destination: WritableStream): boolean {
  if (destination.locked) return false;
  const writer = destination.getWriter();
  const { desiredSize } = writer;
  writer.releaseLock();
  return desiredSize === 1;
}

function viewOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** The bytes of what a web stream may carry. Throws a `TypeError` for anything else. */
function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  if (!ArrayBuffer.isView(chunk)) throw notBytes(chunk);
  return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

/** For what is given instead of bytes. */
export function notBytes(value: unknown): TypeError {
  return new TypeError(`Expected a Uint8Array, got ${show(value)}`);
}
