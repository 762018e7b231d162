/**
 * A deterministic event loop: time, turns, timers and what happens elsewhere are events of one list,
 * and the seed chooses which of those that are due comes next.
 *
 * @module
 */

import type { EventLoop, Timer } from "../../ffi/event_loop.ts";
import { drainMicrotasks } from "./drain.ts";
import type { Random } from "./random.ts";

/** Turns and timers come in their order; of all else any event that is due may come first. */
type Kind = "turn" | "timer" | "outside";

/** Something that will happen. */
export class Event implements Timer {
  readonly kind: Kind;
  readonly at: number;
  readonly run: () => void;
  /** Whether it keeps the process alive. */
  refed = true;
  isOver = false;

  constructor(kind: Kind, at: number, run: () => void) {
    this.kind = kind;
    this.at = at;
    this.run = run;
  }

  ref(): this {
    this.refed = true;
    return this;
  }

  unref(): this {
    this.refed = false;
    return this;
  }
}

/** How a schedule is drawn. */
export interface WorldPace {
  /** How often a turn of the event loop comes before all else that is due, in percent. */
  readonly turnsFirst: number;
  /** The longest that one step takes, in milliseconds. */
  readonly step: number;
  /** The longest that something elsewhere takes, in milliseconds. */
  readonly delay: number;
}

/** A schedule that comes to no end. */
export class Stuck extends Error {}

/** More steps than any schedule takes: a schedule that goes on is in a circle. */
const MAX_STEPS = 300_000;

/** See the module's documentation. */
export class World implements EventLoop {
  readonly random: Random;
  readonly pace: WorldPace;
  steps = 0;
  /** Called before every step, to look for what must never be. */
  onStep: () => void = () => {};
  #time = 1000;
  #events: Event[] = [];

  constructor(random: Random, pace: WorldPace) {
    this.random = random;
    this.pace = pace;
  }

  now(): number {
    return this.#time;
  }

  setTimeout(callback: () => void, milliseconds: number): Timer {
    return this.#add("timer", Math.max(milliseconds, 1), callback);
  }

  clearTimeout(timer: Timer | undefined): void {
    if (timer instanceof Event) this.cancel(timer);
  }

  nextTurn(callback: () => void): void {
    this.#add("turn", 0, callback);
  }

  /** Has something happen outside of the event loop, after a time that the seed chooses. */
  outside(run: () => void, least = 0): Event {
    const { delay } = this.pace;
    const after = delay === 0 ? 0 : this.random.int(0, 1000) / 1000 * delay;
    return this.#add("outside", least + after, run);
  }

  /** Has something not happen. */
  cancel(event: Event): void {
    if (event.isOver) return;
    event.isOver = true;
    const index = this.#events.indexOf(event);
    if (index === 0) this.#events.shift();
    else this.#events.splice(index, 1);
  }

  /** A promise that a time has passed. */
  delay(milliseconds: number): Promise<void> {
    return new Promise((resolve) => this.#add("outside", milliseconds, resolve));
  }

  /** What keeps a process alive. */
  get alive(): readonly Event[] {
    return this.#events.filter(({ kind, refed }) => refed && kind !== "outside");
  }

  /** Whether the event loop has a turn before it. */
  get hasTurn(): boolean {
    return this.#events.some(({ kind }) => kind === "turn");
  }

  /** Waits until something is so. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.delay(0.05 + this.pace.step);
  }

  /** Runs `body` to its end, which has to come. To be called in a macrotask. */
  run<T>(body: () => Promise<T>): T {
    let outcome: { value: T } | { error: unknown } | undefined;
    body().then((value) => outcome = { value }, (error) => outcome = { error });
    drainMicrotasks();
    while (outcome === undefined) {
      if (!this.step()) {
        throw new Stuck("Nothing will happen any more, and a promise is not settled");
      }
      if (this.steps > MAX_STEPS) throw new Stuck("The schedule comes to no end");
    }
    if ("error" in outcome) throw outcome.error;
    return outcome.value;
  }

  /** Lets all happen that is to happen without timers. */
  settle(): void {
    const isFollowed = () => this.#events.some(({ kind, at }) => kind !== "timer" && at < Infinity);
    while (isFollowed()) this.step();
  }

  /** Has one event happen; false if there is none. */
  step(): boolean {
    const event = this.#choose();
    if (event === null) return false;
    this.onStep();
    this.steps++;
    this.cancel(event);
    this.#time += this.random.int(1, 1000) / 1000 * this.pace.step;
    event.run();
    drainMicrotasks();
    return true;
  }

  #add(kind: Kind, after: number, run: () => void): Event {
    const event = new Event(kind, this.#time + after, run);
    this.#events.push(event);
    return event;
  }

  #choose(): Event | null {
    let due = this.#due();
    if (due.length === 0) {
      if (this.#events.length === 0) return null;
      this.#time = Math.min(...this.#events.map(({ at }) => at));
      due = this.#due();
    }
    if (due.length === 1) return due[0]!;
    const turn = due.find(({ kind }) => kind === "turn");
    if (turn !== undefined && this.random.percent(this.pace.turnsFirst)) return turn;
    return this.random.pick(due);
  }

  /** What may come next: the first turn, the first timer, and all else that is due. */
  #due(): Event[] {
    const due: Event[] = [];
    let turn: Event | undefined;
    let timer: Event | undefined;
    for (const event of this.#events) {
      if (event.at > this.#time) continue;
      if (event.kind === "turn") turn ??= event;
      else if (event.kind === "outside") due.push(event);
      else if (timer === undefined || event.at < timer.at) timer = event;
    }
    if (turn !== undefined) due.push(turn);
    if (timer !== undefined) due.push(timer);
    return due;
  }
}
