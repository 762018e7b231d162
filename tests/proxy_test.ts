import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import { ERRNO } from "../ffi/errno.ts";
import { libc, pretendUnsupported } from "../ffi/runtime.ts";
import { proxyMptcp } from "../src/proxy/mod.ts";
import type { ProxyBackend, ProxyMptcpOptions } from "../src/proxy/types.ts";
import { injectFaults, randomFrom, stubLibc } from "./faults.ts";
import { assertOpenFds, openFds, settledFds, test } from "./harness.ts";
import { TestBackend, TestProxy } from "./proxy.ts";
import { bytesOf, delay, readToEnd, readUpTo, untilStill, writeAll } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

/** Every pairing of protocols: of the front with its client, and of the back with its server. */
const PAIRINGS = [
  { front: "mptcp", back: "tcp" },
  { front: "tcp", back: "mptcp" },
  { front: "mptcp", back: "mptcp" },
  { front: "tcp", back: "tcp" },
] as const;

function modeOf(protocol: "mptcp" | "tcp"): "require" | "off" {
  return protocol === "mptcp" ? "require" : "off";
}

for (const { front, back } of PAIRINGS) {
  for (const host of ["127.0.0.1", "[::1]"]) {
    test(`a connection goes from ${front} to ${back} over ${host}, and the report says so`, {
      skip: front === back && back === "tcp" ? null : noMptcp,
    }, async () => {
      const hostname = host.replace(/[[\]]/g, "");
      await using backend = new TestBackend(undefined, { hostname, mptcp: modeOf(back) });
      await using proxy = new TestProxy({
        front: `${front}@${host}:0`,
        back: `${back}@${host}:${backend.port}`,
      });
      using client = await proxy.connect({ hostname, mptcp: modeOf(front) });
      assertEquals(client.protocol, front);
      await client.write(bytesOf("hello"));
      assertEquals(await readUpTo(client, 5), bytesOf("hello"));
      await client.closeWrite();
      assertEquals(await readToEnd(client), bytesOf(""));
      const report = await proxy.report();
      assertEquals([report.front.protocol, report.back?.protocol], [front, back]);
      assertEquals([report.front.subflows, report.back?.subflows], [1, 1]);
      assertEquals([report.bytesIn, report.bytesOut, report.end], [5, 5, "closed"]);
      assertEquals(report.client, client.localAddr);
      assertEquals(report.front.localAddr, client.remoteAddr);
      assertEquals(report.back?.remoteAddr.port, backend.port);
      assertEquals(report.backend, `${back}@${host}:${backend.port}`);
    });
  }
}

for (const protocol of ["mptcp", "tcp"] as const) {
  const skip = protocol === "tcp" ? null : noMptcp;
  const options = (backend: TestBackend) => ({
    front: `${protocol}@127.0.0.1:0`,
    back: backend.address,
  });
  const mptcp = modeOf(protocol);

  test(`a client over ${protocol} that half-closes gets the whole answer`, { skip }, async () => {
    const answer = new Uint8Array(3_000_000).fill(7);
    await using backend = new TestBackend(async (conn) => {
      const request = await readToEnd(conn);
      assertEquals(request.byteLength, 2_000_000);
      await writeAll(conn, answer);
    }, { mptcp });
    await using proxy = new TestProxy(options(backend));
    using client = await proxy.connect({ mptcp });
    await writeAll(client, new Uint8Array(2_000_000));
    await client.closeWrite();
    assertEquals((await readToEnd(client)).byteLength, answer.byteLength);
    assertEquals((await proxy.report()).end, "closed");
  });

  test(`a backend over ${protocol} that half-closes gets the rest of the request`, {
    skip,
  }, async () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    await using backend = new TestBackend(async (conn) => {
      await writeAll(conn, bytesOf("first"));
      await conn.closeWrite();
      resolve((await readToEnd(conn)).byteLength);
    }, { mptcp });
    await using proxy = new TestProxy(options(backend));
    using client = await proxy.connect({ mptcp });
    assertEquals(await readToEnd(client), bytesOf("first"));
    await writeAll(client, new Uint8Array(1_000_000));
    await client.closeWrite();
    assertEquals(await promise, 1_000_000);
    assertEquals((await proxy.report()).end, "closed");
  });

  test(`a client over ${protocol} that resets has its backend reset`, { skip }, async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    await using backend = new TestBackend(async (conn) => {
      resolve(await readToEnd(conn).catch((error) => error.code));
    }, { mptcp });
    await using proxy = new TestProxy(options(backend));
    using client = await proxy.connect({ mptcp, socketOptions: { linger: 0 } });
    await client.write(bytesOf("word"));
    await delay(20);
    client.close();
    assertEquals(await promise, "ECONNRESET");
    const { end, error } = await proxy.report();
    assertEquals([end, (error as MptcpError).code], ["client-reset", "ECONNRESET"]);
  });

  test(`a backend over ${protocol} that resets has its client reset`, { skip }, async () => {
    const linger = { socketOptions: { linger: 0 } };
    await using backend = new TestBackend(async (conn) => {
      await readUpTo(conn, 4);
    }, { mptcp, ...linger });
    await using proxy = new TestProxy(options(backend));
    using client = await proxy.connect({ mptcp });
    await client.write(bytesOf("word"));
    const error = await assertRejects(() => readToEnd(client), MptcpError);
    assertEquals(error.code, "ECONNRESET");
    assertEquals((await proxy.report()).end, "backend-reset");
  });
}

test("an answer before the end of an upload that is refused goes on to the client", async () => {
  await using backend = new TestBackend(async (conn) => {
    await readUpTo(conn, 10);
    await writeAll(conn, bytesOf("too large"));
    // Closing with bytes unread resets the connection.
    await delay(50);
  });
  await using proxy = new TestProxy({ front: "tcp@127.0.0.1:0", back: backend.address });
  using client = await proxy.connect({ mptcp: "off" });
  await client.write(new Uint8Array(10));
  // Without an end: the buffers on its way can hold more than any size that one would think of.
  const upload = (async () => {
    for (;;) await client.write(new Uint8Array(100_000));
  })().catch((error) => error.code);
  assertEquals(await readUpTo(client, 9), bytesOf("too large"));
  assertEquals((await proxy.report()).end, "backend-reset");
  assert(["ECONNRESET", "EPIPE"].includes(await upload));
});

for (const mptcp of ["off", "require"] as const) {
  test(`what came before a reset goes on before it, with mptcp "${mptcp}"`, {
    skip: mptcp === "off" ? null : noMptcp,
  }, async () => {
    await using backend = new TestBackend(async (conn) => {
      await readUpTo(conn, 1);
      await writeAll(conn, new Uint8Array(50_000));
      await delay(20);
    }, { socketOptions: { linger: 0 } });
    const front = { hostname: "127.0.0.1", mptcp };
    await using proxy = new TestProxy({ front, back: backend.address });
    for (let i = 1; i <= 20; i++) {
      using client = await proxy.connect({ mptcp });
      await client.write(bytesOf("x"));
      assertEquals((await readUpTo(client, 50_000)).byteLength, 50_000);
      await assertRejects(() => readToEnd(client), MptcpError);
      assertEquals((await proxy.report(i)).end, "backend-reset");
    }
  });
}

test("a reader that is slow stops its writer, and the proxy keeps one buffer at most", async () => {
  const { promise: go, resolve: start } = Promise.withResolvers<void>();
  await using backend = new TestBackend(async (conn) => {
    await go;
    const received = await readToEnd(conn);
    await conn.write(bytesOf(String(received.byteLength)));
  }, { socketOptions: { receiveBuffer: 65_536 } });
  await using proxy = new TestProxy({
    back: {
      hostname: "127.0.0.1",
      port: backend.port,
      mptcp: "off",
      socketOptions: { sendBuffer: 65_536 },
    },
    front: { hostname: "127.0.0.1", socketOptions: { receiveBuffer: 65_536 } },
  });
  using client = await proxy.connect({ socketOptions: { sendBuffer: 65_536 } });
  let sent = 0;
  const size = 3_000_000;
  const writing = (async () => {
    while (sent < size) sent += await client.write(new Uint8Array(Math.min(65_536, size - sent)));
    await client.closeWrite();
  })();
  await untilStill(() => sent);
  assert(sent < 1_200_000, `${sent} bytes were taken though nobody reads them`);
  assert(proxy.proxy.stats().bytesIn <= 800_000, `${proxy.proxy.stats().bytesIn}`);
  start();
  await writing;
  assertEquals(await readToEnd(client), bytesOf(String(size)));
});

test("a reset of a client is passed on though its backend is slow", async () => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  await using backend = new TestBackend(async (conn) => {
    await proxy.report();
    resolve(await readToEnd(conn).catch((error) => error.code));
  }, { socketOptions: { receiveBuffer: 16_384 } });
  await using proxy = new TestProxy({ front: "tcp@127.0.0.1:0", back: backend.address });
  using client = await proxy.connect({ mptcp: "off", socketOptions: { linger: 0 } });
  const writing = writeAll(client, new Uint8Array(20_000_000)).catch(() => {});
  while (proxy.proxy.stats().bytesIn < 1_000_000) await delay(10);
  await delay(100);
  client.close();
  await writing;
  assertEquals((await proxy.report()).end, "client-reset");
  assertEquals(await promise, "ECONNRESET");
});

test("backends have their turn one after the other", async () => {
  await using first = new TestBackend();
  await using second = new TestBackend();
  await using third = new TestBackend();
  const all = [first, second, third];
  await using proxy = new TestProxy({ back: all.map(({ address }) => address) });
  for (let i = 0; i < 9; i++) {
    using client = await proxy.connect();
    await client.write(bytesOf("x"));
    await readUpTo(client, 1);
  }
  assertEquals(all.map(({ taken }) => taken), [3, 3, 3]);
  assertEquals(proxy.proxy.stats().backends.map(({ total }) => total), [3, 3, 3]);
});

/** A port that nobody listens on. */
function closedPort(): number {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  return listener.addr.port;
}

test("a connection whose backend refuses goes to the next, and the backend is left out", async () => {
  const changes: ProxyBackend[] = [];
  await using backend = new TestBackend();
  const dead = `tcp@127.0.0.1:${closedPort()}`;
  await using proxy = new TestProxy({
    back: [dead, backend.address],
    onBackend: (state) => changes.push(state),
  });
  for (let i = 0; i < 6; i++) {
    using client = await proxy.connect();
    await client.write(bytesOf("x"));
    assertEquals(await readUpTo(client, 1), bytesOf("x"));
  }
  assertEquals(backend.taken, 6);
  const [down] = proxy.proxy.stats().backends;
  assertEquals([down!.isUp, down!.failures, down!.total], [false, 1, 0]);
  assertEquals(changes.map(({ address, isUp }) => [address, isUp]), [[dead, false]]);
  assertEquals((changes[0]!.error as MptcpError).code, "ECONNREFUSED");
  assert(changes[0]!.retryIn > 900 && changes[0]!.retryIn <= 1000);
});

test("a backend that is killed and revived has its turn again, and no client notices", async () => {
  const changes: boolean[] = [];
  await using steady = new TestBackend();
  const port = closedPort();
  await using proxy = new TestProxy({
    back: [`tcp@127.0.0.1:${port}`, steady.address],
    onBackend: ({ isUp }) => changes.push(isUp),
  });
  const request = async () => {
    using client = await proxy.connect();
    await client.write(bytesOf("x"));
    assertEquals(await readUpTo(client, 1), bytesOf("x"));
  };
  const revive = async () => {
    await using backend = new TestBackend(undefined, { port });
    const deadline = performance.now() + 10_000;
    while (backend.taken === 0) {
      assert(performance.now() < deadline);
      await request();
      await delay(20);
    }
  };
  for (let i = 0; i < 4; i++) await request();
  await revive();
  for (let i = 0; i < 4; i++) await request();
  assertEquals(changes, [false, true, false]);
  assertEquals(proxy.reports.filter(({ end }) => end === "no-backend"), []);
});

test("a backend that does not answer is given up after the time to connect", async () => {
  // Its backlog is full: what comes then gets no answer.
  using full = listenMptcp({ hostname: "127.0.0.1", mptcp: "off", tcpBacklog: 0 });
  using _first = await connectMptcp({ port: full.addr.port, mptcp: "off" });
  await using backend = new TestBackend();
  await using proxy = new TestProxy({
    back: [`tcp@127.0.0.1:${full.addr.port}`, backend.address],
    connectTimeout: 300,
  });
  using client = await proxy.connect();
  const started = performance.now();
  await client.write(bytesOf("x"));
  assertEquals(await readUpTo(client, 1), bytesOf("x"));
  assert(performance.now() - started > 250);
  const [slow] = proxy.proxy.stats().backends;
  assertEquals([slow!.isUp, (slow!.error as MptcpError).code], [false, "ETIMEDOUT"]);
});

test("a client is reset when there is no backend, and the report has every error", async () => {
  const ports = [closedPort(), closedPort()];
  await using proxy = new TestProxy({ back: ports.map((port) => `tcp@127.0.0.1:${port}`) });
  for (let i = 1; i <= 3; i++) {
    using client = await proxy.connect({ mptcp: "off" });
    const error = await assertRejects(() => readToEnd(client), MptcpError);
    assertEquals(error.code, "ECONNRESET");
    const report = await proxy.report(i);
    assertEquals([report.end, report.back, report.backend], ["no-backend", null, null]);
    const { message, errors } = report.error as AggregateError;
    assertEquals(errors.map(({ code }) => code), ["ECONNREFUSED", "ECONNREFUSED"]);
    for (const port of ports) assertStringIncludes(message, String(port));
  }
});

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

test("a backend is not blamed when this machine has no descriptor for it", async () => {
  await using backend = new TestBackend();
  await using proxy = new TestProxy({ back: backend.address });
  const { socket } = libc();
  let calls = 0;
  // The first call is that of the client.
  using _stub = stubLibc({
    socket: (...args) => ++calls > 1 && calls < 5 ? -ERRNO.EMFILE : socket(...args),
  });
  using client = await proxy.connect();
  await client.write(bytesOf("x"));
  assertEquals(await readUpTo(client, 1), bytesOf("x"));
  assertEquals(calls, 5);
  const [state] = proxy.proxy.stats().backends;
  assertEquals([state!.isUp, state!.failures], [true, 0]);
});

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
  await delay(50);
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
  assertEquals(await proxy.proxy.shutdown({ deadline: 100 }), 1);
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
      await proxy.proxy.close();
      for (const client of clients) client.close();
      assert(proxy.reports.length >= 1);
      assertEquals(new Set(proxy.reports.map(({ end }) => end)), new Set(["stopped"]));
    }
  }
  await assertOpenFds(before);
});

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

/** Counts the calls of `splice`. */
function countSplices(): Disposable & { calls: number } {
  const { splice } = libc();
  const stub = stubLibc({
    splice: (...args) => {
      counter.calls++;
      return splice(...args);
    },
  });
  const counter = { calls: 0, [Symbol.dispose]: () => stub[Symbol.dispose]() };
  return counter;
}

for (const { front, back } of PAIRINGS) {
  test(`16 MiB from ${front} to ${back} and back come through whole`, {
    skip: front === back && back === "tcp" ? null : noMptcp,
  }, async () => {
    using splices = countSplices();
    const random = randomFrom(1);
    const block = Uint8Array.from({ length: 1 << 20 }, () => random() * 256);
    const sent = createHash("sha256");
    const received = createHash("sha256");
    await using backend = new TestBackend(undefined, { mptcp: modeOf(back) });
    await using proxy = new TestProxy({ front: `${front}@127.0.0.1:0`, back: backend.address });
    using client = await proxy.connect({ mptcp: modeOf(front) });
    const writing = (async () => {
      for (let i = 0; i < 16; i++) {
        const part = block.subarray(i * 1000);
        sent.update(part);
        await writeAll(client, part);
      }
      await client.closeWrite();
    })();
    const buf = new Uint8Array(1 << 20);
    for (let count = await client.read(buf); count !== null; count = await client.read(buf)) {
      received.update(buf.subarray(0, count));
    }
    await writing;
    assertEquals(received.digest("hex"), sent.digest("hex"));
    assertEquals((await proxy.report()).end, "closed");
    assertEquals(splices.calls > 0, front === "tcp" && back === "tcp", `${splices.calls} calls`);
  });
}

test("a client that is slow, and then gone, leaves no pipe", async () => {
  const before = await settledFds();
  {
    using splices = countSplices();
    await using backend = new TestBackend(async (conn) => {
      for (;;) await conn.write(new Uint8Array(1 << 20));
    });
    await using proxy = new TestProxy({ front: "tcp@127.0.0.1:0", back: backend.address });
    const options = { mptcp: "off", socketOptions: { linger: 0 } } as const;
    const clients = await Promise.all(Array.from({ length: 20 }, () => proxy.connect(options)));
    // Read enough to have much come, and then no more, until every buffer is full.
    await Promise.all(clients.map((client) => readUpTo(client, 5_000_000)));
    await untilStill(() => proxy.proxy.stats().bytesOut);
    assert(splices.calls > 0);
    for (const client of clients) client.close();
    await proxy.report(20);
    assertEquals(proxy.reports.map(({ end }) => end), Array(20).fill("client-reset"));
  }
  await assertOpenFds(before);
});

test("without a descriptor for a pipe the bytes are copied", async () => {
  using _stub = stubLibc({ pipe2: () => -ERRNO.EMFILE });
  await using backend = new TestBackend();
  await using proxy = new TestProxy({ front: "tcp@127.0.0.1:0", back: backend.address });
  using client = await proxy.connect({ mptcp: "off" });
  const writing = writeAll(client, new Uint8Array(8_000_000)).then(() => client.closeWrite());
  assertEquals((await readToEnd(client)).byteLength, 8_000_000);
  await writing;
});

for (const { front, back } of PAIRINGS) {
  for (const seed of [1, 2]) {
    test(`no byte is lost from ${front} to ${back} by interrupted and short calls, seed ${seed}`, {
      skip: front === back && back === "tcp" ? null : noMptcp,
    }, async () => {
      const random = randomFrom(seed);
      const bytes = Uint8Array.from({ length: 1_500_000 }, () => random() * 256);
      await using backend = new TestBackend(undefined, { mptcp: modeOf(back) });
      await using proxy = new TestProxy({ front: `${front}@127.0.0.1:0`, back: backend.address });
      using faults = injectFaults({ seed, EINTR: 10, EAGAIN: 10, short: 30 });
      using client = await proxy.connect({ mptcp: modeOf(front) });
      const writing = writeAll(client, bytes).then(() => client.closeWrite());
      const received = await readToEnd(client);
      await writing;
      assertEquals(received.byteLength, bytes.byteLength);
      assert(Buffer.compare(received, bytes) === 0);
      assertEquals((await proxy.report()).end, "closed");
      assert(faults.counts.short > 0 && faults.counts.EAGAIN > 0);
    });
  }
}

test("where the runtime's own TCP stands in, the proxy works as well", async () => {
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
    await proxy.proxy.close();
    assertEquals((await proxy.report(2)).end, "stopped");
  } finally {
    pretendUnsupported(before);
  }
});
