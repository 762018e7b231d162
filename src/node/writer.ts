/**
 * Writing a stream to a connection.
 *
 * @module
 */

import { nextTick } from "node:process";
import { Duplex } from "node:stream";
import { MptcpError } from "../error.ts";
import { writeAll } from "../net/copy.ts";
import type { MptcpConn } from "../types.ts";
import { endedByPeer, toNodeError } from "./errors.ts";

/** A callback of a stream. */
export type Done = (error?: Error | null) => void;

/** `write` and its forms. */
export type Write = Duplex["write"];

/**
 * Sends all of a chunk.
 *
 * @param onProgress Called before, and whenever some of it has been sent.
 * @throws An error as Node's own socket would have it.
 */
export async function sendAll(
  conn: MptcpConn,
  bytes: Uint8Array,
  onProgress: () => void,
): Promise<void> {
  onProgress();
  try {
    await writeAll(conn, bytes, onProgress);
  } catch (error) {
    throw toNodeError(error, "write");
  }
}

/** Ends the outgoing direction; that of a connection that is gone has ended. */
export async function endOutgoing(conn: MptcpConn): Promise<void> {
  try {
    await conn.closeWrite();
  } catch (error) {
    const isGone = error instanceof MptcpError && ["ENOTCONN", "EBADF"].includes(error.code);
    if (!isGone) throw toNodeError(error, "shutdown");
  }
}

/** `write` of a socket whose peer has ended the connection. */
export function writeAfterEnd(
  this: Duplex,
  chunk: unknown,
  encoding?: string | Done,
  callback?: Done,
): boolean {
  if (!this.writableEnded) {
    return Duplex.prototype.write.call(this, chunk, encoding as BufferEncoding, callback);
  }
  const done = typeof encoding === "function" ? encoding : callback;
  const error = endedByPeer();
  if (done !== undefined) nextTick(done, error);
  this.destroy(error);
  return false;
}
