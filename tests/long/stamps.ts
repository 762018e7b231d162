/**
 * Bytes that say where they belong: 32-bit words, each its position added to the number of its stream.
 *
 * @module
 */

import type { MptcpConn } from "../../src/types.ts";

const BLOCK = 64 * 1024;

/** What reads and writes, as a connection does. */
type Io = Pick<MptcpConn, "read" | "write">;

/** Fills a block with what a stream has from a position on, which is a multiple of 4. */
function stamp(words: Uint32Array, stream: number, at: number): void {
  const first = stream + at / 4;
  for (let i = 0; i < words.length; i++) words[i] = first + i;
}

/** So many bytes of a stream. */
export function stamped(stream: number, length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  stamp(words, stream, 0);
  return new Uint8Array(words.buffer, 0, length);
}

/** Writes so many bytes of a stream. */
export async function send(conn: Io, stream: number, length: number): Promise<void> {
  const words = new Uint32Array(Math.ceil(Math.min(length, BLOCK) / 4));
  const block = new Uint8Array(words.buffer);
  for (let at = 0; at < length; at += block.byteLength) {
    stamp(words, stream, at);
    const end = Math.min(block.byteLength, length - at);
    for (let sent = 0; sent < end;) sent += await conn.write(block.subarray(sent, end));
  }
}

/** A byte that is not the one that was sent. */
export class WrongByte extends Error {
  readonly code = "WRONG_BYTE";

  constructor(stream: number, at: number) {
    super(`stream ${stream}: the byte at ${at} is wrong`);
  }
}

/** Checks a stream, whatever pieces it comes in. */
export class Checker {
  readonly #stream: number;
  /** Bytes so far. */
  count = 0;

  constructor(stream: number) {
    this.#stream = stream;
  }

  /** @throws {WrongByte} */
  check(bytes: Uint8Array): void {
    const words = this.#checkWords(bytes);
    let at = this.count + 4 * words;
    for (let i = 4 * words; i < bytes.byteLength; i++, at++) {
      const word = (this.#stream + (at >>> 2)) >>> 0;
      if (bytes[i] !== (word >>> (8 * (at & 3)) & 0xff)) throw new WrongByte(this.#stream, at);
    }
    this.count = at;
  }

  /** Checks the whole words where both have them at the same places; gives how many. */
  #checkWords(bytes: Uint8Array): number {
    if ((this.count | bytes.byteOffset) & 3) return 0;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
    const first = this.#stream + this.count / 4;
    for (let i = 0; i < words.length; i++) {
      if (words[i] !== (first + i) >>> 0) throw new WrongByte(this.#stream, this.count + 4 * i);
    }
    return words.length;
  }
}

/** Reads and checks so many bytes of a stream, fewer if it ends before; gives how many. */
export async function receive(
  conn: Io,
  stream: number,
  length: number = Infinity,
): Promise<number> {
  const checker = new Checker(stream);
  const buf = new Uint8Array(Math.min(length, BLOCK));
  while (checker.count < length) {
    const count = await conn.read(buf.subarray(0, Math.min(BLOCK, length - checker.count)));
    if (count === null) break;
    checker.check(buf.subarray(0, count));
  }
  return checker.count;
}
