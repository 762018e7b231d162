/**
 * What a connection does while both ends behave.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { bytesOf, concat, delay, readToEnd, readUpTo, writeAll } from "../sockets.ts";
import {
  assertFails,
  BROKEN_PIPE,
  CLOSED,
  type Conn,
  failureOf,
  INTERRUPTED,
  within,
} from "./implementation.ts";
import { pairRow, type Row } from "./row.ts";

/** More than the kernel takes for a peer that does not read: 4 MiB of send and 6 of receive buffer. */
export const TOO_MUCH: number = 32 << 20;

/** Bytes that say where they are. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(length / 4);
  for (let i = 0; i < words.length; i++) words[i] = i;
  return new Uint8Array(words.buffer);
}

/** Writes until a write has to wait, and gives its promise and what went before it. */
export async function fill(conn: Conn): Promise<{ waiting: Promise<number>; written: number }> {
  const block = new Uint8Array(256 * 1024);
  for (let written = 0; written < TOO_MUCH;) {
    const waiting = conn.write(block);
    const result = await within(waiting, 100);
    if (result === "pending") return { waiting, written };
    written += result;
  }
  throw new Error("The kernel took it all");
}

export const connRows: readonly Row[] = [
  pairRow("an empty read and an empty write give 0", async ({ client }) => {
    assertEquals(await client.read(new Uint8Array(0)), 0);
    assertEquals(await client.write(new Uint8Array(0)), 0);
  }),

  pairRow("the end of the stream is null, every time", async ({ client, server }) => {
    server.close();
    assertEquals(await client.read(new Uint8Array(1)), null);
    assertEquals(await client.read(new Uint8Array(1)), null);
    assertEquals(await client.read(new Uint8Array(0)), 0);
  }),

  pairRow("bytes before the end of the stream are read first", async ({ client, server }) => {
    await server.write(bytesOf("last words"));
    server.close();
    assertEquals(await readToEnd(client), bytesOf("last words"));
  }),

  pairRow("reads at once are served in their order", async ({ client, server }) => {
    const bufs = [1, 2, 3].map((length) => new Uint8Array(length));
    const reads = bufs.map((buf) => client.read(buf));
    await writeAll(server, bytesOf("abbccc"));
    assertEquals(await Promise.all(reads), [1, 2, 3]);
    assertEquals(bufs, ["a", "bb", "ccc"].map(bytesOf));
  }),

  pairRow("reads that wait are all null at the end of the stream", async ({ client, server }) => {
    const reads = [1, 2, 3].map((length) => client.read(new Uint8Array(length)));
    await delay(5);
    server.close();
    assertEquals(await Promise.all(reads), [null, null, null]);
  }),

  pairRow("writes at once go out in their order", async ({ client, server }) => {
    const received = readToEnd(server);
    const letters = ["a", "bb", "ccc", "dddd"];
    assertEquals(await Promise.all(letters.map((text) => client.write(bytesOf(text)))), [
      1,
      2,
      3,
      4,
    ]);
    client.close();
    assertEquals(await received, bytesOf(letters.join("")));
  }),

  pairRow(
    "a small buffer takes a part, and nothing beside it is touched",
    async ({ client, server }) => {
      await writeAll(server, bytesOf("abcdefgh"));
      const backing = new Uint8Array(10).fill(0x2e);
      assertEquals(await client.read(backing.subarray(3, 6)), 3);
      assertEquals(backing, bytesOf("...abc...."));
      assertEquals(await client.read(backing.subarray(9)), 1);
      assertEquals(backing, bytesOf("...abc...d"));
      assertEquals(await readUpTo(client, 4), bytesOf("efgh"));
    },
  ),

  pairRow("a part of a buffer is written alone", async ({ client, server }) => {
    await writeAll(client, bytesOf("..abc..").subarray(2, 5));
    await client.closeWrite();
    assertEquals(await readToEnd(server), bytesOf("abc"));
  }),

  pairRow("a buffer can be used again when its write is over", async ({ client, server }) => {
    const received = readToEnd(server);
    const buf = new Uint8Array(100_000);
    for (let i = 0; i < 200; i++) await writeAll(client, buf.fill(i));
    await client.closeWrite();
    const bytes = await received;
    assertEquals(bytes.byteLength, 200 * buf.byteLength);
    assert(bytes.every((byte, at) => byte === Math.floor(at / buf.byteLength)));
  }),

  pairRow("megabytes go both ways at once", async ({ client, server }) => {
    const bytes = pattern(8 << 20);
    const send = async (conn: Conn) => {
      await writeAll(conn, bytes);
      await conn.closeWrite();
    };
    const [fromServer, fromClient] = await Promise.all([
      readToEnd(client),
      readToEnd(server),
      send(client),
      send(server),
    ]);
    // `assertEquals` would take seconds.
    assertEquals([Buffer.compare(fromServer, bytes), Buffer.compare(fromClient, bytes)], [0, 0]);
  }),

  pairRow("a read that waits is rejected by close", async ({ client }, subject) => {
    const read = client.read(new Uint8Array(1));
    client.close();
    await assertFails(subject, read, INTERRUPTED);
  }),

  pairRow(
    "reads that have waited a while are all rejected by close",
    async ({ client }, subject) => {
      const reads = [1, 2].map(() => failureOf(client.read(new Uint8Array(1))));
      await delay(20);
      client.close();
      for (const read of reads) {
        await assertFails(subject, read.then((error) => Promise.reject(error)), INTERRUPTED);
      }
    },
  ),

  pairRow(
    "a write that waits for its peer to read is rejected by close",
    async ({ client }, subject) => {
      const { waiting } = await fill(client);
      client.close();
      await assertFails(subject, waiting, INTERRUPTED);
    },
  ),

  pairRow("a write that waits goes on when the peer reads", async ({ client, server }) => {
    const { waiting, written } = await fill(client);
    const received = readToEnd(server);
    const last = await waiting;
    assert(last > 0);
    await client.closeWrite();
    assertEquals((await received).byteLength, written + last);
  }),

  pairRow("what is closed does not read, write or half-close", async ({ client }, subject) => {
    client.close();
    await assertFails(subject, () => client.read(new Uint8Array(1)), CLOSED);
    await assertFails(subject, () => client.write(new Uint8Array(1)), CLOSED);
    await assertFails(subject, () => client.closeWrite(), CLOSED);
    await assertFails(subject, () => client.setNoDelay(), CLOSED);
    await assertFails(subject, () => client.setKeepAlive(), CLOSED);
  }),

  pairRow("a connection cannot be closed twice", async ({ client }, subject) => {
    client.close();
    await assertFails(subject, () => client.close(), CLOSED);
  }),

  pairRow(
    "disposing of a connection after close, and twice, is silent",
    async ({ client, server }) => {
      client.close();
      client[Symbol.dispose]();
      client[Symbol.dispose]();
      assertEquals(await server.read(new Uint8Array(1)), null);
    },
  ),

  pairRow("using closes a connection", async (pair, subject) => {
    {
      using client = pair.client;
      await client.write(bytesOf("bye"));
    }
    assertEquals(await readToEnd(pair.server), bytesOf("bye"));
    await assertFails(subject, () => pair.client.close(), CLOSED);
  }),

  pairRow("closing one end ends reading at the other", async ({ client, server }) => {
    const read = server.read(new Uint8Array(1));
    await delay(5);
    client.close();
    assertEquals(await read, null);
  }),

  pairRow("closeWrite ends one direction: client first", async ({ client, server }) => {
    await halfClose(client, server);
  }),

  pairRow("closeWrite ends one direction: server first", async ({ client, server }) => {
    await halfClose(server, client);
  }),

  pairRow("both ends can half-close at once", async ({ client, server }) => {
    await Promise.all([client.closeWrite(), server.closeWrite()]);
    assertEquals(await client.read(new Uint8Array(1)), null);
    assertEquals(await server.read(new Uint8Array(1)), null);
  }),

  pairRow(
    "closeWrite twice is silent, and then nothing can be written",
    async ({ client }, subject) => {
      await client.closeWrite();
      await client.closeWrite();
      await assertFails(subject, client.write(new Uint8Array(1)), BROKEN_PIPE);
    },
  ),

  pairRow("closeWrite goes behind the writes that wait", async ({ client, server }) => {
    const { waiting, written } = await fill(client);
    const second = client.write(new Uint8Array(1000));
    const closed = client.closeWrite();
    assertEquals(await within(closed, 20), "pending");
    const received = (await readToEnd(server)).byteLength;
    const counts = await Promise.all([waiting, second]);
    await closed;
    assertEquals(received, written + counts[0] + counts[1]);
  }),

  pairRow("closeWrite that waits is rejected by close", async ({ client }, subject) => {
    const { waiting } = await fill(client);
    const write = assertFails(subject, waiting, INTERRUPTED);
    const closed = assertFails(subject, client.closeWrite(), INTERRUPTED);
    client.close();
    await Promise.all([write, closed]);
  }),

  pairRow("setNoDelay and setKeepAlive can be turned on and off", async ({ client, server }) => {
    for (const on of [true, false, undefined]) {
      client.setNoDelay(on);
      client.setKeepAlive(on);
    }
    await client.write(bytesOf("x"));
    assertEquals(await readUpTo(server, 1), bytesOf("x"));
  }),

  pairRow("what is no bytes is a TypeError and harms nothing", async ({ client, server }) => {
    for (const value of ["text", 1, null, undefined, [1], new ArrayBuffer(1)]) {
      const bytes = value as unknown as Uint8Array;
      assert(await failureOf(() => client.write(bytes)) instanceof TypeError, String(value));
      assert(await failureOf(() => client.read(bytes)) instanceof TypeError, String(value));
    }
    await client.write(bytesOf("x"));
    assertEquals(await readUpTo(server, 1), bytesOf("x"));
  }),

  pairRow(
    "a connection can be closed by what its own read leads to",
    async ({ client, server }) => {
      const chunks: Uint8Array[] = [];
      const reading = (async () => {
        const buf = new Uint8Array(4);
        const count = await client.read(buf);
        chunks.push(buf.subarray(0, count!));
        client.close();
      })();
      await server.write(bytesOf("quit"));
      await reading;
      assertEquals(concat(chunks), bytesOf("quit"));
      assertEquals(await server.read(new Uint8Array(1)), null);
    },
  ),
];

/** One end stops sending: it still receives, and the other end still sends. */
async function halfClose(first: Conn, second: Conn): Promise<void> {
  await first.write(bytesOf("request"));
  await first.closeWrite();
  assertEquals(await readToEnd(second), bytesOf("request"));
  await second.write(bytesOf("late "));
  await delay(5);
  await second.write(bytesOf("answer"));
  await second.closeWrite();
  assertEquals(await readToEnd(first), bytesOf("late answer"));
}
