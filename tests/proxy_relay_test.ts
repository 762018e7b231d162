import { assert, assertEquals, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { MptcpError, mptcpSupport } from "../mod.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import { libc } from "../ffi/runtime.ts";
import { injectFaults, randomFrom, stubLibc } from "./faults.ts";
import { assertOpenFds, settledFds, test } from "./harness.ts";
import { modeOf, PAIRINGS, TestBackend, TestProxy } from "./proxy.ts";
import { bytesOf, delay, readToEnd, readUpTo, untilStill, writeAll } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

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
    const arrived = Promise.withResolvers<void>();
    const { promise, resolve } = Promise.withResolvers<unknown>();
    await using backend = new TestBackend(async (conn) => {
      await readUpTo(conn, 4);
      arrived.resolve();
      resolve(await readToEnd(conn).catch((error) => error.code));
    }, { mptcp });
    await using proxy = new TestProxy(options(backend));
    using client = await proxy.connect({ mptcp, socketOptions: { linger: 0 } });
    await client.write(bytesOf("word"));
    await arrived.promise;
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
