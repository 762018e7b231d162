/**
 * What `writable` of a connection does.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { bytesOf, delay, readToEnd, readUpTo } from "../sockets.ts";
import { pattern, TOO_MUCH } from "./conn.ts";
import { assertClosed, assertFails, BROKEN_PIPE, failureOf, within } from "./implementation.ts";
import { pairRow, type Row } from "./row.ts";

export const writableRows: readonly Row[] = [
  pairRow("writable writes all of each chunk", async ({ client, server }) => {
    const bytes = pattern(8 << 20);
    const received = readToEnd(server);
    const writer = client.writable.getWriter();
    await Promise.all([writer.write(bytes.subarray(0, 5)), writer.write(bytes.subarray(5))]);
    await writer.close();
    assertEquals(Buffer.compare(await received, bytes), 0);
  }),

  pairRow("closing writable closes the connection, behind its chunks", async (pair, subject) => {
    const writer = pair.client.writable.getWriter();
    writer.write(bytesOf("last"));
    await writer.close();
    await assertClosed(subject, pair.client);
    assertEquals(await readToEnd(pair.server), bytesOf("last"));
  }),

  pairRow("aborting writable closes the connection", async ({ client, server }, subject) => {
    await client.writable.abort("enough");
    await assertClosed(subject, client);
    assertEquals(await server.read(new Uint8Array(1)), null);
  }),

  // Deno's abort waits for the write, which waits for the peer.
  pairRow("aborting writable ends a write that waits", async ({ client }, subject) => {
    const writer = client.writable.getWriter();
    const write = failureOf(writer.write(new Uint8Array(TOO_MUCH)));
    await delay(20);
    await writer.abort("enough");
    assertEquals((await write as Error).name, "Interrupted");
    await assertClosed(subject, client);
  }, "native"),

  pairRow("closing the connection fails a chunk that waits", async ({ client }) => {
    const writer = client.writable.getWriter();
    const write = failureOf(writer.write(new Uint8Array(TOO_MUCH)));
    const closed = failureOf(writer.closed);
    await delay(20);
    client.close();
    assertEquals((await write as Error).name, "Interrupted");
    assertEquals((await closed as Error).name, "Interrupted");
  }),

  pairRow("a chunk waits while the peer does not read", async ({ client, server }) => {
    const writer = client.writable.getWriter();
    const write = writer.write(new Uint8Array(TOO_MUCH));
    assertEquals(await within(write.then(() => "written"), 100), "pending");
    assertEquals(writer.desiredSize, 0);
    const received = readUpTo(server, TOO_MUCH);
    await write;
    assertEquals((await received).byteLength, TOO_MUCH);
  }),

  pairRow("a failed chunk fails the stream and closes the connection", async (pair, subject) => {
    // By MPTCP a closed peer is not seen by writing.
    await pair.client.closeWrite();
    const writer = pair.client.writable.getWriter();
    const closed = failureOf(writer.closed);
    await assertFails(subject, writer.write(bytesOf("x")), BROKEN_PIPE);
    await assertFails(subject, writer.write(bytesOf("x")), BROKEN_PIPE);
    await assertFails(subject, closed.then((error) => Promise.reject(error)), BROKEN_PIPE);
    await assertClosed(subject, pair.client);
  }),

  pairRow("an empty chunk is no end", async ({ client, server }) => {
    const writer = client.writable.getWriter();
    await writer.write(new Uint8Array(0));
    await writer.write(bytesOf("x"));
    assertEquals(await readUpTo(server, 1), bytesOf("x"));
  }),

  pairRow("a chunk may be any buffer or view of one", async ({ client, server }) => {
    const writer = client.writable.getWriter() as WritableStreamDefaultWriter<unknown>;
    const bytes = bytesOf("abcd");
    await writer.write(bytes.buffer);
    await writer.write(new DataView(bytes.buffer, 1, 2));
    await writer.close();
    assertEquals(await readToEnd(server), bytesOf("abcdbc"));
  }),

  pairRow("a chunk of text is a TypeError and closes the connection", async (pair, subject) => {
    const writer = pair.client.writable.getWriter() as WritableStreamDefaultWriter<unknown>;
    writer.closed.catch(() => {});
    assert(await failureOf(writer.write("text")) instanceof TypeError);
    await assertClosed(subject, pair.client);
  }),
];
