/**
 * What `readable` of a connection does.
 *
 * @module
 */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { bytesOf, concat, delay, readToEnd, readUpTo, untilStill, writeAll } from "../sockets.ts";
import { pattern, TOO_MUCH } from "./conn.ts";
import { assertClosed, type Conn, failureOf } from "./implementation.ts";
import { pairRow, type Row } from "./row.ts";

/** A sink that keeps what it gets. */
function collector(chunks: Uint8Array[]): WritableStream<Uint8Array> {
  return new WritableStream({ write: (chunk) => void chunks.push(chunk) });
}

/** Sends until that fails, and counts. */
export class Flood {
  sent: number = 0;
  readonly over: Promise<unknown>;

  constructor(conn: Conn) {
    this.over = failureOf(() => this.#run(conn));
  }

  async #run(conn: Conn): Promise<never> {
    const block = new Uint8Array(64 * 1024);
    for (;;) {
      const count = await conn.write(block);
      this.sent += count;
    }
  }

  /** How much was sent when no more was for a while. */
  stalled(): Promise<number> {
    return untilStill(() => this.sent, 100);
  }
}

export const readableRows: readonly Row[] = [
  pairRow("readable and writable are made once", async ({ client }) => {
    assertStrictEquals(client.readable, client.readable);
    assertStrictEquals(client.writable, client.writable);
    await Promise.resolve();
  }),

  pairRow("readable gives bytes as they come, and ends", async ({ client, server }) => {
    const chunks: Uint8Array[] = [];
    const piped = server.readable.pipeTo(collector(chunks));
    const bytes = pattern(4 << 20);
    await writeAll(client, bytes);
    client.close();
    await piped;
    assertEquals(Buffer.compare(concat(chunks), bytes), 0);
  }),

  pairRow("the end of readable closes the connection", async ({ client, server }, subject) => {
    client.close();
    const reader = server.readable.getReader();
    assert((await reader.read()).done);
    await assertClosed(subject, server);
  }),

  // Deno closes the connection here too: half-closed peers never get their answer.
  pairRow(
    "it stays open for writing where writable is in use",
    async ({ client, server }, subject) => {
      const writer = server.writable.getWriter();
      await client.closeWrite();
      const reader = server.readable.getReader();
      assert((await reader.read()).done);
      await writer.write(bytesOf("answer"));
      await writer.close();
      assertEquals(await readToEnd(client), bytesOf("answer"));
      await assertClosed(subject, server);
    },
    "native",
  ),

  pairRow("a connection piped to itself echoes", async ({ client, server }) => {
    const echoed = server.readable.pipeTo(server.writable);
    const bytes = pattern(4 << 20);
    const [answer] = await Promise.all([
      readUpTo(client, bytes.byteLength),
      writeAll(client, bytes),
    ]);
    assertEquals(Buffer.compare(answer, bytes), 0);
    await client.closeWrite();
    assertEquals(await client.read(new Uint8Array(1)), null);
    await echoed;
  }),

  pairRow("a BYOB reader gets bytes in its own buffer", async ({ client, server }) => {
    const reader = server.readable.getReader({ mode: "byob" });
    await client.write(bytesOf("abcdef"));
    const first = await reader.read(new Uint8Array(4));
    assertEquals(first.value, bytesOf("abcd"));
    const { buffer } = first.value!;
    const second = await reader.read(new Uint8Array(buffer, 1, 3));
    assertEquals(second.value, bytesOf("ef"));
    assertEquals([second.value!.byteOffset, second.value!.buffer.byteLength], [1, 4]);
    client.close();
    const last = await reader.read(new Uint8Array(4));
    assertEquals([last.done, last.value?.byteLength], [true, 0]);
  }),

  pairRow("a BYOB reader that waits gets what comes", async ({ client, server }) => {
    const reader = server.readable.getReader({ mode: "byob" });
    const read = reader.read(new Uint8Array(4));
    await delay(5);
    await client.write(bytesOf("late"));
    assertEquals((await read).value, bytesOf("late"));
  }),

  pairRow("readable can be teed", async ({ client, server }) => {
    const [one, two] = server.readable.tee();
    await writeAll(client, bytesOf("twice"));
    client.close();
    assertEquals(await new Response(one).text(), "twice");
    assertEquals(await new Response(two).text(), "twice");
  }),

  pairRow(
    "readable can be a response's body and go through a transform",
    async ({ client, server }) => {
      await writeAll(client, bytesOf("text"));
      client.close();
      const upper = new TransformStream<string, string>({
        transform: (text, controller) => controller.enqueue(text.toUpperCase()),
      });
      const decoder = new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>;
      const stream = server.readable.pipeThrough(decoder).pipeThrough(upper);
      assertEquals(await Array.fromAsync(stream), ["TEXT"]);
    },
  ),

  pairRow("the sender stalls while nobody reads readable", async ({ client, server }) => {
    const flood = new Flood(client);
    const reader = server.readable.getReader();
    await reader.read();
    const stalledAt = await flood.stalled();
    assert(stalledAt < TOO_MUCH);
    for (let got = 0; got < stalledAt;) got += (await reader.read()).value!.byteLength;
    while (flood.sent <= stalledAt) await delay(5);
    client.close();
    await flood.over;
  }),

  pairRow("a slow sink of pipeTo stalls the sender", async ({ client, server }) => {
    const flood = new Flood(client);
    const { promise: opened, resolve: open } = Promise.withResolvers<void>();
    let received = 0;
    const slow = new WritableStream<Uint8Array>({
      async write(chunk) {
        received += chunk.byteLength;
        await opened;
      },
    });
    const piped = server.readable.pipeTo(slow);
    const stalledAt = await flood.stalled();
    assert(stalledAt < TOO_MUCH && received < 1 << 20);
    open();
    await delay(50);
    client.close();
    await Promise.all([flood.over, piped]);
    assert(received >= stalledAt);
  }),

  pairRow("cancel closes the connection", async ({ client, server }, subject) => {
    await server.readable.cancel();
    assertEquals(await client.read(new Uint8Array(1)), null);
    await assertClosed(subject, server);
  }),

  pairRow(
    "cancel while a read waits ends the read and closes",
    async ({ client, server }, subject) => {
      const reader = server.readable.getReader();
      const read = reader.read();
      await delay(5);
      await reader.cancel("enough");
      assert((await read).done);
      await assertClosed(subject, server);
      assertEquals(await client.read(new Uint8Array(1)), null);
    },
  ),

  pairRow("leaving the iteration of readable closes the connection", async (pair, subject) => {
    await writeAll(pair.client, bytesOf("first"));
    for await (const chunk of pair.server.readable) {
      assertEquals(chunk, bytesOf("first"));
      break;
    }
    await assertClosed(subject, pair.server);
  }),

  pairRow("with preventCancel it goes on after an iteration was left", async (pair, subject) => {
    await writeAll(pair.client, bytesOf("one"));
    for await (const chunk of pair.server.readable.values({ preventCancel: true })) {
      assertEquals(chunk, bytesOf("one"));
      break;
    }
    await writeAll(pair.client, bytesOf("two"));
    pair.client.close();
    const rest = await Array.fromAsync(pair.server.readable);
    assertEquals(concat(rest), bytesOf("two"));
    await assertClosed(subject, pair.server);
  }),

  pairRow("aborting pipeTo closes the connection", async ({ client, server }, subject) => {
    const controller = new AbortController();
    const piped = failureOf(server.readable.pipeTo(collector([]), controller));
    await delay(5);
    const reason = new Error("stop");
    controller.abort(reason);
    assertStrictEquals(await piped, reason);
    await assertClosed(subject, server);
    assertEquals(await client.read(new Uint8Array(1)), null);
  }),

  pairRow("closing the connection fails a stream's read that waits", async ({ client }) => {
    const reader = client.readable.getReader();
    const read = failureOf(reader.read());
    await delay(5);
    client.close();
    assertEquals((await read as Error).name, "Interrupted");
  }),

  pairRow("the streams of a closed connection fail with BadResource", async ({ client }) => {
    client.close();
    const read = failureOf(client.readable.getReader().read());
    const write = failureOf(client.writable.getWriter().write(bytesOf("x")));
    assertEquals((await read as Error).name, "BadResource");
    assertEquals((await write as Error).name, "BadResource");
  }),
];
