import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { encodeSockaddr, parseIp } from "../ffi/linux/sockaddr.ts";
import { connectMptcp, listenMptcp, MptcpError } from "../mod.ts";
import { interleave } from "../src/net/happy_eyeballs.ts";
import type { MptcpConn, MptcpListener } from "../src/types.ts";
import { stubLibc } from "./faults.ts";
import { assertOpenFds, openFds, test } from "./harness.ts";
import { connectedPair, delay } from "./sockets.ts";

/** Makes every name mean these addresses, after a delay. */
function stubNames(addresses: string[], milliseconds = 0): Disposable {
  return stubLibc({
    async getaddrinfoAsync() {
      await delay(milliseconds);
      return addresses.map((address) => encodeSockaddr(parseIp(address)!.bytes, 0));
    },
  });
}

/** A port on which one address answers and another lets connections wait for ever. */
async function slowAndQuick(slow: string, quick: string): Promise<
  { port: number; good: MptcpListener } & Disposable
> {
  const good = listenMptcp({ hostname: quick });
  const { port } = good.addr;
  const full = listenMptcp({ hostname: slow, port, tcpBacklog: 0 });
  const fillers: MptcpConn[] = [];
  // The kernel drops SYNs for a listener whose queue is full.
  for (let i = 0; i < 3; i++) {
    const signal = AbortSignal.timeout(150);
    const filler = await connectMptcp({ hostname: slow, port, signal }).catch(() => null);
    if (filler === null) break;
    fillers.push(filler);
  }
  return {
    port,
    good,
    [Symbol.dispose]() {
      for (const closable of [good, full, ...fillers]) closable.close();
    },
  };
}

for (const [slow, quick] of [["::1", "127.0.0.1"], ["127.0.0.1", "::1"]] as const) {
  test(`a slow ${slow} is overtaken by ${quick} after 250 ms`, async () => {
    using target = await slowAndQuick(slow, quick);
    using _ = stubNames([slow, quick]);
    const before = openFds();
    const started = performance.now();
    using conn = await connectMptcp({ hostname: "slow.test", port: target.port });
    const milliseconds = performance.now() - started;
    assertEquals(conn.remoteAddr.hostname, quick);
    assert(milliseconds >= 245 && milliseconds < 900, `${milliseconds} ms`);
    await assertOpenFds(before + 1);
  });
}

test("the delay between attempts is an option", async () => {
  using target = await slowAndQuick("::1", "127.0.0.1");
  using _ = stubNames(["::1", "127.0.0.1"]);
  const started = performance.now();
  using _conn = await connectMptcp({
    hostname: "slow.test",
    port: target.port,
    autoSelectFamilyAttemptDelay: 20,
  });
  const milliseconds = performance.now() - started;
  assert(milliseconds < 200, `${milliseconds} ms`);
});

test("without autoSelectFamily a slow address is waited for", async () => {
  using target = await slowAndQuick("::1", "127.0.0.1");
  using _ = stubNames(["::1", "127.0.0.1"]);
  const signal = AbortSignal.timeout(600);
  const { port } = target;
  const options = { hostname: "slow.test", port, signal, autoSelectFamily: false };
  await assertRejects(() => connectMptcp(options), DOMException);
});

test("a refused address is passed over at once", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  using _ = stubNames(["::1", "127.0.0.1"]);
  for (const autoSelectFamily of [true, false]) {
    const started = performance.now();
    const { port } = listener.addr;
    using conn = await connectMptcp({ hostname: "half.test", port, autoSelectFamily });
    assertEquals(conn.remoteAddr.hostname, "127.0.0.1");
    assert(performance.now() - started < 200);
  }
});

test("when every address fails the error names each attempt", async () => {
  using _ = stubNames(["::1", "127.0.0.1", "127.0.0.2"]);
  const error = await assertRejects(
    () => connectMptcp({ hostname: "none.test", port: 1 }),
    MptcpError,
  );
  assertEquals(
    [error.code, error.name, error.address, error.port],
    ["ECONNREFUSED", "ConnectionRefused", "none.test", 1],
  );
  for (const address of ["[::1]:1", "127.0.0.1:1", "127.0.0.2:1"]) {
    assert(error.message.includes(`connect ${address}: Connection refused`), error.message);
  }
  assertInstanceOf(error.cause, AggregateError);
  assertEquals(error.cause.errors.length, 3);
});

test("attempts alternate between families, beginning with the first", () => {
  const list = [4, 4, 4, 6, 6].map((family, i) => ({ family, i }));
  assertEquals(interleave(list).map(({ i }) => i), [0, 3, 1, 4, 2]);
  assertEquals(interleave(list.toReversed()).map(({ i }) => i), [4, 2, 3, 1, 0]);
  assertEquals(interleave([]), []);
});

test("localhost is looked up by libc, for listening and for connecting", async () => {
  using listener = listenMptcp({ hostname: "localhost" });
  using conn = await connectMptcp({ hostname: "localhost", port: listener.addr.port });
  assertEquals(conn.remoteAddr.port, listener.addr.port);
});

test("a name that does not exist is an error with the resolver's code", async () => {
  const failed = { address: "no.such.name.invalid", syscall: "getaddrinfo" };
  const connecting = await assertRejects(
    () => connectMptcp({ hostname: failed.address, port: 1 }),
    MptcpError,
    failed.address,
  );
  assert(["ENOTFOUND", "EAI_AGAIN"].includes(connecting.code), connecting.code);
  assertEquals([connecting.address, connecting.syscall], [failed.address, failed.syscall]);
  try {
    listenMptcp({ hostname: failed.address });
  } catch (error) {
    assertInstanceOf(error, MptcpError);
    assert(["ENOTFOUND", "EAI_AGAIN"].includes(error.code), error.code);
  }
});

test("a connection comes from the local address and port that are asked for", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const { port } = listener.addr;
  const localPort = freePort();
  using conn = await connectMptcp({ port, localAddress: "127.0.0.3", localPort });
  assertEquals(conn.localAddr, { transport: "tcp", hostname: "127.0.0.3", port: localPort });
  using server = await listener.accept();
  assertEquals(server.remoteAddr, conn.localAddr);
  using second = await connectMptcp({ port, localPort: freePort() });
  assertEquals(second.localAddr.hostname, "127.0.0.1");
});

/** A port that nobody has used a moment ago. */
function freePort(): number {
  using listener = listenMptcp();
  return listener.addr.port;
}

test("a local address of the other family is an error before any attempt", async () => {
  const options = { hostname: "127.0.0.1", port: 1, localAddress: "::1" };
  const error = await assertRejects(() => connectMptcp(options), MptcpError, "localAddress ::1");
  assertEquals(error.code, "EAFNOSUPPORT");
});

test("an aborted signal rejects with its reason before anything happens", async () => {
  const reason = new Error("not now");
  using _ = stubLibc({
    socket: () => {
      throw new Error("a socket was made");
    },
  });
  const signal = AbortSignal.abort(reason);
  const error = await assertRejects(() => connectMptcp({ port: 1, signal }), Error);
  assertEquals(error, reason);
});

test("aborting while a name is looked up, or a connection is made, leaks nothing", async () => {
  using target = await slowAndQuick("::1", "127.0.0.1");
  using _ = stubNames(["::1", "127.0.0.1"], 5);
  const before = openFds();
  const reason = new Error("enough");
  for (const milliseconds of [0, 1, 4, 6, 20, 100, 245, 250, 255]) {
    const controller = new AbortController();
    const { port } = target;
    const { signal } = controller;
    const connecting = connectMptcp({ hostname: "slow.test", port, signal });
    setTimeout(() => controller.abort(reason), milliseconds);
    const outcome = await connecting.then((conn) => conn.close(), (error) => error);
    if (outcome !== undefined) assertEquals(outcome, reason);
  }
  await delay(20);
  await assertOpenFds(before);
});

test("a signal that fires after the connection was made does nothing to it", async () => {
  const controller = new AbortController();
  using pair = await connectedPair({}, { signal: controller.signal });
  controller.abort();
  assertEquals(await pair.client.write(new Uint8Array(3)), 3);
});

test("the message about many addresses names some and counts the rest", async () => {
  const names = Array.from({ length: 120 }, (_, i) => `127.0.1.${i + 1}`);
  using _ = stubNames(names);
  const port = freePort();
  const error = await assertRejects(
    () => connectMptcp({ hostname: "many.test", port }),
    MptcpError,
  );
  assert(error.message.length < 600, error.message);
  assert(error.message.includes("connect 127.0.1.5:"), error.message);
  assert(error.message.endsWith("; and 115 more"), error.message);
  assertEquals((error.cause as AggregateError).errors.length, 120);
  assertEquals(error.code, "ECONNREFUSED");
});
