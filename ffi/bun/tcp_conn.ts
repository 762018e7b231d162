/**
 * A connection of Bun's `node:net` as the contract in `tcp.ts` wants it: no event, but reads and
 * writes that wait; half-closed until both ends are; errors kept until somebody can be told.
 *
 * @module
 */

import type { Socket } from "node:net";
import { stateError, type TcpAddr, type TcpConn, type Waiter } from "../tcp.ts";

/** A read that waits. */
interface Read extends Waiter<number | null> {
  readonly buf: Uint8Array;
}

/** A connected `net.Socket` that reads into the caller's buffer. */
export class Conn implements TcpConn {
  readonly localAddr: TcpAddr;
  readonly remoteAddr: TcpAddr;
  readonly #socket: Socket;
  readonly #reads: Read[] = [];
  readonly #writes = new Set<Waiter<number>>();
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
      this.#reads.push({ buf, resolve, reject });
      // Bytes are left to the kernel until somebody reads for the first time.
      if (this.#socket.listenerCount("readable") === 0) this.#socket.on("readable", this.#serve);
      this.#serve();
    });
  }

  write(buf: Uint8Array): Promise<number> {
    const failure = this.#takeFailure();
    if (failure !== null) return Promise.reject(failure);
    if (!this.#writable || this.#socket.destroyed) return Promise.reject(brokenPipeError());
    return this.#wait((done) => this.#socket.write(buf, done), buf.byteLength);
  }

  async closeWrite(): Promise<void> {
    if (!this.#writable || this.#socket.destroyed) return;
    this.#writable = false;
    await this.#wait((done) => this.#socket.end(done), 0);
  }

  close(): void {
    const waiters = [...this.#reads, ...this.#writes];
    this.#reads.length = 0;
    this.#writes.clear();
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
      const { buf, resolve, reject } = this.#reads[0]!;
      const count = Math.min(buf.byteLength, this.#socket.readableLength);
      if (count > 0) {
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

  #wait(start: (done: (error?: Error | null) => void) => void, result: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      this.#writes.add(waiter);
      this.#follow();
      start((error) => {
        if (!this.#writes.delete(waiter)) return;
        this.#follow();
        if (error) reject(this.#takeFailure() ?? brokenPipeError());
        else resolve(result);
      });
    });
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
    if (this.#refed && this.#reads.length + this.#writes.size > 0) this.#socket.ref();
    else this.#socket.unref();
  }
}

function brokenPipeError(): Error {
  return stateError("BrokenPipe", "EPIPE", "Broken pipe");
}
