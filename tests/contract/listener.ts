/**
 * What a listener does.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connectMptcp, type MptcpError } from "../../mod.ts";
import { bytesOf, delay, readUpTo } from "../sockets.ts";
import {
  assertFails,
  CLOSED,
  type Conn,
  CONNECTION_RESET,
  connectTo,
  type ExpectedError,
  failureOf,
  listen,
  type Listener,
  type Subject,
} from "./implementation.ts";
import { type Row, row } from "./row.ts";

const LISTENER_CLOSED: ExpectedError = {
  name: "BadResource",
  code: "EBADF",
  message: "Listener has been closed",
};

/** A listener's iterator, which is the listener. */
function iteratorOf(listener: Listener) {
  return listener[Symbol.asyncIterator]();
}

/** Closes a connection that an `accept` may have been waiting for. */
async function connectAndClose(subject: Subject, listener: Listener): Promise<void> {
  (await connectTo(subject, listener)).close();
}

async function isRefused(subject: Subject, port: number): Promise<boolean> {
  const error = await failureOf(subject.connect({ hostname: subject.hostname, port }));
  return (error as Error).name === "ConnectionRefused";
}

export const listenerRows: readonly Row[] = [
  row("a listener has the address that it was given, and a port", async (subject) => {
    using listener = listen(subject);
    const { transport, hostname, port } = listener.addr;
    assertEquals([transport, hostname], ["tcp", subject.hostname]);
    assert(port > 0 && port < 65536);
    await connectAndClose(subject, listener);
    (await listener.accept()).close();
  }),

  row("both ends of a connection know their addresses, also once closed", async (subject) => {
    using listener = listen(subject);
    const [client, server] = await Promise.all([connectTo(subject, listener), listener.accept()]);
    assertEquals(client.remoteAddr, listener.addr);
    assertEquals(server.localAddr, listener.addr);
    const { port } = client.localAddr;
    assertEquals(client.localAddr, { transport: "tcp", hostname: subject.hostname, port });
    assertEquals(server.remoteAddr, client.localAddr);
    client.close();
    server.close();
    assertEquals(client.remoteAddr, listener.addr);
    assertEquals(server.remoteAddr, client.localAddr);
  }),

  row("connections wait in the backlog and are accepted in their order", async (subject) => {
    using listener = listen(subject);
    const clients = [];
    for (let i = 0; i < 5; i++) clients.push(await connectTo(subject, listener));
    for (const client of clients) {
      const server = await listener.accept();
      assertEquals(server.remoteAddr.port, client.localAddr.port);
      server.close();
      client.close();
    }
  }),

  row("bytes that came before accept are read after it", async (subject) => {
    using listener = listen(subject);
    using client = await connectTo(subject, listener);
    await client.write(bytesOf("early"));
    await client.closeWrite();
    await delay(5);
    using server = await listener.accept();
    assertEquals(await readUpTo(server, 9), bytesOf("early"));
  }),

  row("an accept that waits is rejected by close", async (subject) => {
    const listener = listen(subject);
    const accepted = listener.accept();
    listener.close();
    await assertFails(subject, accepted, LISTENER_CLOSED);
  }),

  row("an accept that has waited a while is rejected by close", async (subject) => {
    const listener = listen(subject);
    const accepted = assertFails(subject, listener.accept(), LISTENER_CLOSED);
    await delay(20);
    listener.close();
    await accepted;
  }),

  row("accept after close is rejected", async (subject) => {
    const listener = listen(subject);
    listener.close();
    await assertFails(subject, listener.accept(), LISTENER_CLOSED);
  }),

  row("a second accept beside one that waits is rejected", async (subject) => {
    using listener = listen(subject);
    const first = listener.accept();
    await assertFails(subject, listener.accept(), {
      name: "Busy",
      code: "EBUSY",
      message: "Another accept task is ongoing",
    });
    using client = await connectTo(subject, listener);
    using server = await first;
    assertEquals(server.remoteAddr, client.localAddr);
  }),

  row("close twice throws", async (subject) => {
    const listener = listen(subject);
    listener.close();
    await assertFails(subject, () => listener.close(), CLOSED);
  }),

  row("disposing after close, and twice, is silent", (subject) => {
    const listener = listen(subject);
    listener.close();
    listener[Symbol.dispose]();
    listener[Symbol.dispose]();
  }),

  row("using closes a listener", async (subject) => {
    let port: number;
    {
      using listener = listen(subject);
      port = listener.addr.port;
    }
    assert(await isRefused(subject, port));
  }),

  row("connections live on when their listener is closed", async (subject) => {
    const listener = listen(subject);
    using client = await connectTo(subject, listener);
    using server = await listener.accept();
    listener.close();
    assert(await isRefused(subject, listener.addr.port));
    await client.write(bytesOf("still"));
    assertEquals(await readUpTo(server, 5), bytesOf("still"));
  }),

  row("a connection that nobody accepted ends with its listener", async (subject) => {
    const listener = listen(subject);
    using client = await connectTo(subject, listener);
    listener.close();
    await assertFails(subject, client.read(new Uint8Array(1)), CONNECTION_RESET);
  }),

  row("the port can be listened on again though connections of it are open", async (subject) => {
    const listener = listen(subject);
    using _client = await connectTo(subject, listener);
    using _server = await listener.accept();
    const { hostname, port } = listener.addr;
    listener.close();
    using again = subject.listen({ hostname, port });
    assertEquals(again.addr, { transport: "tcp", hostname, port });
  }),

  row("the iterator of a listener is the listener", (subject) => {
    using listener = listen(subject);
    assertStrictEquals<unknown>(iteratorOf(listener), listener);
  }),

  row("a next that waits is done when the listener is closed", async (subject) => {
    const listener = listen(subject);
    const next = iteratorOf(listener).next();
    await delay(5);
    listener.close();
    assertEquals(await next, { value: undefined, done: true });
    assertEquals(await iteratorOf(listener).next(), { value: undefined, done: true });
  }),

  row("for await ends when the listener is closed in its body", async (subject) => {
    const listener = listen(subject);
    let count = 0;
    await connectAndClose(subject, listener);
    await connectAndClose(subject, listener);
    for await (const conn of listener) {
      conn.close();
      if (++count === 2) listener.close();
    }
    assertEquals(count, 2);
  }),

  row("break out of for await closes the listener", async (subject) => {
    const listener = listen(subject);
    await connectAndClose(subject, listener);
    for await (const conn of listener) {
      conn.close();
      break;
    }
    await assertFails(subject, () => listener.close(), CLOSED);
  }),

  row("return out of for await closes the listener", async (subject) => {
    const listener = listen(subject);
    await connectAndClose(subject, listener);
    const takeOne = async () => {
      for await (const conn of listener) return conn;
      throw new Error("There was none");
    };
    (await takeOne()).close();
    await assertFails(subject, () => listener.close(), CLOSED);
  }),

  row(
    "throw out of for await closes the listener, and the error is the body's",
    async (subject) => {
      const listener = listen(subject);
      await connectAndClose(subject, listener);
      const thrown = new Error("of the body");
      const error = await failureOf(async () => {
        for await (const conn of listener) {
          conn.close();
          throw thrown;
        }
      });
      assertStrictEquals(error, thrown);
      await assertFails(subject, () => listener.close(), CLOSED);
    },
  ),

  // Deno's listener throws BadResource here, which hides the error that left the loop.
  row("leaving for await after the listener was closed is silent", async (subject) => {
    const listener = listen(subject);
    await connectAndClose(subject, listener);
    for await (const conn of listener) {
      conn.close();
      listener.close();
      break;
    }
  }, "native"),

  // Deno's accept fails: it asks for the peer's address once more, and there is none.
  row("a connection that was reset before accept does no harm", async (subject) => {
    using listener = listen(subject);
    const { hostname, port } = listener.addr;
    const mptcp = subject.protocol === "mptcp" ? "require" : "off";
    const reset = await connectMptcp({ hostname, port, mptcp, socketOptions: { linger: 0 } });
    reset.close();
    await delay(10);
    using client = await connectTo(subject, listener);
    const isClient = (conn: Conn) => conn.remoteAddr.port === client.localAddr.port;
    using first = await listener.accept();
    if (isClient(first)) return;
    const { code } = await assertRejects(() => first.read(new Uint8Array(1)), Error) as MptcpError;
    // Over MPTCP a reset that overtakes the end of the handshake leaves a connection without a subflow.
    const expected = subject.protocol === "mptcp" ? ["ECONNRESET", "ENOTCONN"] : ["ECONNRESET"];
    assert(expected.includes(code), code);
    using second = await listener.accept();
    assert(isClient(second));
  }, "native"),

  row("a port that is in use is refused", async (subject) => {
    using listener = listen(subject);
    const { hostname, port } = listener.addr;
    await assertFails(subject, () => subject.listen({ hostname, port }), {
      name: "AddrInUse",
      code: "EADDRINUSE",
    });
  }),

  row("an address that is not this machine's is refused", async (subject) => {
    const hostname = subject.hostname.includes(":") ? "2001:db8::1" : "192.0.2.1";
    await assertFails(subject, () => subject.listen({ hostname, port: 0 }), {
      name: "AddrNotAvailable",
      code: "EADDRNOTAVAIL",
    });
  }),

  row("a port out of range is refused", async (subject) => {
    for (const port of [70000, 65536, -1]) {
      await assertFails(subject, () => subject.listen({ hostname: subject.hostname, port }), {
        name: "RangeError",
        message: `Invalid port (out of range): ${port}`,
      });
    }
  }),
];
