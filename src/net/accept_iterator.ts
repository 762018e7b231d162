/**
 * `for await` over a listener.
 *
 * @module
 */

import { MptcpError } from "../error.ts";
import type { MptcpConn } from "../types.ts";

/** What makes a listener, as those of Deno, an iterator of its own connections. */
export abstract class AcceptIterator {
  abstract accept(): Promise<MptcpConn>;

  abstract [Symbol.dispose](): void;

  [Symbol.asyncIterator](): AsyncIterableIterator<MptcpConn> {
    return this as unknown as AsyncIterableIterator<MptcpConn>;
  }

  /** The next connection, as an iterator gives it; the end once the listener is closed. */
  next(): Promise<IteratorResult<MptcpConn, undefined>> {
    return this.accept().then(toResult, toEnd);
  }

  /** Closes the listener: what leaving a `for await` does. */
  return(): Promise<IteratorResult<MptcpConn, undefined>> {
    this[Symbol.dispose]();
    return Promise.resolve({ value: undefined, done: true });
  }
}

function toResult(value: MptcpConn): IteratorResult<MptcpConn, undefined> {
  return { value, done: false };
}

function toEnd(error: unknown): IteratorResult<MptcpConn, undefined> {
  if (!(error instanceof MptcpError) || error.name !== "BadResource") throw error;
  return { value: undefined, done: true };
}
