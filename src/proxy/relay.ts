/**
 * Carrying bytes between the two sides of a connection, both ways, until both have ended.
 *
 * The two descriptors are watched rather than read: nothing is held for a side that is silent, and one
 * buffer of this thread serves all connections. What the other side has no room for is kept, and no
 * more is read until it has gone: a slow reader costs at most one buffer, or one pipe. Where much comes
 * at once, the kernel moves it from one TCP socket to the other, through a pipe.
 *
 * @module
 */

import { ERRNO } from "../../ffi/linux/errno.ts";
import { reactor } from "../poll/reactor.ts";
import { takeSocketError } from "../poll/socket.ts";
import type { Stream } from "../poll/fd.ts";
import { givePipe, isPlainTcp, leavePipes, type Pipe, takePipe, usePipes } from "./pipes.ts";
import { breaksConnection, systemError } from "../error.ts";

/** The sides of a connection. */
export type SideName = "client" | "backend";

/** How a relay ended; if a side was reset, which one and why. */
export type Outcome = null | { readonly side: SideName; readonly error: unknown };

/** What carries bytes. */
export interface Relay {
  /** Carries until the end. Never rejects. */
  run(): Promise<Outcome>;
  /** Carries nothing more; `run` resolves with this. The connections are left as they are. */
  stop(outcome: Outcome): void;
  /** A side accepts no more bytes, as if a write had failed. Data that it sent before is forwarded. */
  giveUp(outcome: NonNullable<Outcome>): void;
}

/** What a relay tells, and what goes ahead of the client's bytes. */
export interface RelayJob {
  /** Bytes for the backend before all others. */
  readonly head: Uint8Array;
  /** Called when bytes have been read from a side. */
  onBytes(side: SideName, count: number): void;
  /** Called when bytes have been written to a side. */
  onProgress(): void;
  /** Called when the stream of the first side has ended. */
  onEnd(): void;
  /** Called when a side was reset and the data that it sent before is still being forwarded. */
  onBreak(outcome: NonNullable<Outcome>): void;
}

/** Bytes that are read at once. */
export const BUFFER_SIZE: number = 128 * 1024;

const WOULD_BLOCK = -ERRNO.EAGAIN;
const NOTHING = new Uint8Array(0);

let shared: Uint8Array | undefined;

/** One way through the relay. */
interface Way {
  readonly from: Stream;
  readonly to: Stream;
  readonly source: SideName;
  /** Bytes that have been read and not been written. */
  rest: Uint8Array;
  /** Whether so much comes that the kernel is to move it by itself. */
  isBulk: boolean;
  /** What holds bytes between the two descriptors, while it does. */
  pipe: Pipe | null;
  /** The source has ended its stream. */
  hasEnded: boolean;
  /** Nothing more goes this way. */
  isOver: boolean;
}

/** {@linkcode Relay} between descriptors. */
export class KernelRelay implements Relay {
  readonly #job: RelayJob;
  readonly #ways: readonly [Way, Way];
  readonly #result: PromiseWithResolvers<Outcome> = Promise.withResolvers();
  #isOver = false;
  #isPlain: boolean | undefined;
  /** The side that was reset: data that it sent before is still forwarded. */
  #broken: Outcome = null;

  constructor(client: Stream, backend: Stream, job: RelayJob) {
    this.#job = job;
    const way = { rest: NOTHING, isBulk: false, pipe: null, hasEnded: false, isOver: false };
    this.#ways = [
      { ...way, from: client, to: backend, source: "client", rest: job.head },
      { ...way, from: backend, to: client, source: "backend" },
    ];
  }

  run(): Promise<Outcome> {
    try {
      usePipes();
      for (const { from } of this.#ways) from.watch(this.#move);
      this.#move();
    } catch (error) {
      this.stop({ side: "client", error });
    }
    return this.#result.promise;
  }

  stop(outcome: Outcome): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const { from, pipe } of this.#ways) {
      if (from.fd >= 0) from.watch(null);
      pipe?.close();
    }
    leavePipes();
    this.#result.resolve(outcome);
  }

  giveUp(outcome: NonNullable<Outcome>): void {
    if (this.#isOver || this.#broken !== null) return;
    this.#breakOff(this.#ways.find(({ source }) => source !== outcome.side)!, outcome);
    this.#move();
  }

  /** Moves what can be moved. An arrow function: it is what watches. */
  readonly #move = (): void => {
    this.#carry(this.#ways[0]);
    this.#carry(this.#ways[1]);
    if (this.#areOver) this.stop(this.#broken);
  };

  #carry(way: Way): void {
    const { from, to } = way;
    while (!this.#isOver && !way.isOver) {
      if (!to.writable) return this.#lookForReset(from, way.source);
      if (way.rest.byteLength > 0) {
        this.#write(way, way.rest);
      } else if (way.pipe !== null) {
        this.#drain(way, way.pipe);
      } else if (way.hasEnded) {
        this.#end(way);
      } else {
        if (!from.readable) return;
        if (!reactor().mayTry()) return from.watchAgain();
        if (way.isBulk) this.#fill(way);
        else this.#read(way);
      }
    }
  }

  #read(way: Way): void {
    const buf = shared ??= new Uint8Array(BUFFER_SIZE);
    const count = way.from.tryRead(buf);
    if (count === WOULD_BLOCK) return;
    if (count < 0) return this.#onReadError(way, systemError("recv", count));
    if (count === 0) return this.#onEnd(way);
    this.#job.onBytes(way.source, count);
    way.isBulk = count === buf.byteLength && this.#canSplice;
    this.#write(way, count === buf.byteLength ? buf : buf.subarray(0, count));
  }

  /** Has the kernel move bytes into a pipe; they come out of it by `#drain`. */
  #fill(way: Way): void {
    const pipe = takePipe();
    if (pipe === null) {
      way.isBulk = false;
      return;
    }
    const count = pipe.fill(way.from.fd);
    if (count > 0) {
      way.pipe = pipe;
      this.#job.onBytes(way.source, count);
      return;
    }
    givePipe(pipe);
    way.isBulk = false;
    // What else there is to know of the descriptor, a read tells.
    if (count === WOULD_BLOCK) way.from.readable = false;
    else if (count === 0) this.#onEnd(way);
    // The kernel tells an error once: a read would take what is behind it for the end of the stream.
    else if (breaksConnection(-count)) this.#onReadError(way, systemError("splice", count));
  }

  #drain(way: Way, pipe: Pipe): void {
    const count = pipe.drain(way.to.fd);
    if (count === WOULD_BLOCK) {
      way.to.writable = false;
    } else if (count < 0) {
      this.#onWriteError(way, systemError("splice", count));
    } else {
      this.#job.onProgress();
      if (pipe.isEmpty) {
        way.pipe = null;
        givePipe(pipe);
      }
    }
  }

  #onEnd(way: Way): void {
    const isFirst = !this.#ways[0].hasEnded && !this.#ways[1].hasEnded;
    if (isFirst) this.#job.onEnd();
    way.hasEnded = true;
  }

  get #areOver(): boolean {
    return this.#ways[0].isOver && this.#ways[1].isOver;
  }

  /** The kernel copies at an MPTCP socket all the same: there it does not pay. */
  get #canSplice(): boolean {
    return this.#isPlain ??= this.#ways.every(({ from }) => isPlainTcp(from.fd));
  }

  #write(way: Way, bytes: Uint8Array): void {
    const count = way.to.tryWrite(bytes);
    if (count < 0 && count !== WOULD_BLOCK) {
      return this.#onWriteError(way, systemError("send", count));
    }
    const written = Math.max(count, 0);
    if (written > 0) this.#job.onProgress();
    if (written === bytes.byteLength) way.rest = NOTHING;
    // The shared buffer serves others meanwhile: what is in it is copied, once.
    else way.rest = bytes === way.rest ? bytes.subarray(written) : bytes.slice(written);
  }

  /** The source has ended and all has been written: the destination is told. */
  #end(way: Way): void {
    way.isOver = true;
    // The second end is told by closing. It fails where the connection is broken, which reading tells.
    if (!this.#areOver && this.#broken === null) way.to.tryCloseWrite();
  }

  #onReadError(way: Way, error: unknown): void {
    this.stop(this.#broken ?? { side: way.source, error });
  }

  /** A server that refuses an upload has answered before its reset: the answer is still forwarded. */
  #onWriteError(way: Way, error: unknown): void {
    const other = way.source === "client" ? "backend" : "client";
    if (this.#broken !== null) return this.stop(this.#broken);
    this.#breakOff(way, { side: other, error });
    way.to.readable = true;
    way.to.watchAgain();
  }

  /** A side that is not read because the other is slow reports a reset by its event alone. */
  #lookForReset(from: Stream, side: SideName): void {
    if (!from.ended || this.#broken !== null) return;
    const error = takeSocketError(from.fd);
    if (error === 0) return;
    const back = this.#ways.find(({ to }) => to === from)!;
    this.#breakOff(back, { side, error: systemError("recv", error) });
    from.readable = true;
  }

  /** Nothing more is sent to a side that was reset. */
  #breakOff(way: Way, outcome: NonNullable<Outcome>): void {
    this.#broken = outcome;
    way.isOver = true;
    way.rest = NOTHING;
    way.pipe?.close();
    way.pipe = null;
    this.#job.onBreak(outcome);
  }
}
