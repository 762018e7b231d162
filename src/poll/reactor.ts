/**
 * Who waits: brings together those that wait, the epoll that has events, and the event loop.
 *
 * A {@linkcode Source} asks {@linkcode Reactor.mayTry}, tries its system call, and comes here when
 * that would block. The reactor then runs in *rounds*, each in a turn of the event loop of its own,
 * with a look at the epoll that does not block. `pace.ts` says whether the next round comes at once,
 * after a pause, or when the waker calls. When nobody waits, nothing is scheduled, armed or outstanding.
 *
 * @module
 */

import { clearTimeout, nextTurn, now, setTimeout, type Timer } from "../../ffi/event_loop.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK } from "../../ffi/linux/abi.ts";
import { createWaker, libc } from "../../ffi/runtime.ts";
import type { Waker } from "../../ffi/waker.ts";
import { PAUSE } from "./coalescing.ts";
import { Epoll, type Source } from "./epoll.ts";
import { Pace, type Waiters } from "./pace.ts";
import { check } from "../error.ts";

/** Idle: nobody waits. Running: a round is scheduled. Pausing: at a time. Armed: the waker blocks. */
type State = "idle" | "running" | "pausing" | "armed";

/** The reactor of a thread; see the module's documentation. */
export class Reactor implements Waiters {
  readonly pace: Pace = new Pace();
  readonly #epoll = new Epoll();
  readonly #waker: Waker;
  #refed = 0;
  #unrefed = 0;
  #deferred: Source[] = [];
  #state: State = "idle";
  #timer: Timer | undefined;
  /** When the waker was armed, in milliseconds. */
  #armedAt = 0;

  constructor() {
    const eventfd = libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (eventfd < 0) libc().close(this.#epoll.fd);
    this.#waker = createWaker(this.#epoll.fd, check("eventfd", eventfd), this.#onWake);
  }

  get refed(): number {
    return this.#refed;
  }

  get unrefed(): number {
    return this.#unrefed;
  }

  get hasDeferred(): boolean {
    return this.#deferred.length > 0;
  }

  /**
   * Whether an operation may be tried at once. If not, others go first:
   * {@linkcode defer} it.
   */
  mayTry(): boolean {
    return this.pace.mayTry();
  }

  /** Has the epoll know a source before anybody waits: what it knows is closed when its thread is gone. */
  own(source: Source): void {
    this.#epoll.add(source);
  }

  /** Has `source.onReady` called when an event comes. Each call needs an {@linkcode end}. */
  begin(source: Source): void {
    this.#epoll.add(source);
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
    this.pace.onSent();
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

  /** Forgets a source whose descriptor is about to be closed. */
  forget(source: Source): void {
    this.#epoll.forget(source);
  }

  /** Forgets a source whose descriptor will live on in other hands. */
  release(source: Source): void {
    this.#epoll.remove(source);
  }

  /**
   * Resolves when nothing of a wait that is over is outstanding. Deno learns of a finished call up to
   * 31 turns of its event loop later, and its test sanitizer looks at fewer.
   */
  async quiet(): Promise<void> {
    if (this.#state !== "armed") await this.#waker.settled();
  }

  get #waiting(): boolean {
    return this.#refed + this.#unrefed > 0;
  }

  /** Brings the state in line with who waits. */
  #follow(): void {
    if (this.#state === "running") return;
    const waiting = this.#waiting;
    if (this.#state === "idle") {
      if (!waiting) return;
      if (this.pace.isSlow) this.#arm();
      else this.#run();
    } else if (this.#state === "pausing") {
      if (!waiting) this.#endPause();
    } else {
      if (waiting) this.#waker.arm(this.#refed > 0);
      else this.#waker.disarm();
      if (!waiting) this.#state = "idle";
    }
  }

  #run(): void {
    this.#state = "running";
    this.pace.onStart();
    nextTurn(this.#round);
  }

  /** One look at the epoll. An arrow function: it is handed to `nextTurn`. */
  readonly #round = (): void => {
    const afterPause = this.#state === "pausing";
    this.#state = "running";
    const count = this.#epoll.take();
    this.pace.onLook(count, afterPause);
    if (count > 0) this.#epoll.dispatch(count);
    if (this.#deferred.length > 0) this.#resume();
    this.pace.onTold(this);
    // Answers to received data must not wait until the waker is armed.
    if (this.pace.mayAnswer) queueMicrotask(this.#proceed);
    else this.#proceed();
  };

  /** Goes on to the next round, to the waker, or to nothing. */
  readonly #proceed = (): void => {
    switch (this.pace.next(this)) {
      case "look":
        return nextTurn(this.#round);
      case "skip":
        return nextTurn(this.#proceed);
      case "pause":
        this.#state = "pausing";
        this.#timer = setTimeout(this.#round, PAUSE);
        return;
      case "sleep":
        if (this.#waiting) return this.#arm();
        this.#state = "idle";
        this.#waker.disarm();
    }
  };

  #endPause(): void {
    clearTimeout(this.#timer);
    this.#run();
  }

  #arm(): void {
    this.#state = "armed";
    this.pace.onSleep();
    this.#armedAt = now();
    this.#waker.arm(this.#refed > 0);
  }

  readonly #onWake = (): void => {
    if (this.#state !== "armed") return;
    this.pace.onWake(now() - this.#armedAt, this.#waker.settleTurns);
    this.#state = "running";
    this.#round();
  };

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

/** Puts another reactor in place, `undefined` for one that is made on first use; returns the one before. */
export function replaceReactor(replacement: Reactor | undefined): Reactor | undefined {
  const before = instance;
  instance = replacement;
  return before;
}
