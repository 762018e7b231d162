import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connectMptcp, listenMptcp, MptcpError } from "../mod.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import { libc, pretendUnsupported } from "../ffi/runtime.ts";
import { proxyMptcp } from "../src/proxy/mod.ts";
import type { ProxyMptcpOptions } from "../src/proxy/types.ts";
import { stubLibc } from "./faults.ts";
import { assertOpenFds, openFds, runtime, test } from "./harness.ts";
import { TestBackend, TestProxy } from "./proxy.ts";
import { bytesOf, delay, readToEnd, readUpTo, writeAll } from "./sockets.ts";

test("a connection without bytes is reset after the idle time, and no other", async () => {
  await using backend = new TestBackend();
  await using proxy = new TestProxy({ back: backend.address, idleTimeout: 300 });
  using idle = await proxy.connect();
  using busy = await proxy.connect();
  const started = performance.now();
  const reading = assertRejects(() => readToEnd(idle), MptcpError);
  let exchanged = 0;
  const until = started + 700;
  while (performance.now() < until) {
    await busy.write(bytesOf("x"));
    exchanged += (await readUpTo(busy, 1)).byteLength;
    await delay(50);
  }
  assertEquals((await reading).code, "ECONNRESET");
  assert(exchanged > 5);
  const { end, milliseconds, error } = await proxy.report();
  assertEquals([end, (error as MptcpError).code], ["idle", "ERR_IDLE_TIMEOUT"]);
  assert(milliseconds >= 300 && milliseconds < 600, `${milliseconds}`);
  assertEquals(proxy.proxy.stats().active, 1);
});

test("no more connections are accepted than the limit, and the others wait", async () => {
  await using backend = new TestBackend();
  await using proxy = new TestProxy({ back: backend.address, maxConnections: 2 });
  const clients = await Promise.all(Array.from({ length: 5 }, () => proxy.connect()));
  await Promise.all(clients.map((client) => client.write(bytesOf("x"))));
  while (backend.taken < 2) await delay(5);
  await delay(100);
  assertEquals(backend.taken, 2);
  assertEquals([proxy.proxy.stats().active, proxy.proxy.stats().total], [2, 2]);
  const done = new Set<number>();
  await Promise.all(clients.map(async (client, i) => {
    assertEquals(await readUpTo(client, 1), bytesOf("x"));
    done.add(i);
    assert(proxy.proxy.stats().active <= 2);
    client.close();
  }));
  await proxy.report(5);
  const { total, peak, limited } = proxy.proxy.stats();
  assertEquals([done.size, total, peak], [5, 5, 2]);
  assert(limited >= 1);
});

test("the limit holds for all fronts together", async () => {
  await using backend = new TestBackend();
  await using proxy = new TestProxy({
    front: ["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"],
    back: backend.address,
    maxConnections: 2,
  });
  const clients = await Promise.all(
    proxy.proxy.fronts.flatMap(({ addr: { port } }) => [
      connectMptcp({ port }),
      connectMptcp({ port }),
    ]),
  );
  await Promise.all(clients.map(async (client) => {
    await client.write(bytesOf("x"));
    assertEquals(await readUpTo(client, 1), bytesOf("x"));
    client.close();
  }));
  await proxy.report(6);
  assertEquals(proxy.proxy.stats().peak, 2);
});

test("a range of ports is listened on as a whole, or not at all", async () => {
  await using backend = new TestBackend();
  const before = openFds();
  const { proxy, first } = await rangeOf(3, backend.address);
  {
    await using _ = proxy;
    assertEquals(proxy.fronts.map(({ addr }) => addr.port), [first, first + 1, first + 2]);
    for (const { addr } of proxy.fronts) {
      using client = await connectMptcp({ port: addr.port });
      await client.write(bytesOf("x"));
      assertEquals(await readUpTo(client, 1), bytesOf("x"));
    }
  }
  using _taken = listenMptcp({ hostname: "127.0.0.1", port: first + 1 });
  const error = assertThrows(
    () => proxyMptcp({ front: `127.0.0.1:${first}-${first + 2}`, back: backend.address }),
    MptcpError,
  );
  assertEquals([error.code, error.port], ["EADDRINUSE", first + 1]);
  using _free = listenMptcp({ hostname: "127.0.0.1", port: first });
  await assertOpenFds(before + 2);
});

/** A proxy on ports in a row that are free. */
async function rangeOf(count: number, back: string) {
  for (let tries = 0;; tries++) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    try {
      const front = `127.0.0.1:${first}-${first + count - 1}`;
      return { proxy: proxyMptcp({ front, back }), first };
    } catch (error) {
      if (tries === 20) throw error;
      await delay(1);
    }
  }
}

test("two proxies share a port with reusePort, and one goes on without the other", async () => {
  await using backend = new TestBackend();
  await using one = new TestProxy({ back: backend.address, reusePort: true });
  const request = async () => {
    using client = await one.connect();
    await client.write(bytesOf("x"));
    assertEquals(await readUpTo(client, 1), bytesOf("x"));
  };
  {
    await using two = new TestProxy({
      front: `127.0.0.1:${one.port}`,
      back: backend.address,
      reusePort: true,
    });
    for (let i = 0; i < 40; i++) await request();
    const totals = [one, two].map(({ proxy }) => proxy.stats().total);
    assertEquals(totals[0]! + totals[1]!, 40);
    assert(totals.every((total) => total > 2), `${totals}`);
  }
  for (let i = 0; i < 10; i++) await request();
});

for (const errno of ["EMFILE", "ENFILE"] as const) {
  test(`a front that gets ${errno} waits, says so once, and goes on`, async () => {
    await using backend = new TestBackend();
    const { accept4 } = libc();
    let failures = 3;
    let calls = 0;
    await using proxy = new TestProxy({ back: backend.address });
    using _stub = stubLibc({
      accept4: (...args) => {
        calls++;
        return failures-- > 0 ? -ERRNO[errno] : accept4(...args);
      },
    });
    using client = await proxy.connect();
    await client.write(bytesOf("x"));
    assertEquals(await readUpTo(client, 1), bytesOf("x"));
    assertEquals(proxy.errors.map((error) => (error as MptcpError).code), [errno]);
    assertEquals(proxy.proxy.stats().exhausted, 1);
    assert(calls < 20, `${calls} calls: a busy loop`);
  });
}

test("hooks that throw are reported, and harm nobody", async () => {
  await using backend = new TestBackend();
  const fail = () => {
    throw new Error("from a hook");
  };
  const errors: unknown[] = [];
  await using proxy = proxyMptcp({
    front: "127.0.0.1:0",
    back: backend.address,
    onOpen: fail,
    onClose: fail,
    onError: (error) => errors.push((error as Error).message),
  });
  using client = await connectMptcp({ port: proxy.fronts[0]!.addr.port });
  await client.write(bytesOf("x"));
  assertEquals(await readUpTo(client, 1), bytesOf("x"));
  await client.closeWrite();
  await readToEnd(client);
  await proxy.shutdown();
  assertEquals(errors, ["from a hook", "from a hook"]);
});

test("connections() has what is open, with its bytes so far", async () => {
  await using backend = new TestBackend();
  await using proxy = new TestProxy({ back: backend.address });
  using client = await proxy.connect();
  await client.write(bytesOf("hello"));
  await readUpTo(client, 5);
  const [connection] = proxy.proxy.connections();
  assertEquals([connection!.bytesIn, connection!.bytesOut], [5, 5]);
  assertEquals(connection!.client, client.localAddr);
  assertEquals(connection!.backend, backend.address);
  assertEquals([proxy.proxy.stats().bytesIn, proxy.proxy.stats().bytesOut], [5, 5]);
});

for (
  const [wrong, message] of [
    [{ front: [] }, "Invalid front: expected at least one address"],
    [{ back: [] }, "Invalid back: expected at least one address"],
    [{ back: "localhost" }, "Invalid back"],
    [{ back: "localhost:1-2" }, "one socket takes one port"],
    [{ front: "nonsense:x" }, '"x" is not a port'],
    [{ maxConnections: 0 }, "Invalid maxConnections"],
    [{ connectTimeout: 0 }, "Invalid connectTimeout"],
    [{ idleTimeout: -1 }, "Invalid idleTimeout"],
    [{ idleTimeout: "1" }, "Invalid idleTimeout"],
    [{ sendProxy: "v3" }, "Invalid sendProxy"],
    [{ acceptProxy: { maxLength: 10 } }, "Invalid acceptProxy.maxLength"],
    [{ acceptProxy: 1 }, "Invalid acceptProxy"],
    [{ signal: 1 }, "Invalid signal"],
    [{ onClose: 1 }, "Invalid onClose"],
    [{ socketOptions: { nosuch: 1 } }, "nosuch"],
  ] as const
) {
  test(`proxyMptcp refuses ${JSON.stringify(wrong)}`, () => {
    const options = { front: "127.0.0.1:0", back: "127.0.0.1:1", ...wrong };
    assertThrows(() => proxyMptcp(options as unknown as ProxyMptcpOptions), Error, message);
  });
}

test("where the runtime's own TCP stands in, the proxy works as well", {
  place: runtime === "node" ? "node:net listens in a later turn, a listener at once" : null,
}, async () => {
  const before = pretendUnsupported("the test says so");
  try {
    await using backend = new TestBackend(undefined, { mptcp: "prefer" });
    await using proxy = new TestProxy({ back: `127.0.0.1:${backend.port}`, sendProxy: "v1" });
    using client = await proxy.connect();
    const bytes = new Uint8Array(3_000_000).fill(7);
    const writing = writeAll(client, bytes).then(() => client.closeWrite());
    const received = await readToEnd(client);
    await writing;
    const header = `PROXY TCP4 127.0.0.1 127.0.0.1 ${client.localAddr.port} ${proxy.port}\r\n`;
    assertEquals(new TextDecoder().decode(received.subarray(0, header.length)), header);
    assertEquals(received.byteLength, header.length + bytes.byteLength);
    const { end, front, bytesIn } = await proxy.report();
    assertEquals([end, front.fallback?.reason, bytesIn], ["closed", "not-linux", 3_000_000]);
    using _idle = await proxy.connect();
    while (proxy.proxy.stats().active === 0) await delay(5);
    await delay(50);
    proxy.proxy.close();
    assertEquals((await proxy.report(2)).end, "stopped");
  } finally {
    pretendUnsupported(before);
  }
});
