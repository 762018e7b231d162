/**
 * Pairs of connections and other helpers for tests.
 *
 * @module
 */

import { connectMptcp, listenMptcp } from "../mod.ts";
import type { ConnectMptcpOptions, ListenMptcpOptions, MptcpConn } from "../src/types.ts";

/** The loopback addresses of both families. */
export const LOOPBACKS = ["127.0.0.1", "::1"] as const;

/** Two ends of a connection; disposing of it closes both. */
export interface Pair extends Disposable {
  readonly client: MptcpConn;
  readonly server: MptcpConn;
}

/** A listener's connection and its client, over loopback. */
export async function connectedPair(
  listen: ListenMptcpOptions = {},
  connect: Partial<ConnectMptcpOptions> = {},
): Promise<Pair> {
  using listener = listenMptcp({ hostname: "127.0.0.1", ...listen });
  const { hostname, port } = listener.addr;
  const [client, server] = await Promise.all([
    connectMptcp({ hostname, port, ...connect }),
    listener.accept(),
  ]);
  return {
    client,
    server,
    [Symbol.dispose]() {
      client[Symbol.dispose]();
      server[Symbol.dispose]();
    },
  };
}

/** Anything that reads and writes as a connection does. */
export interface Duplex {
  read(p: Uint8Array): Promise<number | null>;
  write(p: Uint8Array): Promise<number>;
}

/** Writes all bytes. */
export async function writeAll(conn: Duplex, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) at += await conn.write(bytes.subarray(at));
}

/** Reads exactly that many bytes, or as many as there are. */
export async function readUpTo(conn: Duplex, length: number): Promise<Uint8Array> {
  const buf = new Uint8Array(length);
  let at = 0;
  while (at < length) {
    const count = await conn.read(buf.subarray(at));
    if (count === null) break;
    at += count;
  }
  return buf.subarray(0, at);
}

/** Reads to the end of the stream. */
export async function readToEnd(conn: Duplex): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const buf = new Uint8Array(64 * 1024);
    const count = await conn.read(buf);
    if (count === null) break;
    chunks.push(buf.subarray(0, count));
  }
  return concat(chunks);
}

/** The bytes one after the other. */
export function concat(chunks: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}

/** Bytes of a text. */
export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Waits. */
export function delay(milliseconds: number): Promise<void> {
  const ended = new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
  pending.add(ended);
  ended.then(() => pending.delete(ended));
  return ended;
}

const pending = new Set<Promise<void>>();

/** Waits for the delays that nobody waited for to the end, as of a body that has been cancelled. */
export async function delaysEnded(): Promise<void> {
  while (pending.size > 0) await Promise.all(pending);
}

/** Waits until a count has stayed the same for so many milliseconds, and gives it. */
export async function untilStill(count: () => number, milliseconds = 200): Promise<number> {
  for (;;) {
    const before = count();
    await delay(milliseconds);
    if (count() === before) return before;
  }
}
