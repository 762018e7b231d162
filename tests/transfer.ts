/**
 * Transfers that prove themselves: both ends send pseudo-random bytes and compare digests.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { randomFrom } from "./faults.ts";
import type { MptcpConn } from "../src/types.ts";

/** What one end sent and received. */
export interface Exchanged {
  readonly sent: string;
  readonly received: string;
  readonly receivedBytes: number;
}

const BLOCK = 1 << 20;

/**
 * Sends `length` bytes, half-closes, and at the same time reads to the end, with buffers of random
 * sizes up to 256 KiB.
 */
export async function exchange(conn: MptcpConn, length: number, seed: number): Promise<Exchanged> {
  const [sent, [received, receivedBytes]] = await Promise.all([
    sendStream(conn, length, seed),
    receiveStream(conn, seed + 1),
  ]);
  return { sent, received, receivedBytes };
}

async function sendStream(conn: MptcpConn, length: number, seed: number): Promise<string> {
  const hash = createHash("sha256");
  const random = randomFrom(seed);
  const words = new Uint32Array(BLOCK / 4);
  for (let left = length; left > 0;) {
    for (let i = 0; i < words.length; i += 64) words[i] = random() * 2 ** 32;
    const block = new Uint8Array(words.buffer, 0, Math.min(left, BLOCK));
    hash.update(block);
    for (let at = 0; at < block.byteLength;) {
      const end = at + 1 + Math.floor(random() * (256 * 1024));
      at += await conn.write(block.subarray(at, end));
    }
    left -= block.byteLength;
  }
  await conn.closeWrite();
  return hash.digest("hex");
}

async function receiveStream(conn: MptcpConn, seed: number): Promise<[string, number]> {
  const hash = createHash("sha256");
  const random = randomFrom(seed);
  let total = 0;
  for (;;) {
    const buf = new Uint8Array(1 + Math.floor(random() * (256 * 1024)));
    const count = await conn.read(buf);
    if (count === null) return [hash.digest("hex"), total];
    hash.update(buf.subarray(0, count));
    total += count;
  }
}
