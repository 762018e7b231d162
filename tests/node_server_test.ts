import { assert, assertEquals, assertThrows } from "@std/assert";
import { once } from "node:events";
import * as net from "node:net";
import { connectMptcp, listenMptcp, mptcpSupport } from "../mod.ts";
import { createConnection, createServer, MptcpSocket, MptcpSocketServer } from "../src/node/mod.ts";
import { openFds, test } from "./harness.ts";
import { closed, errorOf, eventsOf, listening, textOf, untilClosed } from "./node.ts";
import { bytesOf, delay, LOOPBACKS, readToEnd } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

for (const host of LOOPBACKS) {
  test(`a server on ${host} takes MPTCP and TCP clients, and each socket says which it is`, {
    skip: noMptcp,
  }, async () => {
    const seen: string[] = [];
    const { server, port } = await listening({}, (socket) => {
      seen.push(`${socket.protocol} ${socket.remoteAddress} ${socket.localPort === port}`);
      socket.end(socket.fallback?.reason ?? "none");
    }, host);
    assertEquals([server.protocol, server.fallback, server.listening], ["mptcp", null, true]);
    const family = host === "::1" ? "IPv6" : "IPv4";
    assertEquals(server.address(), { address: host, family, port });
    const mptcp = await connectMptcp({ hostname: host, port });
    assertEquals([mptcp.protocol, await readToEnd(mptcp)], ["mptcp", bytesOf("none")]);
    mptcp.close();
    assertEquals(await textOf(net.connect(port, host)), "peer");
    assertEquals(seen, [`mptcp ${host} true`, `tcp ${host} true`]);
    server.close();
    await once(server, "close");
    assertEquals([server.address(), server.listening], [null, false]);
  });
}

test("a server of mptcp off is TCP and says so; require is an error without MPTCP", async () => {
  const { server } = await listening({ mptcp: "off" });
  assertEquals([server.protocol, server.fallback?.reason], ["tcp", "off"]);
  await server[Symbol.asyncDispose]();
});

test("a server without a host takes clients of both families", async () => {
  const server = createServer((socket) => void socket.end(socket.remoteFamily));
  assertEquals(server.listen(() => {}), server);
  assertEquals(server.address() !== null, true);
  await once(server, "listening");
  const { port } = server.address()!;
  for (const host of LOOPBACKS) {
    assertEquals(await textOf(createConnection(port, host)), host === "::1" ? "IPv6" : "IPv4");
  }
  await server[Symbol.asyncDispose]();
});

test("listen takes every form of net.Server for ports", async () => {
  const forms: unknown[][] = [
    [],
    [0],
    ["0"],
    [0, "127.0.0.1"],
    [0, "127.0.0.1", 5],
    [0, 5],
    [{ port: 0 }],
    [{ port: 0, host: "::1", ipv6Only: true, backlog: 3, exclusive: true }],
    [{}],
    [undefined],
    [null],
  ];
  for (const form of forms) {
    const server = new MptcpSocketServer();
    if (form.length === 1 && JSON.stringify(form[0]) === "{}") {
      assertThrows(() => server.listen({} as never), TypeError);
      continue;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    server.listen(...form as [], resolve);
    await promise;
    assert(server.address()!.port > 0, JSON.stringify(form));
    assertThrows(() => server.listen(0), Error, "more than once");
    await server[Symbol.asyncDispose]();
  }
  assertThrows(() => createServer().listen("/run/x.sock"), Error, "Unix sockets");
  assertThrows(() => createServer().listen(65536), RangeError);
});

test(
  "a server listens on a descriptor, and a socket is made of one",
  { skip: noMptcp },
  async () => {
    const listener = listenMptcp({ hostname: "127.0.0.1" });
    const { port } = listener.addr;
    const server = createServer((socket) => void socket.pipe(socket));
    server.listen({ fd: listener.detach() });
    await once(server, "listening");
    const conn = await connectMptcp({ port });
    const socket = new MptcpSocket({ fd: conn.detach() });
    assertEquals([server.protocol, socket.protocol, socket.remotePort], ["mptcp", "mptcp", port]);
    socket.end("by descriptor");
    assertEquals(await textOf(socket), "by descriptor");
    await server[Symbol.asyncDispose]();
  },
);

test("a port in use is EADDRINUSE, as an event behind the call", async () => {
  const { server, port } = await listening({});
  const second = createServer();
  second.listen(port, "127.0.0.1");
  const { code, errno, syscall, address, message, ...rest } = await errorOf(second);
  assertEquals([code, errno, syscall, address, rest.port], [
    "EADDRINUSE",
    -98,
    "listen",
    "127.0.0.1",
    port,
  ]);
  assertEquals(message, `listen EADDRINUSE: address already in use 127.0.0.1:${port}`);
  assertEquals(second.listening, false);
  second.listen(0);
  await once(second, "listening");
  await Promise.all([second[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]);
});

test("closing a server waits for its connections, and tells of a server that did not run", async () => {
  const { server, port } = await listening({});
  const accepted = once(server, "connection");
  const client = createConnection(port, "127.0.0.1");
  const [served] = await accepted;
  const seen = eventsOf(server, ["close"]);
  const outcome = new Promise<Error | undefined>((resolve) => server.close(resolve));
  await delay(20);
  assertEquals(seen, []);
  assertEquals(await count(server), 1);
  served.end();
  client.resume();
  assertEquals(await outcome, undefined);
  await untilClosed(client);
  assertEquals([seen, await count(server)], [["close"], 0]);
  const again = await new Promise<Error | undefined>((resolve) => server.close(resolve));
  assertEquals((again as Error & { code: string }).code, "ERR_SERVER_NOT_RUNNING");
});

function count(server: MptcpSocketServer): Promise<number> {
  return new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
}

test("connections above maxConnections are dropped, and the server says whose", async () => {
  const { server, port } = await listening({});
  server.maxConnections = 1;
  const accepted = once(server, "connection");
  const first = createConnection(port, "127.0.0.1");
  const [served] = await accepted;
  const dropping = once(server, "drop");
  const second = createConnection(port, "127.0.0.1");
  second.on("error", () => {});
  second.resume();
  await once(second, "connect");
  const local = second.localPort;
  const [dropped] = await dropping;
  assertEquals([dropped.remotePort, dropped.localPort, dropped.remoteFamily], [
    local,
    port,
    "IPv4",
  ]);
  await untilClosed(second);
  server.close();
  await Promise.all([closed(first), closed(served)]);
});

test("pauseOnConnect leaves the bytes with the kernel until the socket is resumed", async () => {
  const { server, port } = await listening({ pauseOnConnect: true });
  const accepted = once(server, "connection");
  const client = createConnection(port, "127.0.0.1");
  client.end("hello");
  const [served] = await accepted;
  await delay(30);
  assertEquals([served.isPaused(), served.bytesRead], [true, 0]);
  served.resume();
  assertEquals(await textOf(served), "hello");
  await untilClosed(client);
  await server[Symbol.asyncDispose]();
});

test("a signal closes a server", async () => {
  const before = openFds();
  const abort = new AbortController();
  const server = createServer();
  server.listen({ port: 0, signal: abort.signal });
  await once(server, "listening");
  abort.abort();
  await once(server, "close");
  assertEquals(openFds(), before);
  const aborted = createServer();
  aborted.listen({ port: 0, signal: AbortSignal.abort() });
  await once(aborted, "close");
});

test("a thousand short connections leave no descriptor behind", async () => {
  const { server, port } = await listening({}, (socket) => void socket.pipe(socket));
  const before = openFds();
  for (let round = 0; round < 20; round++) {
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      const socket = createConnection(port, "127.0.0.1");
      socket.end(String(i));
      assertEquals(await textOf(socket), String(i));
    }));
  }
  while (await count(server) > 0) await delay(5);
  assertEquals(openFds(), before);
  await server[Symbol.asyncDispose]();
});
