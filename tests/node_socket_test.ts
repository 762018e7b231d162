import { assert, assertEquals, assertThrows } from "@std/assert";
import { once } from "node:events";
import * as net from "node:net";
import { Duplex } from "node:stream";
import { readdirSync } from "node:fs";
import * as abi from "../ffi/linux/abi.ts";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import { getIntOption, localSockaddr, toNetAddr } from "../src/poll/socket.ts";
import { createConnection, MptcpSocket } from "../src/node/mod.ts";
import type { CreateConnectionOptions } from "../src/node/mod.ts";
import { openFds, test } from "./harness.ts";
import {
  closed,
  errorOf,
  eventsOf,
  listening,
  socketPair,
  textOf,
  untilClosed,
  wireProtocol,
} from "./node.ts";
import { runProgram } from "./processes.ts";
import { bytesOf, delay, LOOPBACKS, readToEnd, readUpTo } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const EVENTS = ["lookup", "connect", "ready", "data", "end", "finish", "error", "close"];

/** A listener, a socket that connects to it, and the other end. */
async function connected(options: Partial<CreateConnectionOptions> = {}, host = "127.0.0.1") {
  using listener = listenMptcp({ hostname: host });
  const socket = createConnection({ port: listener.addr.port, host, ...options });
  const [conn] = await Promise.all([listener.accept(), once(socket, "connect")]);
  return { socket, conn };
}

for (const host of LOOPBACKS) {
  test(`a socket connects to ${host} by MPTCP, says so, and knows both ends`, {
    skip: noMptcp,
  }, async () => {
    const { socket, conn } = await connected({}, host);
    assertEquals([socket.protocol, wireProtocol(conn.fd), socket.fallback], [
      "mptcp",
      "mptcp",
      null,
    ]);
    assertEquals(socket.subflows().length, 1);
    assert(socket.info() !== null);
    const family = host === "::1" ? "IPv6" : "IPv4";
    const { port } = conn.localAddr;
    assertEquals([socket.remoteAddress, socket.remotePort, socket.remoteFamily], [
      host,
      port,
      family,
    ]);
    const local = { address: host, family, port: conn.remoteAddr.port };
    assertEquals([socket.localAddress, socket.localPort, socket.localFamily], [
      host,
      local.port,
      family,
    ]);
    assertEquals(socket.address(), local);
    conn.close();
    await closed(socket);
    assertEquals([socket.protocol, socket.remotePort, socket.subflows()], ["mptcp", port, []]);
  });
}

test("a socket of mptcp off is TCP at both ends, and says why", async () => {
  const { socket, conn } = await connected({ mptcp: "off" });
  assertEquals([socket.protocol, wireProtocol(conn.fd)], ["tcp", "tcp"]);
  assertEquals([socket.fallback?.reason, socket.info(), socket.subflows().length], [
    "off",
    null,
    1,
  ]);
  conn.close();
  await closed(socket);
});

test("a socket of a peer without MPTCP is TCP and says so; require-peer refuses it", {
  skip: noMptcp,
}, async () => {
  const server = net.createServer((socket) => void socket.resume());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  const socket = createConnection(port, "127.0.0.1");
  await once(socket, "connect");
  assertEquals([socket.protocol, socket.fallback?.reason], ["tcp", "peer"]);
  await closed(socket);
  const refused = createConnection({ port, host: "127.0.0.1", mptcp: "require-peer" });
  assertEquals((await errorOf(refused)).code, "ERR_MPTCP_PEER");
  server.close();
  await once(server, "close");
});

test("events come in the order of net.Socket", async () => {
  const { server, port } = await listening({}, (socket) => void socket.pipe(socket));
  const socket = new MptcpSocket();
  const seen = eventsOf(socket, EVENTS);
  assertEquals([socket.pending, socket.connecting, socket.readyState], [true, false, "open"]);
  assertEquals(socket.address(), {});
  socket.connect({ port, host: "localhost", family: 4 });
  assertEquals([socket.pending, socket.connecting, socket.readyState], [true, true, "opening"]);
  await once(socket, "connect");
  assertEquals([socket.pending, socket.connecting, socket.readyState], [false, false, "open"]);
  socket.end("hello");
  assertEquals(socket.readyState, "readOnly");
  const [hadError] = await once(socket, "close");
  assertEquals(hadError, false);
  assertEquals(seen.filter((name) => name !== "finish"), [
    "lookup",
    "connect",
    "ready",
    "data",
    "end",
    "close",
  ]);
  assert(seen.indexOf("finish") < seen.indexOf("close"));
  assertEquals([socket.bytesWritten, socket.bytesRead, socket.readyState], [5, 5, "closed"]);
  server.close();
  await once(server, "close");
});

test("what is written before there is a connection is sent once there is one, in order", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const socket = new MptcpSocket();
  socket.connect(listener.addr.port, "127.0.0.1");
  const written: number[] = [];
  for (let i = 0; i < 5; i++) socket.write(String(i), () => written.push(i));
  assertEquals(socket.bytesWritten, 5);
  socket.end("!");
  using conn = await listener.accept();
  assertEquals(await readToEnd(conn), bytesOf("01234!"));
  assertEquals(written, [0, 1, 2, 3, 4]);
  await closed(socket);
});

test("end half-closes: the peer's answer is read, however late", async () => {
  const { socket, conn } = await connected();
  socket.end("request");
  assertEquals(await readToEnd(conn), bytesOf("request"));
  await delay(20);
  await conn.write(bytesOf("late answer"));
  conn.close();
  assertEquals(await textOf(socket), "late answer");
  await untilClosed(socket);
});

test("the peer's end ends a socket, unless it may be half-open", async () => {
  const one = await connected();
  one.socket.resume();
  await one.conn.closeWrite();
  await untilClosed(one.socket);
  assertEquals(await one.conn.read(new Uint8Array(1)), null);
  one.conn.close();

  const other = await connected({ allowHalfOpen: true });
  other.socket.resume();
  await other.conn.closeWrite();
  await once(other.socket, "end");
  await delay(10);
  assertEquals([other.socket.destroyed, other.socket.readyState], [false, "writeOnly"]);
  other.socket.end("still open");
  assertEquals(await readToEnd(other.conn), bytesOf("still open"));
  await untilClosed(other.socket);
  other.conn.close();
});

test("the peer's end can be answered in its event, and a later write is an EPIPE", async () => {
  const { socket, conn } = await connected();
  socket.resume().on("end", () => socket.write("last words"));
  await conn.closeWrite();
  assertEquals(await readToEnd(conn), bytesOf("last words"));
  await untilClosed(socket);
  const error = await new Promise<Error & { code?: string } | null | undefined>((resolve) => {
    socket.write("too late", resolve);
  });
  assertEquals(error?.code, "EPIPE");
  assertEquals(error?.message, "This socket has been ended by the other party");
  conn.close();
});

test("a slow reader stops the sender, and all bytes arrive", async () => {
  await using pair = await socketPair();
  const { client, served } = pair;
  const block = new Uint8Array(256 * 1024).map((_, i) => i * 7);
  let sent = 0;
  while (client.write(block) && sent < 64) sent++;
  const before = served.bytesRead;
  assert(before < block.byteLength * (sent + 1));
  // Nobody reads: the server's end takes no more than its high-water mark and one read.
  await delay(100);
  assert(served.bytesRead <= 256 * 1024, String(served.bytesRead));
  for (let i = sent + 1; i < 40; i++) client.write(block);
  client.end();
  let received = 0;
  let wrong = 0;
  for await (const chunk of served) {
    const bytes = chunk as Uint8Array;
    for (let i = 0; i < bytes.length; i += 997) {
      if (bytes[i] !== block[(received + i) % block.length]) wrong++;
    }
    received += bytes.length;
  }
  assertEquals([received, wrong], [Math.max(sent + 1, 40) * block.byteLength, 0]);
});

test("a refused connection is Node's error, with this module's as its cause", async () => {
  const { port } = (() => {
    using listener = listenMptcp({ hostname: "127.0.0.1" });
    return listener.addr;
  })();
  const socket = createConnection(port, "127.0.0.1");
  const seen = eventsOf(socket, EVENTS);
  const closing = new Promise((resolve) => socket.on("close", resolve));
  const error = await errorOf(socket);
  assertEquals(error.message, `connect ECONNREFUSED 127.0.0.1:${port}`);
  const { code, errno, syscall, address, name } = error;
  assertEquals([name, code, errno, syscall, address, error.port], [
    "Error",
    "ECONNREFUSED",
    -111,
    "connect",
    "127.0.0.1",
    port,
  ]);
  assert(error.cause instanceof MptcpError);
  assertEquals(await closing, true);
  assertEquals([seen, socket.destroyed, socket.connecting], [["error", "close"], true, false]);
});

test("several addresses that all refuse are one AggregateError", async () => {
  const { port } = (() => {
    using listener = listenMptcp({ hostname: "127.0.0.1" });
    return listener.addr;
  })();
  const socket = createConnection({
    port,
    host: "two.example",
    lookup: (_host, _options, callback) =>
      callback(null, [{ address: "::1", family: 6 }, { address: "127.0.0.1", family: 4 }]),
  });
  const lookedUp: unknown[] = [];
  socket.on("lookup", (...args) => lookedUp.push(args));
  const error = await errorOf(socket) as unknown as AggregateError & { code: string };
  assertEquals([error.name, error.code], ["AggregateError", "ECONNREFUSED"]);
  const inner = error.errors as { address: string; code: string }[];
  assertEquals(inner.map(({ address, code }) => `${address} ${code}`), [
    "::1 ECONNREFUSED",
    "127.0.0.1 ECONNREFUSED",
  ]);
  assertEquals(lookedUp, [[null, "::1", 6, "two.example"], [null, "127.0.0.1", 4, "two.example"]]);
  assertEquals(socket.autoSelectFamilyAttemptedAddresses, [`::1:${port}`, `127.0.0.1:${port}`]);
});

test("a name that does not exist is ENOTFOUND, by the event lookup and by the error", async () => {
  const socket = createConnection(80, "nowhere.invalid");
  const lookedUp = once(socket, "lookup");
  const error = await errorOf(socket);
  const { syscall, hostname, code } = error;
  assert(code === "ENOTFOUND" || code === "EAI_AGAIN", String(code));
  assertEquals([syscall, hostname], ["getaddrinfo", "nowhere.invalid"]);
  assert((await lookedUp)[0] instanceof Error);
});

test("a connection that is reset is ECONNRESET, and resetAndDestroy resets", async () => {
  await using pair = await socketPair();
  pair.served.resetAndDestroy();
  pair.client.resume();
  const hadError = new Promise((resolve) => pair.client.on("close", resolve));
  const { code, errno, syscall } = await errorOf(pair.client);
  assertEquals([code, errno, syscall], ["ECONNRESET", -104, "read"]);
  assertEquals(await hadError, true);
});

test("destroying a socket that connects leaves no descriptor, and what waits is told", async () => {
  const before = openFds();
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const socket = createConnection(listener.addr.port, "127.0.0.1");
  const written = new Promise<Error | null | undefined>((resolve) => socket.write("x", resolve));
  socket.on("connect", () => assert(false, "it has connected"));
  socket.destroy();
  await untilClosed(socket);
  assert(await written instanceof Error);
  await delay(20);
  assertEquals(openFds(), before + 1);
});

test("a signal that is aborted already destroys a socket, and listening to it ends", async () => {
  const socket = createConnection({ port: 1, host: "127.0.0.1", signal: AbortSignal.abort() });
  assertEquals((await errorOf(socket)).name, "AbortError");
});

test("a signal destroys a socket with an AbortError", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const abort = new AbortController();
  const { port } = listener.addr;
  const socket = createConnection({ port, host: "127.0.0.1", signal: abort.signal });
  abort.abort();
  assertEquals((await errorOf(socket)).name, "AbortError");
  await delay(10);
  assert(socket.destroyed);
});

test("a timeout comes when a socket is idle, not before, and closes nothing", async () => {
  await using pair = await socketPair({}, { timeout: 80 });
  const { client, served } = pair;
  assertEquals(client.timeout, 80);
  let timeouts = 0;
  client.on("timeout", () => timeouts++);
  client.resume();
  for (let i = 0; i < 8; i++) {
    served.write("x");
    await delay(20);
  }
  assertEquals(timeouts, 0);
  await once(client, "timeout");
  assertEquals(client.destroyed, false);
  assertEquals(client.setTimeout(0), client);
  await delay(120);
  assertEquals(timeouts, 1);
  for (const wrong of ["1", null, {}]) {
    const { code } = assertThrows(() => client.setTimeout(wrong as never), TypeError) as Error & {
      code: string;
    };
    assertEquals(code, "ERR_INVALID_ARG_TYPE");
  }
  for (const wrong of [-1, NaN, Infinity]) {
    assertThrows(() => client.setTimeout(wrong), RangeError);
  }
});

test("destroySoon sends what was written first", async () => {
  const { socket, conn } = await connected();
  const block = new Uint8Array(3_000_000);
  socket.write(block);
  socket.destroySoon();
  assertEquals((await readToEnd(conn)).byteLength, block.byteLength);
  await untilClosed(socket);
  conn.close();
});

test("setEncoding gives text, whole characters of it", async () => {
  const { socket, conn } = await connected();
  socket.setEncoding("utf8");
  const heard: string[] = [];
  socket.on("data", (text) => heard.push(text as unknown as string));
  const euro = bytesOf("€");
  await conn.write(euro.subarray(0, 1));
  await delay(10);
  await conn.write(euro.subarray(1));
  conn.close();
  await untilClosed(socket);
  assertEquals(heard.join(""), "€");
  assert(heard.every((text) => typeof text === "string"));
});

test("onread reads into the caller's buffer, and pauses when told to", async () => {
  const buffer = new Uint8Array(4);
  const heard: string[] = [];
  const { socket, conn } = await connected({
    onread: {
      buffer,
      callback(count, into) {
        assert(into === buffer);
        heard.push(new TextDecoder().decode(into.subarray(0, count)));
        return heard.length !== 2;
      },
    },
  });
  socket.on("data", () => assert(false, "onread takes the place of data"));
  await conn.write(bytesOf("abcdefghij"));
  await delay(30);
  assertEquals(heard, ["abcd", "efgh"]);
  socket.resume();
  conn.close();
  await untilClosed(socket);
  assertEquals(heard, ["abcd", "efgh", "ij"]);
});

test("connecting while a connection is being made is EALREADY, as with net.Socket", async () => {
  const { server, port } = await listening({});
  const socket = createConnection(port, "127.0.0.1");
  socket.connect(port, "127.0.0.1");
  const { code, errno, syscall } = await errorOf(socket);
  assertEquals([code, errno, syscall], ["EALREADY", -114, "connect"]);
  await untilClosed(socket);
  await server[Symbol.asyncDispose]();
});

test("a socket that was closed connects again", async () => {
  const { server, port } = await listening({}, (socket) => void socket.pipe(socket));
  const socket = new MptcpSocket();
  for (const word of ["first", "second"]) {
    let heard = "";
    const listener = (chunk: Uint8Array) => heard += new TextDecoder().decode(chunk);
    socket.on("data", listener);
    socket.connect(port, "127.0.0.1");
    socket.end(word);
    await untilClosed(socket);
    socket.off("data", listener);
    assertEquals([heard, socket.bytesRead], [word, word.length]);
  }
  server.close();
  await once(server, "close");
});

test("options that cannot be are refused at once, with Node's codes", () => {
  const refused = (connect: () => unknown) =>
    (assertThrows(connect, Error) as Error & { code: string }).code;
  const socket = new MptcpSocket();
  const connect = (options: unknown) => () => socket.connect(options as never);
  assertEquals(refused(connect({})), "ERR_MISSING_ARGS");
  assertEquals(refused(connect({ port: 65536 })), "ERR_SOCKET_BAD_PORT");
  assertEquals(refused(connect({ port: "x1" })), "ERR_SOCKET_BAD_PORT");
  assertEquals(refused(connect({ port: {} })), "ERR_INVALID_ARG_TYPE");
  assertEquals(refused(connect({ port: 1, localAddress: "x" })), "ERR_INVALID_IP_ADDRESS");
  assertEquals(refused(connect({ port: 1, lookup: 1 })), "ERR_INVALID_ARG_TYPE");
  for (const port of ["", " "]) {
    assertEquals(refused(() => createConnection(port)), "ERR_SOCKET_BAD_PORT");
  }
  assertEquals(refused(connect({ port: 1, hints: 1 << 12 })), "ERR_INVALID_ARG_VALUE");
  assertEquals(refused(connect({ port: 1, hints: "all" })), "ERR_INVALID_ARG_TYPE");
  assertEquals(refused(connect({ port: 1, family: 5 })), "ERR_INVALID_ARG_VALUE");
  assertEquals(refused(connect({ port: 1, keepAliveInitialDelay: "1" })), "ERR_INVALID_ARG_TYPE");
  assertEquals(refused(() => new MptcpSocket({ fd: -1 })), "ERR_OUT_OF_RANGE");
  assertEquals(refused(() => new MptcpSocket({ fd: "3" as never })), "ERR_INVALID_ARG_TYPE");
  assertEquals(refused(connect({ path: "/run/x.sock" })), "ERR_UNSUPPORTED");
  assertEquals(refused(() => createConnection("/run/x.sock")), "ERR_UNSUPPORTED");
  socket.destroy();
});

test("options that net.connect takes in other forms are taken in them", async () => {
  const { server, port } = await listening({}, undefined, "localhost");
  const forms = [
    { port: `0x${port.toString(16)}` },
    { port: ` ${port} `, host: "" },
    { port, host: null },
    { port, lookup: null, family: null, hints: null },
    { port, noDelay: 0 },
  ];
  for (const options of forms) {
    const socket = createConnection(options as never);
    await once(socket, "connect");
    await closed(socket);
  }
  await server[Symbol.asyncDispose]();
});

test("a look-up that gives no address, or none that can be, is an error", async () => {
  const answers: [answer: unknown[], code: string][] = [
    [[null, []], "ENOTFOUND"],
    [[null, undefined, 4], "ERR_INVALID_IP_ADDRESS"],
    [[null, "nonsense", 4], "ERR_INVALID_IP_ADDRESS"],
    [[null, [{ address: "127.0.0.1", family: 5 }]], "ERR_INVALID_ADDRESS_FAMILY"],
    [[Object.assign(new Error("no"), { code: "EAI_AGAIN" })], "EAI_AGAIN"],
  ];
  for (const [answer, code] of answers) {
    const lookup = (_host: string, _options: unknown, done: (...args: unknown[]) => void) =>
      done(...answer);
    const socket = createConnection({ host: "name.test", port: 1, lookup: lookup as never });
    assertEquals((await errorOf(socket)).code, code);
  }
});

test("a socket that was never connected cannot be written to", async () => {
  const socket = new MptcpSocket();
  socket.write("x");
  assertEquals((await errorOf(socket)).code, "ERR_SOCKET_CLOSED");
});

test("keep-alive, no-delay and type of service reach the kernel, before and after connecting", {
  skip: noMptcp,
}, async () => {
  const socket = new MptcpSocket();
  socket.setKeepAlive(true, 7000).setNoDelay(false).setTypeOfService(8);
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  socket.connect(listener.addr.port, "127.0.0.1");
  await once(socket, "connect");
  using _conn = await listener.accept();
  const options = [
    [abi.SOL_SOCKET, abi.SO_KEEPALIVE],
    [abi.SOL_TCP, abi.TCP_KEEPIDLE],
    [abi.SOL_TCP, abi.TCP_NODELAY],
    [abi.SOL_IP, abi.IP_TOS],
  ] as const;
  const isClient = (fd: number) =>
    wireProtocol(fd) === "mptcp" && toNetAddr(localSockaddr(fd)).port === socket.localPort;
  const fd = openFdNumbers().find(isClient)!;
  const values = () => options.map(([level, name]) => getIntOption(fd, level, name));
  assertEquals(values(), [1, 7, 0, 8]);
  socket.setKeepAlive(false).setNoDelay();
  assertEquals(values(), [0, 7, 1, 8]);
  assertEquals(socket.getTypeOfService(), 8);
  await closed(socket);
});

test("over IPv6 the type of service is the traffic class, or an error says that there is none", {
  skip: noMptcp,
}, async () => {
  using listener = listenMptcp({ hostname: "::1" });
  for (const mptcp of ["off", "require"] as const) {
    const socket = new MptcpSocket();
    socket.connect({ port: listener.addr.port, host: "::1", mptcp });
    await once(socket, "connect");
    using conn = await listener.accept();
    assertEquals(
      [socket.protocol, conn.protocol],
      mptcp === "off" ? ["tcp", "tcp"] : [
        "mptcp",
        "mptcp",
      ],
    );
    const isClient = (fd: number) => {
      try {
        return toNetAddr(localSockaddr(fd)).port === socket.localPort;
      } catch {
        // No socket, or one of another family.
        return false;
      }
    };
    const fd = openFdNumbers().find(isClient)!;
    let code = "";
    try {
      socket.setTypeOfService(8);
    } catch (error) {
      code = (error as { code: string }).code;
    }
    // No MPTCP socket has it up to Linux 6.18.
    if (mptcp === "off" || code === "") {
      assertEquals([code, getIntOption(fd, abi.SOL_IPV6, abi.IPV6_TCLASS)], ["", 8]);
    } else assertEquals(code, "EOPNOTSUPP");
    await closed(socket);
  }
});

function openFdNumbers(): number[] {
  return readdirSync("/proc/self/fd").map(Number);
}

test("a socket is one of node:net by its type, and a Duplex", () => {
  const socket: net.Socket = new MptcpSocket();
  assert(socket instanceof Duplex);
  socket.destroy();
});

test("adopt makes a socket of a connection", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const conn = await connectMptcp({ port: listener.addr.port });
  using served = await listener.accept();
  const socket = MptcpSocket.adopt(conn);
  socket.end("adopted");
  assertEquals(await readUpTo(served, 7), bytesOf("adopted"));
  await closed(socket);
});

const ENDS_BY_ITSELF = `
import { listenMptcp } from "${new URL("../mod.ts", import.meta.url)}";
import { createConnection, createServer } from "${new URL("../src/node/mod.ts", import.meta.url)}";
const server = createServer((socket) => void socket.unref()).unref();
server.listen(0, "127.0.0.1", () => {
  const socket = createConnection(server.address()!.port, "127.0.0.1", () => {
    socket.unref();
    console.log(socket.protocol !== "unknown");
  });
});
setTimeout(() => {}, 100);
`;

test("sockets and servers that are unref'ed do not keep the process alive", async () => {
  const { stdout, stderr, status } = await runProgram(ENDS_BY_ITSELF, {
    permissions: ["--allow-ffi"],
  });
  assertEquals([stderr, status, stdout], ["", 0, "true\n"]);
});

test("what a listener throws is uncaught, as with net.Socket, and the socket goes on", async () => {
  const { stdout, status } = await runProgram(`
    import { createConnection, createServer } from "./src/node/mod.ts";
    import process from "node:process";
    process.on("uncaughtException", ({ message }) => console.log("uncaught", message));
    const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1", () => {
      const socket = createConnection(server.address().port, "127.0.0.1");
      socket.on("error", ({ message }) => console.log("error", message));
      socket.on("close", (hadError) => console.log("close", hadError));
      socket.write("one");
      socket.on("data", (data) => {
        console.log(String(data));
        if (String(data) === "two") return socket.end();
        socket.write("two");
        throw new Error("in data");
      });
      server.once("connection", () => server.close());
      socket.on("ready", () => {
        throw new Error("in ready");
      });
      socket.resume();
    });`);
  assertEquals([stdout.split("\n"), status], [[
    "uncaught in ready",
    "one",
    "uncaught in data",
    "two",
    "close false",
    "",
  ], 0]);
});
