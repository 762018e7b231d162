/**
 * The waker that needs no thread: it puts the epoll into the one that the runtime itself waits in.
 *
 * Deno and Bun each wait for their sockets in an epoll, which knows a socket by a word of data. The
 * runtime is given one end of a socket pair, the *wake socket*, to read. The place of the wake socket
 * in the runtime's epoll is then given to our epoll, under the same word: when that has events the
 * runtime believes that the wake socket has, reads it, finds the byte that {@linkcode LoopWaker.arm}
 * has put there, and calls us as it calls everybody who reads a socket. A thread that polls would cost
 * two switches of threads more.
 *
 * That is all that is assumed of a runtime. The place is looked up in /proc, and the whole is tried
 * before anything relies on it.
 *
 * The word may be an address in the runtime's memory, and is valid as long as the runtime reads the
 * wake socket. So the place is given back before the wake socket is closed. A thread that can end
 * without notice, as a Worker can, needs {@linkcode LoopWakerOptions.hold}: the runtime then
 * owns the descriptor that has the place, and gives it back itself.
 *
 * @module
 */

import { clearTimeout, setTimeout } from "node:timers";
import {
  AF_UNIX,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  epoll_event,
  EPOLLIN,
  EPOLLONESHOT,
  EPOLLOUT,
  O_CLOEXEC,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../linux/abi.ts";
import type { Libc } from "../linux/libc.ts";
import { addBelonging } from "../linux/owner.ts";
import { nextTurn } from "../turn.ts";
import type { Waker } from "../waker.ts";
import { findRegistrations, mayBeGuest, RegistrationError } from "./registrations.ts";

/** A socket that the runtime reads. */
export interface WatchedSocket {
  /** Reading keeps the process alive. */
  ref(): void;
  /** Reading does not: so it begins. */
  unref(): void;
  close(): void;
}

/** What a {@linkcode LoopWaker} is made of. */
export interface LoopWakerOptions {
  readonly libc: Libc;
  /** The epoll that is waited for. */
  readonly epfd: number;
  readonly wake: () => void;
  /** Turns of the event loop in which the runtime may read the socket once more after `onData`. */
  readonly settleTurns: number;
  /** Has the runtime read a socket; `onData` is called for whatever it reads. */
  readonly watch: (fd: number, onData: () => void) => Promise<WatchedSocket>;
  /**
   * Has the runtime own a descriptor of a socket, without reading it: it takes it out of its epoll and
   * closes it when the thread ends, however that ends.
   */
  readonly hold?: (fd: number) => { close(): void };
  /** Has `action` called when the event loop ends. */
  readonly onUnload: (action: () => void) => void;
}

/** How long the runtime may take to read when it is tried, in milliseconds. */
const TRIAL_TIMEOUT = 200;

/** Makes one and tries it; `null` where it does not work. */
export async function createLoopWaker(options: LoopWakerOptions): Promise<LoopWaker | null> {
  const { libc } = options;
  if (!mayBeGuest(libc)) return null;
  const pair = openPair(libc);
  if (pair === null) return null;
  const [wakeFd, signalFd] = pair;
  const waker = new LoopWaker(options, signalFd);
  if (await waker.start(wakeFd)) return waker;
  libc.close(signalFd);
  return null;
}

function openPair(libc: Libc): [number, number] | null {
  const fds = new Int32Array(2);
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  if (libc.socketpair(AF_UNIX, type, 0, fds) < 0) return null;
  return [fds[0]!, fds[1]!];
}

/** See the module's documentation. */
export class LoopWaker implements Waker {
  readonly settleTurns: number;
  readonly #options: LoopWakerOptions;
  /** The other end of the wake socket, which the byte is written to. */
  readonly #signalFd: number;
  readonly #byte = new Uint8Array(1);
  readonly #event = new Uint8Array(epoll_event.size);
  readonly #eventView = new DataView(this.#event.buffer);
  /** The place of the wake socket. */
  #runtimeEpfd = -1;
  #data = 0n;
  #wakeSocket: WatchedSocket | null = null;
  /** A descriptor of our epoll, which the runtime owns where it can. */
  #epfd: number;
  #held: { close(): void } | null = null;
  #onRead: () => void;
  /** Whether the byte is there. */
  #hasByte = false;
  #armed = false;
  #refed = false;

  constructor(options: LoopWakerOptions, signalFd: number) {
    this.#options = options;
    this.settleTurns = options.settleTurns;
    this.#epfd = options.epfd;
    this.#signalFd = signalFd;
    this.#onRead = () => this.#wake();
  }

  /** Takes the place in the runtime's epoll; false if that does not work. */
  async start(wakeFd: number): Promise<boolean> {
    const { onUnload, epfd } = this.#options;
    const wakeSocket = await this.#watch(wakeFd);
    if (wakeSocket === null) return false;
    // A runtime may begin to read in the next turn of its loop.
    await turn();
    if (this.#findPlace(wakeFd) && this.#hold() && await this.#take(wakeFd)) {
      this.#wakeSocket = wakeSocket;
      for (const fd of [wakeFd, this.#signalFd]) addBelonging(this.#options.libc, epfd, fd);
      onUnload(() => this.close());
      return true;
    }
    this.#held?.close();
    wakeSocket.close();
    return false;
  }

  /** Has the runtime read the wake socket; `null` if it will not. */
  async #watch(wakeFd: number): Promise<WatchedSocket | null> {
    try {
      return await this.#options.watch(wakeFd, () => {
        this.#hasByte = false;
        this.#onRead();
      });
    } catch {
      this.#options.libc.close(wakeFd);
      return null;
    }
  }

  #findPlace(wakeFd: number): boolean {
    try {
      const [first, ...others] = findRegistrations(this.#options.libc, wakeFd);
      // One epoll may have two descriptors. Two epolls would have a word each.
      if (others.some(({ data }) => data !== first!.data)) return false;
      this.#runtimeEpfd = first!.epfd;
      this.#data = first!.data;
      return true;
    } catch (error) {
      if (error instanceof RegistrationError) return false;
      throw error;
    }
  }

  /** Has the runtime own a descriptor of our epoll, by one of a socket that it was given. */
  #hold(): boolean {
    const { libc, hold, epfd } = this.#options;
    if (hold === undefined) return true;
    const pair = openPair(libc);
    if (pair === null) return false;
    const [heldFd, otherFd] = pair;
    libc.close(otherFd);
    try {
      this.#held = hold(heldFd);
    } catch {
      libc.close(heldFd);
      return false;
    }
    if (libc.dup3(epfd, heldFd, O_CLOEXEC) < 0) return false;
    this.#epfd = heldFd;
    return true;
  }

  arm(ref: boolean): void {
    if (ref !== this.#refed) {
      this.#refed = ref;
      if (ref) this.#wakeSocket!.ref();
      else this.#wakeSocket!.unref();
    }
    if (this.#armed) return;
    this.#armed = true;
    this.#enable(this.#epfd);
  }

  disarm(): void {
    if (this.#refed) this.#wakeSocket!.unref();
    this.#refed = false;
    if (this.#armed) this.#control(EPOLL_CTL_MOD, this.#epfd, EPOLLONESHOT);
    this.#armed = false;
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  /** Gives the place back. */
  close(): void {
    this.#control(EPOLL_CTL_DEL, this.#epfd, 0);
    this.#wakeSocket!.close();
    this.#held?.close();
    this.#options.libc.close(this.#signalFd);
  }

  #wake(): void {
    if (!this.#armed) return;
    this.#armed = false;
    this.#options.wake();
  }

  async #take(wakeFd: number): Promise<boolean> {
    // The byte must not wake the runtime by itself.
    if (this.#control(EPOLL_CTL_DEL, wakeFd, 0) < 0) return false;
    return await this.#try() && this.#control(EPOLL_CTL_ADD, this.#epfd, EPOLLONESHOT) === 0;
  }

  /** Wakes by an epoll that has an event from the beginning: the other end can be written. */
  async #try(): Promise<boolean> {
    const { libc } = this.#options;
    const epfd = libc.epoll_create1(EPOLL_CLOEXEC);
    this.#eventView.setUint32(epoll_event.events, EPOLLOUT, true);
    libc.epoll_ctl(epfd, EPOLL_CTL_ADD, this.#signalFd, this.#event);
    this.#control(EPOLL_CTL_ADD, epfd, EPOLLONESHOT);
    const read = this.#nextRead();
    this.#enable(epfd);
    const works = await read;
    for (let i = 0; i < this.settleTurns; i++) await turn();
    this.#control(EPOLL_CTL_DEL, epfd, 0);
    libc.close(epfd);
    return works;
  }

  #nextRead(): Promise<boolean> {
    const wake = this.#onRead;
    return new Promise((resolve) => {
      const end = (works: boolean) => {
        clearTimeout(timer);
        this.#onRead = wake;
        resolve(works);
      };
      const timer = setTimeout(end, TRIAL_TIMEOUT, false);
      timer.unref();
      this.#onRead = () => end(true);
    });
  }

  /** From now on the next event of `epfd` wakes the runtime, once. */
  #enable(epfd: number): void {
    if (!this.#hasByte) this.#options.libc.write(this.#signalFd, this.#byte);
    this.#hasByte = true;
    this.#control(EPOLL_CTL_MOD, epfd, EPOLLIN | EPOLLONESHOT);
  }

  #control(op: number, fd: number, events: number): number {
    this.#eventView.setUint32(epoll_event.events, events, true);
    this.#eventView.setBigUint64(epoll_event.data, this.#data, true);
    return this.#options.libc.epoll_ctl(this.#runtimeEpfd, op, fd, this.#event);
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => nextTurn(resolve));
}
