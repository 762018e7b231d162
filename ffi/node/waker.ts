/**
 * The waker of Node.js: that of `loop_waker.ts`; until it is made, or where it cannot be, a timer. The
 * twin of `deno/waker.ts`: same names, same order.
 *
 * @module
 */

import process from "node:process";
import { createLoopWaker, type WatchedSocket } from "../guest/loop_waker.ts";
import type { Libc } from "../linux/libc.ts";
import { TimerWaker } from "../thread_waker.ts";
import { StagedWaker, type Waker } from "../waker.ts";

/** How often the epoll is looked at while a waker is being made, in milliseconds. */
const INTERVAL = 1;

/** libuv tries once more to read a socket that it has read. */
export const SETTLE_TURNS = 2;

/** Makes the waker of `epfd`; a timer needs no interrupt. */
export function createWaker(
  libc: Libc,
  epfd: number,
  _eventfd: number,
  wake: () => void,
): Waker {
  const settleTurns = SETTLE_TURNS;
  return new StagedWaker(
    wake,
    (wake) => new TimerWaker(INTERVAL, wake),
    { waits: 1 },
    (wake) => createLoopWaker({ libc, epfd, wake, settleTurns, watch, onUnload }),
  );
}

/** Has libuv read a socket, by `node:net`, which takes descriptors. */
export function watch(fd: number, onData: () => void): Promise<WatchedSocket> {
  const { Socket } = process.getBuiltinModule("node:net");
  const callback = () => {
    onData();
    return true;
  };
  // This option of net.connect bypasses the stream; the types of `Socket` lack it.
  const options = { fd, onread: { buffer: new Uint8Array(16), callback } };
  const socket = new Socket(options);
  socket.on("error", () => {});
  socket.unref();
  return Promise.resolve({
    ref: () => void socket.ref(),
    unref: () => void socket.unref(),
    close: () => void socket.destroy(),
  });
}

/** Nothing has to own a descriptor: libuv's epoll knows a socket by its number, not by an address. */
export const hold: undefined = undefined;

/** Has `action` called when the event loop of this thread ends, unless it is terminated. */
export function onUnload(action: () => void): void {
  process.once("exit", action);
}
