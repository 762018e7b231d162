import { assert, assertEquals, assertRejects } from "@std/assert";
import { connectMptcp, listenMptcp, MptcpError } from "../mod.ts";
import { assertOpenFds, settledFds, test } from "./harness.ts";
import { TestBackend, TestProxy } from "./proxy.ts";
import { bytesOf, delay, readToEnd, readUpTo } from "./sockets.ts";

test("shutdown takes no more connections, and lets those that are open finish", async () => {
  await using backend = new TestBackend();
  await using proxy = new TestProxy({ back: backend.address });
  using client = await proxy.connect();
  await client.write(bytesOf("x"));
  await readUpTo(client, 1);
  // Connected, and not yet accepted.
  using last = await proxy.connect();
  const ending = proxy.proxy.shutdown();
  await last.write(bytesOf("z"));
  assertEquals(await readUpTo(last, 1), bytesOf("z"));
  last.close();
  await proxy.report();
  const error = await assertRejects(() => proxy.connect(), MptcpError);
  assertEquals(error.code, "ECONNREFUSED");
  await client.write(bytesOf("y"));
  assertEquals(await readUpTo(client, 1), bytesOf("y"));
  await client.closeWrite();
  assertEquals(await readToEnd(client), bytesOf(""));
  assertEquals(await ending, 0);
  assertEquals(proxy.reports.map(({ end }) => end), ["closed", "closed"]);
});

test("shutdown takes what waits in the backlog, and refuses nobody who was let in", async () => {
  await using backend = new TestBackend(undefined, { tcpBacklog: 1000 });
  await using proxy = new TestProxy({ back: backend.address });
  const clients = await Promise.all(Array.from({ length: 100 }, () => proxy.connect()));
  const ending = proxy.proxy.shutdown();
  await Promise.all(clients.map(async (client) => {
    await client.write(bytesOf("x"));
    assertEquals(await readUpTo(client, 1), bytesOf("x"));
    client.close();
  }));
  await ending;
  assertEquals(proxy.proxy.stats().total, 100);
});

test("shutdown resets what is left after the deadline", async () => {
  await using backend = new TestBackend();
  await using proxy = new TestProxy({ back: backend.address });
  using client = await proxy.connect();
  await client.write(bytesOf("x"));
  await readUpTo(client, 1);
  const reading = assertRejects(() => readToEnd(client), MptcpError);
  assertEquals(await proxy.proxy.shutdown({ timeout: 100 }), 1);
  assertEquals((await reading).code, "ECONNRESET");
  assertEquals(proxy.reports.map(({ end }) => end), ["stopped"]);
  assertEquals(proxy.proxy.stats().active, 0);
});

test("a signal ends the proxy, one that was aborted before too", async () => {
  await using backend = new TestBackend();
  const controller = new AbortController();
  await using proxy = new TestProxy({ back: backend.address, signal: controller.signal });
  using client = await proxy.connect();
  await client.write(bytesOf("x"));
  await readUpTo(client, 1);
  controller.abort();
  await proxy.proxy.finished;
  await assertRejects(() => readToEnd(client), MptcpError);
  await using late = new TestProxy({ back: backend.address, signal: controller.signal });
  await late.proxy.finished;
});

test("closing the proxy while it connects, waits for a header or for room leaves nothing", async () => {
  const before = await settledFds();
  {
    using full = listenMptcp({ hostname: "127.0.0.1", mptcp: "off", tcpBacklog: 0 });
    using _first = await connectMptcp({ port: full.addr.port, mptcp: "off" });
    const back = `tcp@127.0.0.1:${full.addr.port}`;
    for (const options of [{}, { acceptProxy: true }, { maxConnections: 1 }]) {
      await using proxy = new TestProxy({ back, ...options });
      const clients = await Promise.all([proxy.connect(), proxy.connect()]);
      while (proxy.proxy.stats().total === 0) await delay(5);
      proxy.proxy.close();
      await proxy.proxy.finished;
      for (const client of clients) client.close();
      assert(proxy.reports.length >= 1);
      assertEquals(new Set(proxy.reports.map(({ end }) => end)), new Set(["stopped"]));
    }
  }
  await assertOpenFds(before);
});
