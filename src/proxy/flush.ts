/**
 * Waiting until what was written has arrived: a reset drops what has not.
 *
 * @module
 */

import { now, setTimeout } from "../../ffi/event_loop.ts";
import type { MptcpConn } from "../types.ts";

/** The longest wait, in milliseconds, and the time between two looks: there is no event for it. */
const LIMIT = 1_000;
const INTERVAL = 10;

/** Waits until the other end has all, or a second is over, or the signal is aborted. */
export async function flush(conn: MptcpConn, signal: AbortSignal): Promise<void> {
  const late = now() + LIMIT;
  while (!hasArrived(conn) && !signal.aborted && now() < late) {
    await new Promise<void>((resolve) => setTimeout(resolve, INTERVAL));
  }
}

function hasArrived(conn: MptcpConn): boolean {
  if (conn.fd < 0) return true;
  try {
    const info = conn.info();
    if (info !== null) return info.writeSeq === info.sndUna;
    const { unacked = 0, notsentBytes = 0 } = conn.subflows()[0]?.tcp ?? {};
    return unacked === 0 && notsentBytes === 0;
  } catch {
    // It is broken as well.
    return true;
  }
}
