/**
 * The waker that needs no thread: it puts the epoll into the one that the runtime itself waits in.
 *
 * Deno and Bun each wait for their sockets in an epoll, which knows a socket by a word of data. The
 * runtime is given one end of a socket pair, the *bell*, to read. The bell's place in the runtime's
 * epoll is then given to our epoll, under the same word: when that has events the runtime believes
 * that the bell has, reads it, finds the byte that {@linkcode LoopWaker.arm} has put there, and
 * calls us as it calls everybody who reads a socket. A thread that polls would cost two switches of
 * threads more.
 *
 * That is all that is assumed of a runtime. The place is looked up in /proc, and the whole is tried
 * before anything relies on it.
 *
 * The word may be an address in the runtime's memory, and is valid as long as the runtime reads the
 * bell. So the place is given back before the bell is closed, which is when the event loop ends; and
 * a thread that can be terminated at any time does not do this.
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
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../linux/abi.ts";
import type { Libc } from "../linux/libc.ts";
import { readRegistrations, socketInode } from "../linux/procfs.ts";
import { nextTurn } from "../turn.ts";
import type { Waker } from "../waker.ts";

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
  /** Has `action` called when the event loop ends. */
  readonly onUnload: (action: () => void) => void;
}

/** Where the runtime's epoll has a socket. */
interface Place {
  readonly epfd: number;
  /** What the runtime knows it by. */
  readonly data: bigint;
}

/** Descriptors below this are looked at; a runtime opens its epoll when it starts. */
const MAX_EPFD = 256;
/** How long the bell may take to ring when it is tried, in milliseconds. */
const TRIAL_TIMEOUT = 200;

/** Makes one and tries it; `null` where it does not work. */
export async function createLoopWaker(options: LoopWakerOptions): Promise<LoopWaker | null> {
  const fds = new Int32Array(2);
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  if (options.libc.socketpair(AF_UNIX, type, 0, fds) < 0) return null;
  const [bellFd, ropeFd] = fds as unknown as [number, number];
  const waker = new LoopWaker(options, ropeFd);
  if (await waker.start(bellFd)) return waker;
  options.libc.close(ropeFd);
  return null;
}

/** See the module's documentation. */
export class LoopWaker implements Waker {
  readonly settleTurns: number;
  readonly #options: LoopWakerOptions;
  /** The other end of the bell, which the byte is written to. */
  readonly #ropeFd: number;
  readonly #byte = new Uint8Array(1);
  readonly #event = new Uint8Array(epoll_event.size);
  readonly #eventView = new DataView(this.#event.buffer);
  #place: Place = { epfd: -1, data: 0n };
  #bell: WatchedSocket | null = null;
  #onRing: () => void;
  /** Whether the byte is there. */
  #loaded = false;
  #armed = false;
  #refed = false;

  constructor(options: LoopWakerOptions, ropeFd: number) {
    this.#options = options;
    this.settleTurns = options.settleTurns;
    this.#ropeFd = ropeFd;
    this.#onRing = () => this.#wake();
  }

  /** Takes its place in the runtime's epoll; false if that does not work. */
  async start(bellFd: number): Promise<boolean> {
    const { onUnload, libc } = this.#options;
    const bell = await this.#hang(bellFd);
    if (bell === null) return false;
    // A runtime may begin to read in the next turn of its loop.
    await turn();
    const place = findPlace(libc, bellFd);
    if (place !== null && await this.#take(place, bellFd)) {
      this.#bell = bell;
      onUnload(() => this.close());
      return true;
    }
    bell.close();
    return false;
  }

  /** Has the runtime read the bell; `null` if it will not. */
  async #hang(bellFd: number): Promise<WatchedSocket | null> {
    try {
      return await this.#options.watch(bellFd, () => {
        this.#loaded = false;
        this.#onRing();
      });
    } catch {
      this.#options.libc.close(bellFd);
      return null;
    }
  }

  arm(ref: boolean): void {
    if (ref !== this.#refed) {
      this.#refed = ref;
      if (ref) this.#bell!.ref();
      else this.#bell!.unref();
    }
    if (this.#armed) return;
    this.#armed = true;
    this.#tighten(this.#options.epfd);
  }

  disarm(): void {
    if (this.#refed) this.#bell!.unref();
    this.#refed = false;
    if (this.#armed) this.#control(EPOLL_CTL_MOD, this.#options.epfd, EPOLLONESHOT);
    this.#armed = false;
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  /** Gives the place back. */
  close(): void {
    this.#control(EPOLL_CTL_DEL, this.#options.epfd, 0);
    this.#bell!.close();
    this.#options.libc.close(this.#ropeFd);
  }

  #wake(): void {
    if (!this.#armed) return;
    this.#armed = false;
    this.#options.wake();
  }

  async #take(place: Place, bellFd: number): Promise<boolean> {
    this.#place = place;
    // The byte must not ring the bell by itself.
    if (this.#control(EPOLL_CTL_DEL, bellFd, 0) < 0) return false;
    return await this.#try() &&
      this.#control(EPOLL_CTL_ADD, this.#options.epfd, EPOLLONESHOT) === 0;
  }

  /** Rings the bell, by an epoll that has an event from the beginning: there is room in the rope. */
  async #try(): Promise<boolean> {
    const { libc } = this.#options;
    const epfd = libc.epoll_create1(EPOLL_CLOEXEC);
    this.#eventView.setUint32(epoll_event.events, EPOLLOUT, true);
    libc.epoll_ctl(epfd, EPOLL_CTL_ADD, this.#ropeFd, this.#event);
    this.#control(EPOLL_CTL_ADD, epfd, EPOLLONESHOT);
    const rung = this.#nextRing();
    this.#tighten(epfd);
    const works = await rung;
    for (let i = 0; i < this.settleTurns; i++) await turn();
    this.#control(EPOLL_CTL_DEL, epfd, 0);
    libc.close(epfd);
    return works;
  }

  #nextRing(): Promise<boolean> {
    const wake = this.#onRing;
    return new Promise((resolve) => {
      const end = (rung: boolean) => {
        clearTimeout(timer);
        this.#onRing = wake;
        resolve(rung);
      };
      const timer = setTimeout(end, TRIAL_TIMEOUT, false);
      timer.unref();
      this.#onRing = () => end(true);
    });
  }

  /** From now on the next event of `epfd` rings, once. */
  #tighten(epfd: number): void {
    if (!this.#loaded) this.#options.libc.write(this.#ropeFd, this.#byte);
    this.#loaded = true;
    this.#control(EPOLL_CTL_MOD, epfd, EPOLLIN | EPOLLONESHOT);
  }

  #control(op: number, fd: number, events: number): number {
    this.#eventView.setUint32(epoll_event.events, events, true);
    this.#eventView.setBigUint64(epoll_event.data, this.#place.data, true);
    return this.#options.libc.epoll_ctl(this.#place.epfd, op, fd, this.#event);
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => nextTurn(resolve));
}

/** The epoll that watches a descriptor; `null` where none is seen. */
function findPlace(libc: Libc, fd: number): Place | null {
  const inode = socketInode(libc, fd);
  if (inode === null) return null;
  for (let epfd = 0; epfd < MAX_EPFD; epfd++) {
    // Numbers get reused, and a registration may outlive its number: the inode has to be right.
    const found = readRegistrations(libc, epfd)
      ?.find((entry) => entry.fd === fd && entry.inode === inode);
    if (found !== undefined) return found;
  }
  return null;
}
