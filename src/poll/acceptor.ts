/**
 * Accepting connections on a descriptor that listens.
 *
 * What fails for one pending connection alone is passed over. What fails because this machine is short
 * of descriptors or memory is an error: the connection stays in the backlog, and whoever accepts
 * decides when to try again.
 *
 * @module
 */

import { setTimeout } from "../../ffi/event_loop.ts";
import { SOCK_CLOEXEC, SOCK_NONBLOCK, sockaddr_storage } from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { libc } from "../../ffi/runtime.ts";
import { busyError, closedError, type MptcpError, systemError } from "../error.ts";
import { Source } from "./epoll.ts";
import { type Reactor, reactor } from "./reactor.ts";

/**
 * Failures of one pending connection, not of the listener, by accept(2): take the next. Linux hands
 * on the errors of the network that the connection met before it was accepted.
 */
const RETRY: ReadonlySet<number> = new Set([
  -ERRNO.EINTR,
  -ERRNO.ECONNABORTED,
  -ERRNO.EPROTO,
  -ERRNO.ENETDOWN,
  -ERRNO.EHOSTDOWN,
  -ERRNO.ENONET,
  -ERRNO.EHOSTUNREACH,
  -ERRNO.ENETUNREACH,
]);

const WOULD_BLOCK = -ERRNO.EAGAIN;

/** Milliseconds until the next try after a failure: no event tells that a descriptor is free. */
const PAUSE = 20;

// The kernel writes here; what is kept of an address is copied.
const addr = new Uint8Array(sockaddr_storage.size);
const addrlen = new Uint32Array(1);

/** Waits for connections on a listening descriptor, and makes a `T` of each. */
export abstract class Acceptor<T> extends Source {
  readonly #reactor: Reactor = reactor();
  #waiting: PromiseWithResolvers<T> | null = null;

  constructor(fd: number) {
    super(fd);
    this.#reactor.own(this);
  }

  /** Makes what `accept` gives of a connection. Throws nothing once it has taken the descriptor over. */
  protected abstract adopt(fd: number): T;

  /** The sockaddr of the connection's other end, while `adopt` runs. */
  protected remoteSockaddr(): Uint8Array {
    return addr.slice(0, addrlen[0]);
  }

  /** The next connection. One caller at a time. */
  accept(): Promise<T> {
    if (this.fd < 0) return Promise.reject(closedError("Listener has been closed"));
    if (this.#waiting !== null) return Promise.reject(busyError());
    try {
      if (!this.readable) this.#reactor.begin(this);
      else if (!this.#reactor.mayTry()) this.#reactor.defer(this);
      else {
        const result = this.#accept4();
        if (result !== WOULD_BLOCK) return Promise.resolve(this.#adopt(result));
        this.#reactor.begin(this);
      }
    } catch (error) {
      return Promise.reject(error);
    }
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  /**
   * Hands every connection to `onConnection`, until the acceptor is closed. The next one waits in the
   * backlog until what that gives has resolved.
   */
  async acceptAll(onConnection: (connection: T) => void | Promise<void>): Promise<void> {
    for (;;) {
      try {
        await onConnection(await this.accept());
      } catch {
        if (this.fd < 0) return;
        await this.#pause();
      }
    }
  }

  override onReady(): void {
    if (!this.readable || this.#waiting === null) return;
    const result = this.#accept4();
    if (result === WOULD_BLOCK) return;
    const { resolve, reject } = this.#take();
    try {
      resolve(this.#adopt(result));
    } catch (error) {
      reject(error);
    }
  }

  /** Closes the descriptor and rejects an accept that waits. */
  close(): void {
    if (this.fd < 0) throw closedError();
    this.#reactor.forget(this);
    libc().close(this.#abandon());
  }

  /** Gives the descriptor away and rejects an accept that waits. */
  detach(): number {
    if (this.fd < 0) throw closedError();
    this.#reactor.release(this);
    return this.#abandon();
  }

  /** Makes a waiting accept keep the process alive, or not. */
  setRef(refed: boolean): void {
    this.#reactor.setRef(this, refed);
  }

  #accept4(): number {
    let result;
    do {
      addrlen[0] = addr.byteLength;
      result = libc().accept4(this.fd, addr, addrlen, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (RETRY.has(result));
    if (result === WOULD_BLOCK) this.readable = false;
    this.#reactor.expectAnswer();
    return result;
  }

  #adopt(result: number): T {
    if (result < 0) throw acceptError(result);
    return this.adopt(result);
  }

  #take(): PromiseWithResolvers<T> {
    const waiting = this.#waiting!;
    this.#waiting = null;
    this.#reactor.end(this);
    return waiting;
  }

  #abandon(): number {
    const fd = this.fd;
    this.fd = -1;
    if (this.#waiting !== null) this.#take().reject(closedError("Listener has been closed"));
    return fd;
  }

  #pause(): Promise<void> {
    return new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, PAUSE);
      if (!this.refed) timer.unref();
    });
  }
}

function acceptError(result: number): MptcpError {
  const exhausted = result === -ERRNO.EMFILE || result === -ERRNO.ENFILE;
  return systemError("accept4", result, {
    operation: "accept",
    ...(exhausted && { advice: "The connection waits in the backlog until a descriptor is free" }),
  });
}
