/**
 * An end to waiting for the other end.
 *
 * @module
 */

import { PeerError } from "./protocol.ts";

/** Waits for a promise for that many milliseconds, then rejects with the message. */
export async function inTime<T>(promise: Promise<T>, limit: number, message: string): Promise<T> {
  let timer;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new PeerError(message)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
