/**
 * Reading and writing a connected descriptor: what Go's `poll.FD` is to `net.Conn`.
 *
 * An operation tries its system call at once. If that would block it waits in a queue, and the
 * reactor's event has it tried again, straight into the caller's buffer.
 *
 * @module
 */

import { MSG_NOSIGNAL, MSG_PEEK, SHUT_WR } from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { libc } from "../../ffi/runtime.ts";
import { breaksConnection, closedError, interruptedError, systemError } from "../error.ts";
import { changedError, isDetached } from "./buffer.ts";
import { Source } from "./epoll.ts";
import { type Reactor, reactor } from "./reactor.ts";
import { isInterrupted, takeSocketError } from "./socket.ts";

/** An operation that waits: the call to make again, and its promise. */
interface Operation {
  readonly syscall: "recv" | "send" | "shutdown" | "connect";
  readonly buf: Uint8Array;
  /** The length of `buf` when the operation began. */
  readonly length: number;
  readonly resolve: (value: number | null) => void;
  readonly reject: (error: unknown) => void;
}

const NO_BUF = new Uint8Array(0);
const oneByte = new Uint8Array(1);

/** The larger of two blocks is split by the kernel anyhow; an ssize_t is read as 32 bits. */
const MAX_LENGTH = 1 << 30;

const WOULD_BLOCK = -ERRNO.EAGAIN;
const PEER_WAS_DONE = -ERRNO.EPIPE;

const ZERO: Promise<number> = Promise.resolve(0);
const END: Promise<null> = Promise.resolve(null);

// One executor for all promises: a closure each would be an allocation for each wait.
let takenResolve: Operation["resolve"];
let takenReject: Operation["reject"];
function takeSettlers(resolve: Operation["resolve"], reject: Operation["reject"]): void {
  takenResolve = resolve;
  takenReject = reject;
}

/** First in, first out; almost always of one. */
class Queue {
  #first: Operation | null = null;
  #rest: Operation[] | null = null;

  get isEmpty(): boolean {
    return this.#first === null;
  }

  /** The operation whose turn it is; only while not empty. */
  get first(): Operation {
    return this.#first!;
  }

  push(operation: Operation): void {
    if (this.#first === null) this.#first = operation;
    else (this.#rest ??= []).push(operation);
  }

  shift(): Operation {
    const first = this.#first!;
    this.#first = this.#rest?.shift() ?? null;
    return first;
  }
}

/** A stream socket that is connected, or gets connected by {@linkcode Stream.connect}. */
export class Stream extends Source {
  readonly #reactor: Reactor = reactor();
  readonly #reads = new Queue();
  readonly #writes = new Queue();
  #watcher: (() => void) | null = null;
  /** What broke the connection, as `-errno`; 0 while nothing has. */
  #failure = 0;
  /** The peer's end of the stream has been read. */
  #hasEnded = false;

  /** Connects to a sockaddr. */
  async connect(sockaddr: Uint8Array): Promise<void> {
    const result = libc().connect(this.fd, sockaddr);
    this.#reactor.expectAnswer();
    if (result === 0) return;
    // An interrupted connect continues by itself, see connect(2).
    if (result !== -ERRNO.EINPROGRESS && !isInterrupted(result)) {
      throw systemError("connect", result);
    }
    this.readable = this.writable = false;
    await this.#wait(this.#writes, "connect", NO_BUF);
    this.readable = true;
  }

  /** Waits for data and reads it; `null` at the end of the stream. */
  read(buf: Uint8Array): Promise<number | null> {
    if (this.fd < 0) return Promise.reject(closedError());
    if (buf.byteLength === 0) return isDetached(buf) ? rejectChanged("recv") : ZERO;
    if (this.readable && this.#reads.isEmpty) {
      if (!this.#reactor.mayTry()) return this.#wait(this.#reads, "recv", buf, true);
      const result = this.#recv(buf, buf.byteLength);
      if (result >= 0) return result > 0 ? Promise.resolve(result) : END;
      if (result !== WOULD_BLOCK) return Promise.reject(systemError("recv", result));
    }
    return this.#wait(this.#reads, "recv", buf);
  }

  /** Writes what there is room for, waiting for some. */
  write(buf: Uint8Array): Promise<number> {
    if (this.fd < 0) return Promise.reject(closedError());
    if (buf.byteLength === 0) return isDetached(buf) ? rejectChanged("send") : ZERO;
    if (this.writable && this.#writes.isEmpty) {
      if (!this.#reactor.mayTry()) return this.#wait(this.#writes, "send", buf, true);
      const result = this.#send(buf, buf.byteLength);
      if (result >= 0) return Promise.resolve(result);
      if (result !== WOULD_BLOCK) return Promise.reject(systemError("send", result));
    }
    return this.#wait(this.#writes, "send", buf);
  }

  /** Ends the outgoing direction behind the writes that wait. */
  async closeWrite(): Promise<void> {
    if (this.fd < 0) throw closedError();
    if (!this.#writes.isEmpty) {
      await this.#wait(this.#writes, "shutdown", NO_BUF);
      return;
    }
    const result = this.tryCloseWrite();
    if (result < 0) throw systemError("shutdown", result);
  }

  /**
   * Has `watcher` called after every event, instead of operations that wait; `null` ends that. It
   * tries what `readable` and `writable` say may succeed, by the methods that never wait.
   */
  watch(watcher: (() => void) | null): void {
    if (this.#watcher === null && watcher !== null) this.#reactor.begin(this);
    if (this.#watcher !== null && watcher === null) this.#reactor.end(this);
    this.#watcher = watcher;
  }

  /** Has the watcher called in the next round: there is more to do than one round should. */
  watchAgain(): void {
    this.#reactor.again(this);
  }

  /** Reads the available data: the number of bytes, 0 at the end of the stream, or `-errno`. */
  tryRead(buf: Uint8Array): number {
    return this.#recv(buf, buf.byteLength);
  }

  /** Peeks, without reading: 1 if data is available, 0 at the end of the stream, or `-errno`. */
  tryPeek(): number {
    if (this.#hasEnded) return 0;
    let result;
    do result = libc().recv(this.fd, oneByte, 1, MSG_PEEK); while (isInterrupted(result));
    if (result === WOULD_BLOCK) this.readable = false;
    return result > 0 ? result : this.#onNothing(result);
  }

  /** Writes what there is room for: the number of bytes, or `-errno`. */
  tryWrite(buf: Uint8Array): number {
    return this.#send(buf, buf.byteLength);
  }

  /** Ends the outgoing direction: 0 or `-errno`. */
  tryCloseWrite(): number {
    return this.#judge(libc().shutdown(this.fd, SHUT_WR));
  }

  /** Closes the descriptor and rejects what waits. */
  close(): void {
    const fd = this.#takeFd();
    this.#reactor.forget(this);
    this.#interrupt();
    // Linux frees the descriptor before anything can fail: an error here is no reason to repeat.
    libc().close(fd);
  }

  /** Gives the descriptor away and rejects what waits. */
  detach(): number {
    this.#reactor.release(this);
    const fd = this.#takeFd();
    this.#interrupt();
    return fd;
  }

  /** Makes waiting operations keep the process alive, or not. */
  setRef(refed: boolean): void {
    this.#reactor.setRef(this, refed);
  }

  override onReady(): void {
    while (this.readable && !this.#reads.isEmpty && this.#retry(this.#reads));
    while (this.writable && !this.#writes.isEmpty && this.#retry(this.#writes));
    if (this.#watcher === null) return;
    this.#reactor.expectAnswer();
    this.#watcher();
  }

  /** Makes the call of the first operation again; false if it would still block. */
  #retry(queue: Queue): boolean {
    const operation = queue.first;
    const { syscall } = operation;
    const isChanged = operation.buf.byteLength < operation.length;
    const result = isChanged ? 0 : this.#call(operation);
    if (result === WOULD_BLOCK) return false;
    const { resolve, reject } = queue.shift();
    this.#reactor.end(this);
    if (isChanged) reject(changedError(syscall, 0, operation.length));
    else if (result < 0) reject(systemError(syscall, result));
    else resolve(result === 0 && syscall === "recv" ? null : result);
    return true;
  }

  #call({ syscall, buf, length }: Operation): number {
    switch (syscall) {
      case "recv":
        return this.#recv(buf, length);
      case "send":
        return this.#send(buf, length);
      case "shutdown":
        return this.tryCloseWrite();
      case "connect":
        return takeSocketError(this.fd);
    }
  }

  #recv(buf: Uint8Array, size: number): number {
    if (this.#hasEnded) return 0;
    const length = Math.min(size, MAX_LENGTH);
    let result;
    do result = libc().recv(this.fd, buf, length, 0); while (isInterrupted(result));
    if (this.#isDrained(result, length)) this.readable = false;
    if (result > 0) {
      this.#reactor.pace.onReceived(result, length);
      return result;
    }
    return this.#onNothing(result);
  }

  /** What a read of nothing means: the end of the stream, or an error. */
  #onNothing(result: number): number {
    // The peer has ended its stream, and reset the connection behind it: TCP still reads the end here,
    // MPTCP the error first (protocol.c, mptcp_check_fastclose and mptcp_recvmsg).
    if (result < 0 && result !== PEER_WAS_DONE) return this.#judge(result);
    // After a reset that a write reported, the kernel calls this the end of the stream.
    if (this.#failure === 0) this.#hasEnded = true;
    return this.#failure;
  }

  #send(buf: Uint8Array, size: number): number {
    const length = Math.min(size, MAX_LENGTH);
    let result;
    do result = libc().send(this.fd, buf, length, MSG_NOSIGNAL); while (isInterrupted(result));
    if (this.#isDrained(result, length)) this.writable = false;
    this.#reactor.expectAnswer();
    return result < 0 ? this.#judge(result) : result;
  }

  /** Remembers what broke the connection, and tells it ever after. */
  #judge(result: number): number {
    if (result >= 0 || result === WOULD_BLOCK) return result;
    if (this.#failure === 0 && breaksConnection(-result)) this.#failure = result;
    return this.#failure === 0 ? result : this.#failure;
  }

  /** A short count has drained the socket, see epoll(7), and an event reports when that changes. */
  #isDrained(result: number, length: number): boolean {
    return result === WOULD_BLOCK || (result > 0 && result < length && !this.ended);
  }

  #wait<T extends number | null>(
    queue: Queue,
    syscall: Operation["syscall"],
    buf: Uint8Array,
    soon = false,
  ): Promise<T> {
    try {
      if (soon) this.#reactor.defer(this);
      else this.#reactor.begin(this);
    } catch (error) {
      return Promise.reject(error);
    }
    const promise = new Promise<number | null>(takeSettlers);
    queue.push({
      syscall,
      buf,
      length: buf.byteLength,
      resolve: takenResolve,
      reject: takenReject,
    });
    return promise as Promise<T>;
  }

  #takeFd(): number {
    if (this.fd < 0) throw closedError();
    const fd = this.fd;
    this.fd = -1;
    return fd;
  }

  #interrupt(): void {
    this.watch(null);
    const failure = this.#failure;
    for (const queue of [this.#reads, this.#writes]) {
      while (!queue.isEmpty) {
        this.#reactor.end(this);
        const { syscall, reject } = queue.shift();
        reject(failure === 0 ? interruptedError() : systemError(syscall, failure));
      }
    }
  }
}

function rejectChanged(syscall: Operation["syscall"]): Promise<never> {
  return Promise.reject(changedError(syscall, 0));
}
