/**
 * A connection of Bun's `node:net` as the contract in `tcp.ts` wants it: no event, but reads and
 * writes that wait; half-closed until both ends are; errors kept until somebody can be told.
 *
 * @module
 */

import type { Socket } from "node:net";
import { ChangedBufferError, stateError, type TcpAddr, type TcpConn, type Waiter } from "../tcp.ts";

/** A read that waits. */
interface Read extends Waiter<number | null> {
  readonly buf: Uint8Array;
  /** That of `buf` when the read began. */
  readonly length: number;
}

/** A write or a half-close that waits for its turn, or for the socket. */
interface Write extends Waiter<number> {
  /** `null` for a half-close. */
  readonly buf: Uint8Array | null;
  readonly length: number;
}

/** Bytes that one write takes: they are copied, so that nothing changes them on their way. */
const MAX_WRITE = 256 * 1024;

/** A connected `net.Socket` that reads into the caller's buffer. */
export class Conn implements TcpConn {
  readonly localAddr: TcpAddr;
  readonly remoteAddr: TcpAddr;
  readonly #socket: Socket;
  readonly #reads: Read[] = [];
  readonly #writes: Write[] = [];
  /** An error of the connection that nobody was told yet. */
  #failure: Error | null = null;
  #ended = false;
  #writable = true;
  #refed = true;

  /** Takes the socket over; it may still be paused. */
  constructor(socket: Socket) {
    const { localAddress = "", localPort = 0, remoteAddress = "", remotePort = 0 } = socket;
    this.localAddr = { hostname: localAddress, port: localPort };
    this.remoteAddr = { hostname: remoteAddress, port: remotePort };
    this.#socket = socket;
    socket.unref();
    socket.on("error", this.#onError);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onEnd);
  }

  read(buf: Uint8Array): Promise<number | null> {
    return new Promise((resolve, reject) => {
      this.#reads.push({ buf, length: buf.byteLength, resolve, reject });
      // Bytes are left to the kernel until somebody reads for the first time.
      if (this.#socket.listenerCount("readable") === 0) this.#socket.on("readable", this.#serve);
      this.#serve();
    });
  }

  write(buf: Uint8Array): Promise<number> {
    const failure = this.#takeFailure();
    if (failure !== null) return Promise.reject(failure);
    if (!this.#writable || this.#socket.destroyed) return Promise.reject(brokenPipeError());
    return this.#wait(buf);
  }

  async closeWrite(): Promise<void> {
    if (!this.#writable || this.#socket.destroyed) return;
    this.#writable = false;
    await this.#wait(null);
  }

  close(): void {
    const waiters = [...this.#reads, ...this.#writes];
    this.#reads.length = 0;
    this.#writes.length = 0;
    for (const { reject } of waiters) {
      reject(stateError("Interrupted", "EINTR", "operation canceled"));
    }
    this.#socket.destroy();
  }

  /** Closes what nobody has accepted, as the kernel does. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  ref(): void {
    this.#refed = true;
    this.#follow();
  }

  unref(): void {
    this.#refed = false;
    this.#follow();
  }

  setNoDelay(on: boolean): void {
    // Bun turns it on without noting so, and does nothing where its note says that it is off.
    this.#socket.setNoDelay(true);
    if (!on) this.#socket.setNoDelay(false);
  }

  setKeepAlive(on: boolean): void {
    this.#socket.setKeepAlive(on);
  }

  /** Serves the reads that wait: bytes first, then an error, then the end. */
  readonly #serve = (): void => {
    while (this.#reads.length > 0) {
      const { buf, length, resolve, reject } = this.#reads[0]!;
      const count = Math.min(length, this.#socket.readableLength);
      if (buf.byteLength < length) {
        reject(new ChangedBufferError());
      } else if (count > 0) {
        buf.set(this.#socket.read(count) as Uint8Array);
        resolve(count);
      } else if (this.#failure !== null) {
        reject(this.#takeFailure());
      } else if (this.#ended) {
        resolve(null);
      } else {
        // Asks for more, and for the end, which is not told otherwise.
        this.#socket.read(0);
        break;
      }
      this.#reads.shift();
    }
    this.#follow();
  };

  #wait(buf: Uint8Array | null): Promise<number> {
    return new Promise((resolve, reject) => {
      const length = Math.min(buf?.byteLength ?? 0, MAX_WRITE);
      this.#writes.push({ buf, length, resolve, reject });
      this.#follow();
      if (this.#writes.length === 1) this.#begin();
    });
  }

  /** Begins the first of the writes. */
  #begin(): void {
    const write = this.#writes[0];
    if (write === undefined) return;
    const { buf, length } = write;
    const onDone = (error?: Error | null) => this.#finish(write, error ?? null);
    if (buf === null) this.#socket.end(onDone);
    else if (buf.byteLength < length) this.#finish(write, new ChangedBufferError());
    else this.#socket.write(buf.slice(0, length), onDone);
  }

  #finish(write: Write, error: Error | null): void {
    if (this.#writes[0] !== write) return;
    this.#writes.shift();
    if (error === null) write.resolve(write.length);
    else if (error instanceof ChangedBufferError) write.reject(error);
    else write.reject(this.#takeFailure() ?? brokenPipeError());
    this.#begin();
    this.#follow();
  }

  readonly #onError = (error: Error): void => {
    this.#failure = error;
    this.#onEnd();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#serve();
  };

  #takeFailure(): Error | null {
    const failure = this.#failure;
    this.#failure = null;
    return failure;
  }

  #follow(): void {
    if (this.#refed && this.#reads.length + this.#writes.length > 0) this.#socket.ref();
    else this.#socket.unref();
  }
}

function brokenPipeError(): Error {
  return stateError("BrokenPipe", "EPIPE", "Broken pipe");
}
