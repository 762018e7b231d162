/**
 * Wakers in the simulated world: one that does all that the contract allows, and the project's own
 * waker of threads on a simulated thread.
 *
 * @module
 */

import { type PollThread, ThreadWaker } from "../../ffi/thread_waker.ts";
import type { CreateWaker } from "../../ffi/runtime.ts";
import { StagedWaker, type Waker } from "../../ffi/waker.ts";
import type { Epoll, File } from "./file.ts";
import type { Kernel } from "./kernel.ts";
import type { Event, World } from "./world.ts";

/** Which waker a schedule has. */
export type WakerKind = "ideal" | "thread" | "staged";

/** What wakers are doing, for those who look for what must never be. */
export interface WakerState {
  readonly isArmed: boolean;
  /** Whether something of a wait is outstanding in the runtime. */
  readonly isOutstanding: boolean;
}

/** Wakes late, for no reason, and once more after it was disarmed: all that the contract allows. */
class SimWaker implements Waker, WakerState {
  readonly settleTurns: number;
  readonly #world: World;
  readonly #epoll: Epoll;
  readonly #wake: () => void;
  #pending: Event | null = null;
  isArmed = false;

  constructor(world: World, epoll: Epoll, wake: () => void) {
    this.#world = world;
    this.#epoll = epoll;
    this.#wake = wake;
    this.settleTurns = world.random.pick([0, 2]);
    epoll.watchers.add(() => this.#consider(false));
  }

  get isOutstanding(): boolean {
    return false;
  }

  arm(_ref: boolean): void {
    if (this.isArmed) return;
    this.isArmed = true;
    this.#consider(this.#world.random.percent(5));
  }

  disarm(): void {
    this.isArmed = false;
    if (this.#pending === null || this.#world.random.percent(50)) return;
    this.#world.cancel(this.#pending);
    this.#pending = null;
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  #consider(forNoReason: boolean): void {
    if (!this.isArmed || this.#pending !== null) return;
    if (!forNoReason && !this.#epoll.isReadable) return;
    this.#pending = this.#world.outside(() => {
      this.#pending = null;
      this.isArmed = false;
      this.#wake();
    });
  }
}

/** A thread that blocks in `poll`, which may begin late. */
class SimThread implements PollThread, WakerState {
  readonly interval = 4;
  readonly begun: (() => Promise<void>) | null;
  readonly #world: World;
  readonly #files: readonly File[];
  readonly #onPolled: () => void;
  #isPolling = false;
  #hasBegun = false;
  #isReturning = false;

  constructor(world: World, files: readonly File[], onPolled: () => void) {
    this.#world = world;
    this.#files = files;
    this.#onPolled = onPolled;
    this.begun = world.random.percent(50)
      ? () => new Promise((resolve) => void world.outside(resolve, 1))
      : null;
    for (const file of files) file.watchers.add(() => this.#consider());
  }

  get isArmed(): boolean {
    return false;
  }

  get isOutstanding(): boolean {
    return this.#isPolling;
  }

  canPoll(ref: boolean): boolean {
    return ref;
  }

  poll(): void {
    if (this.#isPolling) throw new Error("A thread polls that polls already");
    this.#isPolling = true;
    this.#world.outside(() => {
      this.#hasBegun = true;
      this.#consider();
    });
  }

  setRef(): void {}

  settled(): Promise<void> {
    return this.#world.until(() => !this.#isPolling);
  }

  #consider(): void {
    if (!this.#hasBegun || this.#isReturning) return;
    if (!this.#files.some((file) => (file.poll() & 1) !== 0)) return;
    this.#isReturning = true;
    this.#world.outside(() => {
      this.#isPolling = this.#hasBegun = this.#isReturning = false;
      this.#onPolled();
    });
  }
}

/** Makes the wakers of a schedule; `states` gets what there is to look at. */
export function wakersOf(
  kernel: Kernel,
  world: World,
  kind: WakerKind,
  states: WakerState[],
): CreateWaker {
  return (libc, epfd, eventfd, wake) => {
    const makeIdeal = (wake: () => void) => {
      const waker = new SimWaker(world, kernel.file(epfd) as Epoll, wake);
      states.push(waker);
      return waker;
    };
    const makeThread = (wake: () => void) =>
      new ThreadWaker(libc, epfd, eventfd, wake, (_fds, _count, onPolled) => {
        const files = [kernel.file(epfd)!, kernel.file(eventfd)!];
        const thread = new SimThread(world, files, onPolled);
        states.push(thread);
        return thread;
      });
    if (kind === "ideal") return makeIdeal(wake);
    if (kind === "thread") return makeThread(wake);
    const stage = { waits: world.random.int(1, 6), longWait: world.random.int(1, 20) };
    return new StagedWaker(wake, makeThread, stage, (wake) =>
      new Promise((resolve) => {
        const outcome = world.random.pick(["better", "later", "never"] as const);
        world.outside(() =>
          resolve(outcome === "better" ? makeIdeal(wake) : outcome === "later" ? "later" : null)
        );
      }));
  };
}
