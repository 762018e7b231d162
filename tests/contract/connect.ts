/**
 * What connecting does.
 *
 * @module
 */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { connectMptcp, listenMptcp } from "../../mod.ts";
import { bytesOf, delay, readUpTo } from "../sockets.ts";
import {
  assertFails,
  connectTo,
  failureOf,
  listen,
  type Subject,
  within,
} from "./implementation.ts";
import { type Row, row } from "./row.ts";

/** A listener whose backlog is full: whoever connects to it waits. */
async function jammed(subject: Subject): Promise<Disposable & { readonly port: number }> {
  const { hostname } = subject;
  const listener = listenMptcp({ hostname, mptcp: "off", tcpBacklog: 0 });
  const { port } = listener.addr;
  const first = await connectMptcp({ hostname, port, mptcp: "off" });
  return {
    port,
    [Symbol.dispose]() {
      first.close();
      listener.close();
    },
  };
}

export const connectRows: readonly Row[] = [
  row("connecting to a closed port is refused", async (subject) => {
    const listener = listen(subject);
    listener.close();
    await assertFails(subject, connectTo(subject, listener), {
      name: "ConnectionRefused",
      code: "ECONNREFUSED",
    });
  }),

  row("a name is looked up", async (subject) => {
    using listener = subject.listen({ hostname: "localhost", port: 0 });
    using client = await subject.connect({ hostname: "localhost", port: listener.addr.port });
    using server = await listener.accept();
    await client.write(bytesOf("named"));
    assertEquals(await readUpTo(server, 5), bytesOf("named"));
  }),

  // Deno's error has no code and the name "Error".
  row("a name that does not exist is an error", async (subject) => {
    const hostname = "no-such-host.invalid";
    const connected = subject.connect({ hostname, port: 1 });
    if (subject.native) assert(await failureOf(connected) instanceof Error);
    else await assertFails(subject, connected, { name: "MptcpError", code: "ENOTFOUND" });
  }),

  row("a port out of range is refused for connecting", async (subject) => {
    for (const port of [70000, 65536, -1]) {
      await assertFails(subject, subject.connect({ hostname: subject.hostname, port }), {
        name: "RangeError",
        message: `Invalid port (out of range): ${port}`,
      });
    }
  }),

  row("a signal that is aborted already rejects with AbortError", async (subject) => {
    using listener = listen(subject);
    const signal = AbortSignal.abort();
    const error = await failureOf(subject.connect({ ...listener.addr, signal }));
    assert(error instanceof DOMException);
    assertEquals(error.name, "AbortError");
  }),

  row("a signal's own reason is what rejects", async (subject) => {
    using listener = listen(subject);
    const reason = { own: "reason" };
    const signal = AbortSignal.abort(reason);
    assertStrictEquals(await failureOf(subject.connect({ ...listener.addr, signal })), reason);
  }),

  row("aborting ends an attempt that waits", async (subject) => {
    using server = await jammed(subject);
    const { hostname } = subject;
    const controller = new AbortController();
    const connected = failureOf(
      subject.connect({ hostname, port: server.port, signal: controller.signal }),
    );
    assertEquals(await within(connected, 50), "pending");
    const reason = Object.assign(new Error("of the caller's own"), { code: "ECALLER" });
    controller.abort(reason);
    assertStrictEquals(await connected, reason);
  }),

  row("a timeout signal ends an attempt that waits with TimeoutError", async (subject) => {
    using server = await jammed(subject);
    const { hostname } = subject;
    const signal = AbortSignal.timeout(30);
    const error = await failureOf(subject.connect({ hostname, port: server.port, signal }));
    assertEquals((error as Error).name, "TimeoutError");
  }),

  row("aborting after the connection was made does nothing to it", async (subject) => {
    using listener = listen(subject);
    const controller = new AbortController();
    using client = await subject.connect({ ...listener.addr, signal: controller.signal });
    using server = await listener.accept();
    controller.abort();
    await delay(5);
    await client.write(bytesOf("alive"));
    assertEquals(await readUpTo(server, 5), bytesOf("alive"));
  }),
];
