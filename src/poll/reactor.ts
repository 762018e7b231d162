/**
 * Readiness: one edge-triggered epoll per thread, watched only while somebody waits.
 *
 * A {@linkcode Source} tries its system call first and comes here when that would block. The reactor
 * then runs in *rounds*, each in a turn of the event loop of its own, with an `epoll_wait` that does
 * not block, and hands events to their sources. After some rounds without an event, as many as
 * `spin.ts` says, it arms the waker, which calls when there is one. What only comes in gathers for a
 * moment, see `coalescing.ts`. When nobody waits, nothing is scheduled, armed or outstanding.
 *
 * @module
 */

import { clearTimeout, setTimeout } from "node:timers";
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  epoll_event,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
} from "../../ffi/linux/abi.ts";
import { createWaker, libc } from "../../ffi/runtime.ts";
import { nextTurn } from "../../ffi/turn.ts";
import type { Waker } from "../../ffi/waker.ts";
import { Coalescing, PAUSE } from "./coalescing.ts";
import { Spin } from "./spin.ts";
import { check } from "../error.ts";

/** A descriptor whose operations may have to wait. Subclasses hold the operations. */
export abstract class Source {
  /** -1 once closed. */
  fd: number;
  /** False after a call that would have blocked: an event has to come first. */
  readable = true;
  /** As `readable`, for the outgoing direction. */
  writable = true;
  /** True after a hang-up or an error: from then on only the call itself knows. */
  ended = false;
  /** Whether waiting keeps the process alive. */
  refed = true;
  /** How many operations wait. */
  waits = 0;
  /** Names the source in the epoll; 0 while it is not registered. Descriptors get reused. */
  token = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Tries the waiting operations again. Must not throw. */
  abstract onReady(): void;
}

/** Events taken per round. */
const MAX_EVENTS = 256;
/** 32-bit words from one event to the next, and to the token within an event. */
const EVENT_WORDS = epoll_event.size / 4;
const TOKEN_WORD = epoll_event.data / 4;
const INTEREST = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
const READ_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
const WRITE_EVENTS = EPOLLOUT | EPOLLHUP | EPOLLERR;
const END_EVENTS = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

/**
 * Operations that may succeed at once between two rounds. A peer that always has data would
 * otherwise keep its reader in microtasks, and timers and other connections would never run.
 */
const BUDGET = 128;
/** Whoever got an event may answer at once, however many there are in a round. */
const BUDGET_PER_EVENT = 2;

/** Rounds on behalf of unref'ed sources, which must not hold the process for long. */
const UNREF_SPIN = 32;

/** Idle: nobody waits. Running: a round is scheduled. Pausing: at a time. Armed: the waker blocks. */
type State = "idle" | "running" | "pausing" | "armed";

/** The epoll of this thread; see the module's documentation. */
export class Reactor {
  /** Operations that may still succeed at once; callers count it down and wait at 0. */
  budget: number = BUDGET;
  /** Is told of what operations do. */
  readonly coalescing: Coalescing = new Coalescing();

  readonly #epfd: number;
  readonly #waker: Waker;
  readonly #events = new Uint8Array(MAX_EVENTS * epoll_event.size);
  readonly #words = new Uint32Array(this.#events.buffer);
  readonly #sources = new Map<number, Source>();
  readonly #event = new Uint8Array(epoll_event.size);
  readonly #eventView = new DataView(this.#event.buffer);
  #deferred: Source[] = [];
  #nextToken = 1;
  #state: State = "idle";
  #refed = 0;
  #unrefed = 0;
  #rounds = 0;
  /** Whether the last round had events, and whether any has since the waker was armed. */
  #found = false;
  #hadEvents = false;
  /** Turns until the waker may be armed again. */
  #settling = 0;
  readonly #spin = new Spin();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the waker was armed, in milliseconds. */
  #armedAt = 0;

  constructor() {
    this.#epfd = check("epoll_create1", libc().epoll_create1(EPOLL_CLOEXEC));
    const eventfd = libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (eventfd < 0) libc().close(this.#epfd);
    this.#waker = createWaker(this.#epfd, check("eventfd", eventfd), this.#onWake);
  }

  /** Has `source.onReady` called when an event comes. Each call needs an {@linkcode end}. */
  begin(source: Source): void {
    if (source.token === 0) this.#register(source);
    source.waits++;
    if (source.refed) this.#refed++;
    else this.#unrefed++;
    this.#follow();
  }

  /** As {@linkcode begin}, but `onReady` is called in the next round whatever happens. */
  defer(source: Source): void {
    this.begin(source);
    this.again(source);
  }

  /** Has the `onReady` of a source that waits called in the next round, whatever happens. */
  again(source: Source): void {
    this.#deferred.push(source);
    if (this.#state === "pausing") this.#endPause();
    if (this.#state !== "armed") return;
    this.#waker.disarm();
    this.#run();
  }

  /** Somebody may wait for an answer: nothing gathers any longer. */
  expectAnswer(): void {
    this.coalescing.reset();
    if (this.#state === "pausing") this.#endPause();
  }

  /** One operation of `source` does not wait any more. */
  end(source: Source): void {
    source.waits--;
    if (source.refed) this.#refed--;
    else this.#unrefed--;
    this.#follow();
  }

  /** Makes the waits of `source` keep the process alive, or not. */
  setRef(source: Source, refed: boolean): void {
    if (source.refed === refed) return;
    source.refed = refed;
    this.#refed += refed ? source.waits : -source.waits;
    this.#unrefed += refed ? -source.waits : source.waits;
    this.#follow();
  }

  /** Forgets a source whose descriptor is about to be closed, which ends its registration. */
  forget(source: Source): void {
    this.#sources.delete(source.token);
    source.token = 0;
  }

  /** Forgets a source whose descriptor will live on in other hands. */
  release(source: Source): void {
    if (source.token === 0) return;
    libc().epoll_ctl(this.#epfd, EPOLL_CTL_DEL, source.fd, this.#event);
    this.forget(source);
  }

  /**
   * Resolves when nothing of a wait that is over is outstanding. Deno learns of a finished call up to
   * 31 turns of its event loop later, and its test sanitizer looks at fewer.
   */
  async quiet(): Promise<void> {
    if (this.#state !== "armed") await this.#waker.settled();
  }

  #register(source: Source): void {
    const token = this.#nextToken++;
    this.#eventView.setInt32(epoll_event.events, INTEREST, true);
    this.#eventView.setBigUint64(epoll_event.data, BigInt(token), true);
    check("epoll_ctl", libc().epoll_ctl(this.#epfd, EPOLL_CTL_ADD, source.fd, this.#event));
    source.token = token;
    this.#sources.set(token, source);
  }

  /** Brings the state in line with who waits. */
  #follow(): void {
    const waiting = this.#refed + this.#unrefed > 0;
    if (this.#state === "idle") {
      if (!waiting) return;
      if (this.#spin.isPointless) this.#arm();
      else this.#run();
    } else if (this.#state === "pausing") {
      if (!waiting) this.#endPause();
    } else if (this.#state === "armed") {
      if (waiting) this.#waker.arm(this.#refed > 0);
      else this.#waker.disarm();
      if (!waiting) this.#state = "idle";
    }
  }

  #run(): void {
    this.#state = "running";
    this.#rounds = 0;
    nextTurn(this.#round);
  }

  /** One look at the epoll. An arrow function: it is handed to `nextTurn`. */
  readonly #round = (): void => {
    const afterPause = this.#state === "pausing";
    this.#state = "running";
    const count = libc().epoll_wait(this.#epfd, this.#events, MAX_EVENTS, 0);
    this.#found = count > 0;
    this.budget = BUDGET + BUDGET_PER_EVENT * Math.max(count, 0);
    this.coalescing.onLook(afterPause, this.#found);
    this.#dispatch(count);
    if (this.#deferred.length > 0) this.#resume();
    if (this.#found) this.#onEvents();
    else this.#rounds++;
    // Answers to what came must not wait until the waker is armed.
    if (this.#found && this.#spin.isPointless) queueMicrotask(this.#proceed);
    else this.#proceed();
  };

  /** Goes on to the next round, to the waker, or to nothing. */
  readonly #proceed = (): void => {
    const waiting = this.#refed + this.#unrefed > 0;
    const expecting = waiting ? this.#spins() : this.#mayWaitAgain();
    if (this.#refed > 0 && this.coalescing.isDue && this.#deferred.length === 0) {
      this.#pause();
    } else if (expecting || this.#deferred.length > 0) {
      if (this.#settling > 0) this.#settling--;
      nextTurn(this.#round);
    } else if (this.#settling > 0) {
      this.#settling--;
      nextTurn(this.#proceed);
    } else if (waiting) {
      this.#arm();
    } else {
      this.#state = "idle";
      this.#waker.disarm();
    }
  };

  #pause(): void {
    this.#state = "pausing";
    this.#settling = 0;
    this.#timer = setTimeout(this.#round, PAUSE);
    this.coalescing.onPause();
  }

  #endPause(): void {
    clearTimeout(this.#timer);
    this.#run();
  }

  #arm(): void {
    this.#state = "armed";
    this.#hadEvents = false;
    this.#armedAt = performance.now();
    this.#waker.arm(this.#refed > 0);
  }

  /** Whoever got an event has had no turn yet to wait for the next. */
  #mayWaitAgain(): boolean {
    return this.#found && this.#rounds <= UNREF_SPIN && !this.#spin.isPointless;
  }

  #spins(): boolean {
    if (this.#spin.isPointless) return false;
    if (this.#refed > 0) return this.#rounds <= this.#spin.looks;
    return this.#hadEvents && this.#rounds <= UNREF_SPIN;
  }

  #onEvents(): void {
    if (this.#rounds > 0) this.#spin.onFound();
    this.#hadEvents = true;
    // Rounds that serve unref'ed sources alone are counted all the same: they have to end.
    this.#rounds = this.#refed > 0 ? 0 : this.#rounds + 1;
  }

  readonly #onWake = (): void => {
    if (this.#state !== "armed") return;
    const sleep = performance.now() - this.#armedAt;
    this.#spin.onSlept(sleep);
    this.coalescing.onSlept(sleep);
    this.#settling = this.#waker.settleTurns;
    this.#state = "running";
    this.#rounds = 0;
    this.#round();
  };

  #dispatch(count: number): void {
    const words = this.#words;
    for (let i = 0, at = 0; i < count; i++, at += EVENT_WORDS) {
      const token = words[at + TOKEN_WORD]! + words[at + TOKEN_WORD + 1]! * 2 ** 32;
      const source = this.#sources.get(token);
      // Closed by what an earlier event of this batch has led to.
      if (source === undefined) continue;
      const events = words[at]!;
      if (events & READ_EVENTS) source.readable = true;
      if (events & WRITE_EVENTS) source.writable = true;
      if (events & END_EVENTS) source.ended = true;
      if (source.waits > 0) source.onReady();
    }
  }

  #resume(): void {
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const source of deferred) {
      if (source.waits > 0) source.onReady();
    }
  }
}

let instance: Reactor | undefined;

/** The reactor of this thread, made on first use. */
export function reactor(): Reactor {
  return instance ??= new Reactor();
}
