/**
 * What a pipe from one connection to another does, as any pipe does it.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { bytesOf, concat, delay, readToEnd, readUpTo, writeAll } from "../sockets.ts";
import { pattern, TOO_MUCH } from "./conn.ts";
import {
  assertClosed,
  assertFails,
  type Conn,
  CONNECTION_RESET,
  failureOf,
  INTERRUPTED,
  type Pair,
  pairOf,
  type Subject,
} from "./implementation.ts";
import { Flood } from "./readable.ts";
import { madeAndResetter } from "./reset.ts";
import { type Row, row } from "./row.ts";

/** Two connections: what comes in by the one goes out by the other. */
interface Pipeline {
  readonly sender: Conn;
  readonly source: Conn;
  readonly destination: Conn;
  readonly receiver: Conn;
}

/** What comes in does so by the connection that `makeIncoming` has as its client. */
function pipeRow(
  sentence: string,
  body: (pipeline: Pipeline, subject: Subject) => Promise<void>,
  makeIncoming: (subject: Subject) => Promise<Pair> = pairOf,
): Row {
  return row(sentence, async (subject) => {
    using incoming = await makeIncoming(subject);
    using outgoing = await pairOf(subject);
    await body({
      sender: incoming.server,
      source: incoming.client,
      destination: outgoing.client,
      receiver: outgoing.server,
    }, subject);
  });
}

/** As {@linkcode pipeRow}, with a sender whose `close` resets its connection. */
function resetRow(sentence: string, body: Parameters<typeof pipeRow>[1]): Row {
  return pipeRow(sentence, body, madeAndResetter);
}

export const pipeRows: readonly Row[] = [
  pipeRow("a pipe carries all bytes, and its end", async (pipeline, subject) => {
    const { sender, source, destination, receiver } = pipeline;
    const piped = source.readable.pipeTo(destination.writable);
    const bytes = pattern(4 << 20);
    const sending = writeAll(sender, bytes).then(() => sender.close());
    assertEquals(Buffer.compare(await readToEnd(receiver), bytes), 0);
    await Promise.all([piped, sending]);
    await assertClosed(subject, destination);
    await assertClosed(subject, source);
  }),

  pipeRow("with preventClose the destination of a pipe goes on", async (pipeline) => {
    const { sender, source, destination, receiver } = pipeline;
    await writeAll(sender, bytesOf("piped "));
    sender.close();
    await source.readable.pipeTo(destination.writable, { preventClose: true });
    const writer = destination.writable.getWriter();
    await writer.write(bytesOf("and written"));
    await writer.close();
    assertEquals(await readToEnd(receiver), bytesOf("piped and written"));
  }),

  pipeRow("a pipe locks both of its streams", async ({ sender, source, destination }) => {
    const { readable } = source;
    const { writable } = destination;
    const piped = readable.pipeTo(writable);
    assert(readable.locked && writable.locked);
    assertThrows(() => readable.getReader(), TypeError);
    assertThrows(() => writable.getWriter(), TypeError);
    for (const again of [readable.pipeTo(writable), readable.pipeTo(new WritableStream())]) {
      assert(await failureOf(again) instanceof TypeError);
    }
    sender.close();
    await piped;
    assert(!readable.locked && !writable.locked);
  }),

  pipeRow(
    "a pipe to a stream that somebody has locked fails, and takes nothing",
    async (pipeline) => {
      const { sender, source, destination } = pipeline;
      const writer = destination.writable.getWriter();
      await writeAll(sender, bytesOf("kept"));
      const piped = source.readable.pipeTo(destination.writable);
      assert(await failureOf(piped) instanceof TypeError);
      assert(!source.readable.locked);
      assertEquals(await readUpTo(source, 4), bytesOf("kept"));
      writer.releaseLock();
    },
  ),

  pipeRow("what was asked for before a pipe, and came later, goes first", async (pipeline) => {
    const { sender, source, destination, receiver } = pipeline;
    const reader = source.readable.getReader();
    // A stream asks for nothing before it has started.
    await delay(1);
    const given = failureOf(reader.read());
    reader.releaseLock();
    assert(await given instanceof TypeError);
    const piped = source.readable.pipeTo(destination.writable);
    const bytes = pattern(100_000);
    for (let at = 0; at < bytes.byteLength; at += 1000) {
      await writeAll(sender, bytes.subarray(at, at + 1000));
    }
    sender.close();
    assertEquals(Buffer.compare(await readToEnd(receiver), bytes), 0);
    await piped;
  }),

  pipeRow("what is being written before a pipe goes first", async (pipeline) => {
    const { sender, source, destination, receiver } = pipeline;
    const before = pattern(16 << 20);
    const writer = destination.writable.getWriter();
    const written = writer.write(before);
    writer.releaseLock();
    await writeAll(sender, bytesOf("after"));
    sender.close();
    const piped = source.readable.pipeTo(destination.writable);
    const received = await readToEnd(receiver);
    assertEquals(Buffer.compare(received, concat([before, bytesOf("after")])), 0);
    await Promise.all([written, piped]);
  }),

  pipeRow("the sender stalls while nobody reads at the end of a pipe", async (pipeline) => {
    const { sender, source, destination, receiver } = pipeline;
    const piped = failureOf(source.readable.pipeTo(destination.writable));
    const flood = new Flood(sender);
    const stalledAt = await flood.stalled();
    assert(stalledAt < 2 * TOO_MUCH, `${stalledAt}`);
    assertEquals((await readUpTo(receiver, stalledAt)).byteLength, stalledAt);
    while (flood.sent <= stalledAt) await delay(5);
    destination.close();
    await Promise.all([piped, flood.over]);
  }),

  pipeRow("closing the source ends a pipe, and the destination", async (pipeline, subject) => {
    const { sender, source, destination, receiver } = pipeline;
    const piped = assertFails(
      subject,
      source.readable.pipeTo(destination.writable),
      INTERRUPTED,
    );
    await writeAll(sender, bytesOf("x"));
    assertEquals(await readUpTo(receiver, 1), bytesOf("x"));
    source.close();
    await piped;
    assertEquals(await receiver.read(new Uint8Array(1)), null);
  }),

  pipeRow("a pipe to a destination that is closed fails, and closes the source", async (
    { sender, source, destination },
    subject,
  ) => {
    const piped = failureOf(source.readable.pipeTo(destination.writable));
    destination.close();
    await writeAll(sender, bytesOf("lost"));
    assertEquals((await piped as Error).name, "BadResource");
    await assertClosed(subject, source);
  }),

  pipeRow("with preventCancel the source of a pipe that failed goes on", async (pipeline) => {
    const { sender, source, destination } = pipeline;
    const options = { preventCancel: true };
    const piped = failureOf(source.readable.pipeTo(destination.writable, options));
    destination.close();
    await writeAll(sender, bytesOf("lost"));
    assertEquals((await piped as Error).name, "BadResource");
    await writeAll(sender, bytesOf("kept"));
    const { value } = await source.readable.getReader().read();
    assertEquals(new Uint8Array(value!), bytesOf("kept"));
  }),

  resetRow("a pipe from a connection that is reset fails so, and ends the destination", async (
    { sender, source, destination, receiver },
    subject,
  ) => {
    const piped = assertFails(
      subject,
      source.readable.pipeTo(destination.writable),
      CONNECTION_RESET,
    );
    await writeAll(sender, bytesOf("x"));
    assertEquals(await readUpTo(receiver, 1), bytesOf("x"));
    sender.close();
    await piped;
    assertEquals(await receiver.read(new Uint8Array(1)), null);
  }),

  resetRow("with preventAbort the destination of a pipe that failed goes on", async (
    { sender, source, destination, receiver },
    subject,
  ) => {
    const piped = assertFails(
      subject,
      source.readable.pipeTo(destination.writable, { preventAbort: true }),
      CONNECTION_RESET,
    );
    await writeAll(sender, bytesOf("piped "));
    assertEquals(await readUpTo(receiver, 6), bytesOf("piped "));
    sender.close();
    await piped;
    await destination.writable.getWriter().write(bytesOf("written"));
    assertEquals(await readUpTo(receiver, 7), bytesOf("written"));
  }),
];
