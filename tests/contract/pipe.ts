/**
 * What a pipe from one connection to another does, as any pipe does it.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { listenMptcp } from "../../mod.ts";
import { bytesOf, concat, delay, readToEnd, readUpTo, writeAll } from "../sockets.ts";
import { pattern } from "./conn.ts";
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
import { type Row, row } from "./row.ts";

/** Two connections: what comes in by the one goes out by the other. */
interface Pipeline {
  readonly sender: Conn;
  readonly source: Conn;
  readonly destination: Conn;
  readonly receiver: Conn;
}

function pipeRow(
  sentence: string,
  body: (pipeline: Pipeline, subject: Subject) => Promise<void>,
): Row {
  return row(sentence, async (subject) => {
    using incoming: Pair = await pairOf(subject);
    using outgoing: Pair = await pairOf(subject);
    await body({
      sender: incoming.client,
      source: incoming.server,
      destination: outgoing.client,
      receiver: outgoing.server,
    }, subject);
  });
}

/** As {@linkcode pipeRow}, with a sender whose `close` resets its connection. */
function resetRow(
  sentence: string,
  body: (pipeline: Pipeline, subject: Subject) => Promise<void>,
): Row {
  return row(sentence, async (subject) => {
    const mptcp = subject.protocol === "mptcp" ? "require" : "off";
    const { hostname } = subject;
    using listener = listenMptcp({ hostname, mptcp, socketOptions: { linger: 0 } });
    using source = await subject.connect({ ...listener.addr, hostname });
    using sender = await listener.accept();
    using outgoing = await pairOf(subject);
    await body(
      { sender, source, destination: outgoing.client, receiver: outgoing.server },
      subject,
    );
  });
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

  pipeRow("closing the source ends a pipe, and the destination", async (pipeline, subject) => {
    const { sender, source, destination, receiver } = pipeline;
    const piped = failureOf(source.readable.pipeTo(destination.writable));
    await writeAll(sender, bytesOf("x"));
    assertEquals(await readUpTo(receiver, 1), bytesOf("x"));
    source.close();
    await assertFails(subject, piped.then((error) => Promise.reject(error)), INTERRUPTED);
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
    const piped = failureOf(source.readable.pipeTo(destination.writable));
    await writeAll(sender, bytesOf("x"));
    assertEquals(await readUpTo(receiver, 1), bytesOf("x"));
    sender.close();
    await assertFails(subject, piped.then((error) => Promise.reject(error)), CONNECTION_RESET);
    assertEquals(await receiver.read(new Uint8Array(1)), null);
  }),

  resetRow("with preventAbort the destination of a pipe that failed goes on", async (
    { sender, source, destination, receiver },
    subject,
  ) => {
    const options = { preventAbort: true };
    const piped = failureOf(source.readable.pipeTo(destination.writable, options));
    await writeAll(sender, bytesOf("piped "));
    assertEquals(await readUpTo(receiver, 6), bytesOf("piped "));
    sender.close();
    await assertFails(subject, piped.then((error) => Promise.reject(error)), CONNECTION_RESET);
    await destination.writable.getWriter().write(bytesOf("written"));
    assertEquals(await readUpTo(receiver, 7), bytesOf("written"));
  }),
];
