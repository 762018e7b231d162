/**
 * What this module takes of the event loop: timers, turns and the clock. Tests put a loop of their own
 * in its place, in which time is what they say it is.
 *
 * @module
 */

import * as timers from "node:timers";
import { nextTurn as realTurn } from "./turn.ts";

/** A timer that is set. */
export interface Timer {
  /** Has it keep the process alive, as it does at first. */
  ref(): Timer;
  /** Has it not keep the process alive. */
  unref(): Timer;
}

/** An event loop. */
export interface EventLoop {
  setTimeout(callback: () => void, milliseconds: number): Timer;
  clearTimeout(timer: Timer | undefined): void;
  /** Calls back in the next turn, once what is ready has been looked at. */
  nextTurn(callback: () => void): void;
  /** Milliseconds, by a clock that is never set. */
  now(): number;
}

let loop: EventLoop = {
  setTimeout: timers.setTimeout,
  clearTimeout: (timer) => timers.clearTimeout(timer as ReturnType<typeof timers.setTimeout>),
  nextTurn: realTurn,
  now: () => performance.now(),
};

/** Puts another event loop in place and returns the one before. */
export function replaceEventLoop(replacement: EventLoop): EventLoop {
  const before = loop;
  loop = replacement;
  return before;
}

/** Calls back after that time, once. */
export function setTimeout(callback: () => void, milliseconds: number): Timer {
  return loop.setTimeout(callback, milliseconds);
}

/** Has a timer not call back. */
export function clearTimeout(timer: Timer | undefined): void {
  loop.clearTimeout(timer);
}

/** Calls back in the next turn of the event loop, once what is ready has been looked at. */
export function nextTurn(callback: () => void): void {
  loop.nextTurn(callback);
}

/** The time in milliseconds, by a clock that is never set. */
export function now(): number {
  return loop.now();
}
