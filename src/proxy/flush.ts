/**
 * Waiting until what was written has arrived: a reset drops what has not.
 *
 * @module
 */

import { clearTimeout, now, setTimeout } from "../../ffi/event_loop.ts";
import type { MptcpConn } from "../types.ts";

/** The longest wait without any progress, in milliseconds. */
export const PATIENCE = 2_000;

/** Milliseconds between two looks, at first and at most: there is no event for it. */
const INTERVAL = 10;
const MAX_INTERVAL = 100;

/** What is still on its way to a connection before the connection itself has it. */
export interface Pending {
  /** Whether more will be written. */
  isOpen(): boolean;
  /** Changes with whatever is written. */
  progress(): number;
}

/**
 * Waits until all has been written and the other end has it, or nothing has moved for two seconds, or
 * the signal is aborted.
 */
export async function flush(
  conn: MptcpConn,
  pending: Pending,
  signal: AbortSignal,
): Promise<void> {
  let before: string | null = null;
  let since = now();
  for (let interval = INTERVAL; !signal.aborted; interval = Math.min(interval * 2, MAX_INTERVAL)) {
    const isOpen = pending.isOpen();
    const { hasArrived, progress } = look(conn);
    if (!isOpen && hasArrived) return;
    const after = `${progress} ${pending.progress()}`;
    if (after !== before) since = now();
    else if (now() - since >= PATIENCE) return;
    before = after;
    await pause(interval, signal);
  }
}

/** Waits so many milliseconds, or until the signal is aborted. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onAbort = () => resolve();
  const timer = setTimeout(onAbort, milliseconds);
  signal.addEventListener("abort", onAbort, { once: true });
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", onAbort);
}

/** Whether the other end has all that was written, and what changes with all that it gets. */
function look(conn: MptcpConn): { hasArrived: boolean; progress: string } {
  if (conn.fd < 0) return { hasArrived: true, progress: "" };
  try {
    const info = conn.info();
    if (info !== null) {
      return { hasArrived: info.writeSeq === info.sndUna, progress: String(info.sndUna) };
    }
    const { unacked = 0, notsentBytes = 0, bytesAcked } = conn.subflows()[0]?.tcp ?? {};
    return { hasArrived: unacked === 0 && notsentBytes === 0, progress: String(bytesAcked) };
  } catch {
    // It is broken as well.
    return { hasArrived: true, progress: "" };
  }
}
