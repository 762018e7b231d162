/**
 * What a connection does when its peer is gone.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { connectMptcp, listenMptcp } from "../../mod.ts";
import { bytesOf, delay, readToEnd, readUpTo } from "../sockets.ts";
import { fill } from "./conn.ts";
import {
  assertFails,
  BROKEN_PIPE,
  type Conn,
  CONNECTION_RESET,
  connectTo,
  failureOf,
  listen,
  type Pair,
  pair,
  pairOf,
  type Subject,
} from "./implementation.ts";
import { type Row, row } from "./row.ts";

/** What makes the peer's close a reset. */
const socketOptions = { linger: 0 };

/** A connection that was accepted, and its client, whose `close` resets it. */
async function acceptedAndResetter(subject: Subject): Promise<Pair> {
  using listener = listen(subject);
  const mptcp = subject.protocol === "mptcp" ? "require" : "off";
  const [client, server] = await Promise.all([
    connectMptcp({ ...listener.addr, mptcp, socketOptions }),
    listener.accept(),
  ]);
  assertEquals(client.protocol, subject.protocol);
  return pair(server, client);
}

/** A connection that was made, and its server, whose `close` resets it. */
export async function madeAndResetter(subject: Subject): Promise<Pair> {
  const { hostname } = subject;
  const mptcp = subject.protocol === "mptcp" ? "require" : "off";
  using listener = listenMptcp({ hostname, mptcp, socketOptions });
  const [client, server] = await Promise.all([connectTo(subject, listener), listener.accept()]);
  assertEquals(server.protocol, subject.protocol);
  return pair(client, server);
}

type Body = (conn: Conn, resetter: Conn, subject: Subject) => Promise<void>;

/** Two rows: with a connection that was accepted and with one that was made. */
function rows(sentence: string, body: Body): Row[] {
  const makers = [["accepted", acceptedAndResetter], ["made", madeAndResetter]] as const;
  return makers.map(([how, make]) =>
    row(`${sentence} (${how})`, async (subject) => {
      using both = await make(subject);
      await body(both.client, both.server, subject);
    })
  );
}

export const resetRows: readonly Row[] = [
  ...rows("a read that waits fails when the peer resets", async (conn, resetter, subject) => {
    const read = assertFails(subject, conn.read(new Uint8Array(1)), CONNECTION_RESET);
    await delay(5);
    resetter.close();
    await read;
  }),

  ...rows(
    "a reset that a read is told of ends both directions",
    async (conn, resetter, subject) => {
      resetter.close();
      await delay(10);
      await assertFails(subject, conn.read(new Uint8Array(1)), CONNECTION_RESET);
      await assertOver(conn, subject);
    },
  ),

  ...rows(
    "a reset that a write is told of ends both directions",
    async (conn, resetter, subject) => {
      resetter.close();
      await delay(10);
      await assertFails(subject, conn.write(new Uint8Array(1)), CONNECTION_RESET);
      await assertOver(conn, subject);
    },
  ),

  ...rows("bytes that came before a reset are read first", async (conn, resetter, subject) => {
    await resetter.write(bytesOf("before"));
    await delay(10);
    resetter.close();
    await delay(10);
    assertEquals(await readUpTo(conn, 6), bytesOf("before"));
    await assertFails(subject, conn.read(new Uint8Array(1)), CONNECTION_RESET);
  }),

  ...rows(
    "a reset behind the end of the stream leaves the end",
    async (conn, resetter, subject) => {
      // Bun's own TCP drops what nobody has read.
      if (subject.key === "runtime" && !subject.deno) return;
      await resetter.write(bytesOf("all of it"));
      // Without this the close below would be the first to send.
      await conn.write(bytesOf("unread"));
      await resetter.closeWrite();
      await delay(10);
      resetter.close();
      await delay(10);
      assertEquals(await readToEnd(conn), bytesOf("all of it"));
      assertEquals(await conn.read(new Uint8Array(1)), null);
    },
  ),

  ...rows("a write that waits fails when the peer resets", async (conn, resetter, subject) => {
    const { waiting } = await fill(conn);
    const write = assertFails(subject, waiting, CONNECTION_RESET);
    resetter.close();
    await write;
  }),

  ...rows("a reset that a writer meets rejects the reader too", async (conn, resetter, subject) => {
    const reader = conn.readable.getReader();
    const writer = conn.writable.getWriter();
    writer.closed.catch(() => {});
    const { waiting } = await fill(conn);
    waiting.catch(() => {});
    const written = writer.write(new Uint8Array(1));
    written.catch(() => {});
    resetter.close();
    await assertFails(subject, written, subject.native ? BROKEN_PIPE : CONNECTION_RESET);
    const outcome = reader.read();
    if (subject.native) await outcome.catch(() => {});
    else await assertFails(subject, outcome, CONNECTION_RESET);
    reader.closed.catch(() => {});
  }),

  ...rows("a reset that a reader meets rejects the writer too", async (conn, resetter, subject) => {
    const reader = conn.readable.getReader();
    const writer = conn.writable.getWriter();
    writer.closed.catch(() => {});
    reader.closed.catch(() => {});
    const read = reader.read();
    resetter.close();
    await assertFails(subject, read, CONNECTION_RESET);
    const outcome = writer.write(new Uint8Array(1));
    if (subject.native) await outcome.catch(() => {});
    else await assertFails(subject, outcome, CONNECTION_RESET);
  }),

  ...rows("a reset connection closes like any other", async (conn, resetter) => {
    resetter.close();
    await delay(10);
    conn.close();
  }),

  // By MPTCP there is no reset: the kernel takes writes until net.mptcp.close_timeout is over.
  row("writing to a peer that has closed fails, by TCP, at the second write", async (subject) => {
    using both = await pairOf(subject);
    both.server.close();
    await delay(10);
    assertEquals(await both.client.write(new Uint8Array(1)), 1);
    await delay(10);
    await assertFails(subject, both.client.write(new Uint8Array(1)), BROKEN_PIPE);
  }, "mptcp"),

  row("a peer that has closed is seen by reading though writes succeed", async (subject) => {
    using both = await pairOf(subject);
    both.server.close();
    assertEquals(await both.client.read(new Uint8Array(1)), null);
    assertEquals(await both.client.write(new Uint8Array(1)), 1);
    assertEquals(await both.client.read(new Uint8Array(1)), null);
  }),

  // Deno ends its outgoing direction before it closes: its peer reads the end of the stream.
  row("closing with bytes unread resets the peer", async (subject) => {
    using both = await pairOf(subject);
    await both.client.write(bytesOf("unread"));
    await delay(10);
    both.server.close();
    const read = both.client.read(new Uint8Array(1));
    if (subject.deno) assertEquals(await read, null);
    else await assertFails(subject, read, CONNECTION_RESET);
  }),

  row("an answer arrives though the request was not read to its end", async (subject) => {
    using both = await pairOf(subject);
    await both.client.write(new Uint8Array(1000));
    await readUpTo(both.server, 10);
    await both.server.write(bytesOf("answer"));
    both.server.close();
    const answer = await readUpTo(both.client, 6);
    assertEquals(answer, bytesOf("answer"));
  }),
];

/**
 * After the error of a reset there is nothing but that error. Deno's own connections tell it once:
 * then a read gives the end of the stream, as if the peer had ended it.
 */
async function assertOver(conn: Conn, subject: Subject): Promise<void> {
  if (subject.native) {
    assertEquals(await readToEnd(conn), new Uint8Array(0));
    const error = await failureOf(conn.write(new Uint8Array(1)));
    assertEquals((error as Error).name, BROKEN_PIPE.name);
    return;
  }
  for (let i = 0; i < 2; i++) {
    await assertFails(subject, conn.read(new Uint8Array(1)), CONNECTION_RESET);
    await assertFails(subject, conn.write(new Uint8Array(1)), CONNECTION_RESET);
  }
}
