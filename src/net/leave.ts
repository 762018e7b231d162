/**
 * Closing a connection whose peer may still send.
 *
 * A TCP kernel answers data after a `close` with a reset. A closed MPTCP socket takes it until
 * its buffer is full, and the peer waits for room until net.mptcp.close_timeout is over, a minute by
 * default. So this end stays until it knows what the peer does.
 *
 * @module
 */

import { clearTimeout, setTimeout } from "../../ffi/event_loop.ts";
import { Stream } from "../poll/fd.ts";
import { resetOnClose } from "../poll/socket.ts";
import type { MptcpConn } from "../types.ts";

/** How long to wait for the peer's end, or for data, in milliseconds. */
const TIMEOUT = 300;

/**
 * Closes a connection, and resets it if the peer sends more; what waits is rejected at once. Resolves
 * when the descriptor is closed, within 300 ms. Never rejects.
 */
export async function leave(conn: MptcpConn): Promise<void> {
  if (conn.fd < 0) return;
  if (conn.protocol === "tcp") return conn.close();
  const stream = new Stream(conn.detach());
  // From a peer that is silent nothing is expected: it gets the end of this stream and no more.
  const timer = setTimeout(() => stream.close(), TIMEOUT);
  try {
    await stream.closeWrite();
    const hasEnded = await stream.read(new Uint8Array(1)) === null;
    if (!hasEnded) resetOnClose(stream.fd);
  } catch {
    // It is broken, or the time is over.
  }
  clearTimeout(timer);
  if (stream.fd >= 0) stream.close();
}
