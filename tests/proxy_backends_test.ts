import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connectMptcp, listenMptcp, MptcpError } from "../mod.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import { libc } from "../ffi/runtime.ts";
import type { ProxyBackend } from "../src/proxy/types.ts";
import { stubLibc } from "./faults.ts";
import { test } from "./harness.ts";
import { TestBackend, TestProxy } from "./proxy.ts";
import { bytesOf, delay, readToEnd, readUpTo } from "./sockets.ts";

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
