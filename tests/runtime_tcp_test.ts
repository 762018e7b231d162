/**
 * The runtime's own TCP in place of MPTCP: what it says of itself and what it refuses. How it behaves
 * is in `contract_test.ts`.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { SO_KEEPALIVE, SOL_SOCKET, SOL_TCP, TCP_NODELAY } from "../ffi/linux/abi.ts";
import type { Libc } from "../ffi/linux/libc.ts";
import { libc, replaceLibc } from "../ffi/runtime.ts";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import { getIntOption, localSockaddr, toNetAddr } from "../src/poll/socket.ts";
import type { ConnectMptcpOptions, ListenMptcpOptions, MptcpConn } from "../src/types.ts";
import { unsupported } from "./contract/implementation.ts";
import { test } from "./harness.ts";
import { runProgram } from "./processes.ts";
import { bytesOf, delay, LOOPBACKS, type Pair, readUpTo, untilStill } from "./sockets.ts";

function listen(options: ListenMptcpOptions | string = {}) {
  return unsupported(() => listenMptcp(options));
}

function connect(options: ConnectMptcpOptions | string) {
  return unsupported(() => connectMptcp(options));
}

async function connected(
  listenOptions: ListenMptcpOptions = {},
  connectOptions: Partial<ConnectMptcpOptions> = {},
): Promise<Pair> {
  using listener = listen({ hostname: "127.0.0.1", ...listenOptions });
  const { hostname, port } = listener.addr;
  const [client, server] = await Promise.all([
    connect({ hostname, port, ...connectOptions }),
    listener.accept(),
  ]);
  return {
    client,
    server,
    [Symbol.dispose]() {
      client[Symbol.dispose]();
      server[Symbol.dispose]();
    },
  };
}

/** The descriptor of a connection of this process, which its runtime does not tell. */
function fdOf(conn: MptcpConn): number {
  const { hostname, port } = conn.localAddr;
  for (let fd = 3; fd < 1000; fd++) {
    try {
      const addr = toNetAddr(localSockaddr(fd));
      if (addr.hostname === hostname && addr.port === port) return fd;
    } catch {
      // Not a socket.
    }
  }
  throw new Error(`No descriptor has the address ${hostname}:${port}`);
}

test("support says why there is none", () => {
  const support = unsupported(() => mptcpSupport());
  assertEquals([support.supported, support.ipv4, support.ipv6], [false, false, false]);
  assertEquals(support.fallback?.reason, "not-linux");
  assertStringIncludes(support.fallback!.detail, "the test says so");
});

test("listeners and connections are TCP because this is not Linux", async () => {
  using listener = listen({ hostname: "127.0.0.1" });
  using pair = await connected();
  for (const { protocol, fallback, fd } of [listener, pair.client, pair.server]) {
    assertEquals([protocol, fallback?.reason, fd], ["tcp", "not-linux", -1]);
    assertStringIncludes(fallback!.detail, "the test says so");
  }
});

test('with mptcp: "off" they are TCP because it was switched off', async () => {
  using listener = listen({ hostname: "127.0.0.1", mptcp: "off" });
  using pair = await connected({ mptcp: "off" }, { mptcp: "off" });
  for (const { protocol, fallback } of [listener, pair.client, pair.server]) {
    assertEquals([protocol, fallback?.reason], ["tcp", "off"]);
  }
});

test("a connection has one subflow and no MPTCP_INFO", async () => {
  using pair = await connected();
  const { client, server } = pair;
  assertEquals(client.info(), null);
  assertEquals(client.subflows(), [{
    localAddr: server.remoteAddr,
    remoteAddr: server.localAddr,
    tcp: {},
  }]);
  client.close();
  assertEquals(client.subflows(), []);
});

test("requiring MPTCP is an error that says what is missing", async () => {
  const code = "ERR_MPTCP_UNSUPPORTED";
  const listenError = assertThrows(() => listen({ mptcp: "require" }), MptcpError, "the test says");
  const connectError = await assertRejects(
    () => connect({ port: 1, mptcp: "require" }),
    MptcpError,
    "the test says",
  );
  assertEquals([listenError.code, connectError.code], [code, code]);
});

test("what is wrong is refused before the platform is looked at", async () => {
  assertThrows(() => listen({ port: -1 }), RangeError);
  assertThrows(() => listen({ socketOptions: { linger: "x" as unknown as number } }), TypeError);
  await assertRejects(() => connect({ port: 1, localAddress: "x" }), TypeError);
});

test("detach is refused and harms nothing", async () => {
  using listener = listen({ hostname: "127.0.0.1" });
  using pair = await connected();
  for (const object of [listener, pair.client]) {
    const error = assertThrows(() => object.detach(), MptcpError, "cannot detach its descriptor");
    assertEquals([error.name, error.code], ["NotSupported", "ERR_UNSUPPORTED"]);
  }
  await pair.client.write(bytesOf("x"));
  assertEquals(await readUpTo(pair.server, 1), bytesOf("x"));
});

test("noDelay is on, and keepAlive off, unless they are asked for", async () => {
  const read = (conn: MptcpConn) => [
    getIntOption(fdOf(conn), SOL_TCP, TCP_NODELAY),
    getIntOption(fdOf(conn), SOL_SOCKET, SO_KEEPALIVE),
  ];
  using usual = await connected();
  assertEquals([read(usual.client), read(usual.server)], [[1, 0], [1, 0]]);
  const socketOptions = { noDelay: false, keepAlive: true };
  using asked = await connected({ socketOptions }, { socketOptions });
  assertEquals([read(asked.client), read(asked.server)], [[0, 1], [0, 1]]);
  asked.client.setNoDelay();
  asked.client.setKeepAlive(false);
  assertEquals(read(asked.client), [1, 0]);
});

const REFUSED: [string, ListenMptcpOptions][] = [
  ["netns", { netns: "any" }],
  ["socketOptions.congestion", { socketOptions: { congestion: "reno" } }],
  ["socketOptions.linger", { socketOptions: { linger: null } }],
  ["socketOptions.keepAlive", { socketOptions: { keepAlive: { idle: 9 } } }],
];

for (const [name, options] of REFUSED) {
  test(`${name} is refused by name`, async () => {
    const listenError = assertThrows(() => listen(options), MptcpError, name);
    const connectError = await assertRejects(
      () => connect({ ...options, port: 1 }),
      MptcpError,
      name,
    );
    assertEquals([listenError.code, connectError.code], ["ERR_UNSUPPORTED", "ERR_UNSUPPORTED"]);
  });
}

test("what Deno's TCP does not have is refused by name", {
  only: { runtime: "deno", reason: "Bun's has it" },
}, async () => {
  assertThrows(() => listen({ reusePort: true }), MptcpError, "not support reusePort");
  assertThrows(
    () => listen({ hostname: "::", ipv6Only: true }),
    MptcpError,
    "not support ipv6Only",
  );
  assertThrows(() => listen("tcp4@localhost:0"), MptcpError, "give an IP address");
  const refused = [{ localAddress: "127.0.0.1" }, { localPort: 0 }];
  for (const options of refused) {
    const [name] = Object.keys(options);
    await assertRejects(() => connect({ port: 1, ...options }), MptcpError, `not support ${name}`);
  }
  await assertRejects(() => connect("tcp4@localhost:1"), MptcpError, "give an IP address");
});

test("what Bun's TCP has is done", {
  only: { runtime: "bun", reason: "Deno's does not have it" },
}, async () => {
  using one = listen({ hostname: "127.0.0.1", reusePort: true });
  using two = listen({ ...one.addr, reusePort: true });
  assertEquals(two.addr, one.addr);
  using ipv6 = listen({ hostname: "::", ipv6Only: true });
  using ipv4 = listen({ hostname: "0.0.0.0", port: ipv6.addr.port });
  assertEquals(ipv4.addr.port, ipv6.addr.port);
  using pair = await connected({}, { localAddress: "127.0.0.9", localPort: 0 });
  assertEquals(pair.server.remoteAddr.hostname, "127.0.0.9");
  using named = listen("tcp4@localhost:0");
  using client = await connect(`tcp4@localhost:${named.addr.port}`);
  assertEquals([named.addr.hostname, client.remoteAddr.hostname], ["127.0.0.1", "127.0.0.1"]);
});

test("connections beyond the backlog are reset", {
  only: { runtime: "bun", reason: "Deno leaves the backlog to the kernel" },
}, async () => {
  using listener = listen({ hostname: "127.0.0.1", tcpBacklog: 2 });
  using clients = new DisposableStack();
  // The reset can come before `connectMptcp` has seen that it is connected.
  const connect = async () => clients.use(await connectMptcp({ ...listener.addr, mptcp: "off" }));
  const ends = await Promise.all(Array.from({ length: 5 }, async () => {
    try {
      const client = await connect();
      return await Promise.race([
        client.read(new Uint8Array(1)),
        delay(300).then(() => "waits"),
      ]);
    } catch (error) {
      return (error as MptcpError).code;
    }
  }));
  assertEquals(ends.toSorted(), ["ECONNRESET", "ECONNRESET", "waits", "waits", "waits"]);
});

test("a sender stalls while nobody accepts its connection", async () => {
  using listener = listen({ hostname: "127.0.0.1" });
  using client = await connectMptcp({ ...listener.addr, mptcp: "off" });
  let sent = 0;
  const sending = (async () => {
    const block = new Uint8Array(64 * 1024);
    for (;;) {
      const count = await client.write(block);
      sent += count;
    }
  })().catch(() => {});
  const before = await untilStill(() => sent);
  assert(sent > 0 && sent < 32 << 20, `${sent} bytes were sent`);
  using server = await listener.accept();
  assertEquals((await readUpTo(server, sent)).byteLength, before);
  client.close();
  await sending;
});

test("IPv4 addresses are shown as such on a listener for both families", async () => {
  using listener = listen({ hostname: "::" });
  for (const hostname of LOOPBACKS) {
    using client = await connect({ hostname, port: listener.addr.port });
    using server = await listener.accept();
    assertEquals(server.remoteAddr, client.localAddr);
    assertEquals([server.localAddr.hostname, client.localAddr.hostname], [hostname, hostname]);
  }
});

test("errors say what failed, on what, with the runtime's error as the cause", async () => {
  const free = listen({ hostname: "127.0.0.1" });
  const { hostname: address, port } = free.addr;
  const inUse = assertThrows(() => listen(free.addr), MptcpError);
  free.close();
  const refused = await assertRejects(() => connect(free.addr), MptcpError);
  const details = ({ name, code, errno, syscall, address, port, message }: MptcpError) => ({
    name,
    code,
    errno,
    syscall,
    address,
    port,
    message,
  });
  assertEquals(details(inUse), {
    name: "AddrInUse",
    code: "EADDRINUSE",
    errno: 98,
    syscall: "listen",
    address,
    port,
    message: `listen ${address}:${port}: Address already in use (os error 98)`,
  });
  assertEquals(details(refused), {
    name: "ConnectionRefused",
    code: "ECONNREFUSED",
    errno: 111,
    syscall: "connect",
    address,
    port,
    message: `connect ${address}:${port}: Connection refused (os error 111)`,
  });
  assert(refused.cause instanceof Error && inUse.cause instanceof Error);
});

test("a name that cannot be looked up is an error with the resolver's code", async () => {
  const hostname = "no-such-host.invalid";
  const listenError = assertThrows(() => listen({ hostname }), MptcpError, hostname);
  const connectError = await assertRejects(() => connect({ hostname, port: 1 }), MptcpError);
  assertEquals([listenError.code, connectError.code], ["ENOTFOUND", "ENOTFOUND"]);
});

test("libc is not touched", async () => {
  const used: PropertyKey[] = [];
  const trap = new Proxy({} as Libc, {
    get(_, name) {
      used.push(name);
      return libcBefore[name as keyof Libc];
    },
  });
  const libcBefore = libc();
  replaceLibc(trap);
  try {
    using pair = await connected({ hostname: "localhost" }, { hostname: "localhost" });
    await pair.client.write(bytesOf("x"));
    assertEquals(await readUpTo(pair.server, 1), bytesOf("x"));
    pair.server.setNoDelay();
    unsupported(() => mptcpSupport());
  } finally {
    replaceLibc(libcBefore);
  }
  assertEquals(used, []);
});

/** Prints what a listener and a connection are, or the error. */
const PROGRAM = `
import { connectMptcp, listenMptcp } from "./mod.ts";
import { pretendUnsupported } from "./ffi/runtime.ts";
pretendUnsupported("the test says so");
try {
  const listener = listenMptcp({ hostname: "127.0.0.1" });
  const conn = await connectMptcp(listener.addr);
  console.log(listener.fallback.reason, conn.fallback.reason);
  conn.close();
  listener.close();
  listenMptcp({ mptcp: "require" });
} catch (error) {
  console.log(error.name, error.code);
}`;

async function outcome(options: Parameters<typeof runProgram>[1]): Promise<string[]> {
  const { stdout, stderr, status } = await runProgram(PROGRAM, options);
  assertEquals([stderr, status], ["", 0]);
  return stdout.trim().split("\n");
}

test("NO_MPTCP=1 is the reason where it is set", async () => {
  const env = { NO_MPTCP: "1" };
  assertEquals(await outcome({ env }), ["off off", "MptcpError ERR_MPTCP_OFF"]);
  assertEquals(await outcome({ env: { NO_MPTCP: "0" } }), [
    "not-linux not-linux",
    "MptcpError ERR_MPTCP_UNSUPPORTED",
  ]);
});

test("--allow-net is needed, and enough", {
  only: { runtime: "deno", reason: "Bun has no permissions" },
}, async () => {
  const permissions = ["--no-prompt", "--allow-net"];
  assertEquals(await outcome({ permissions, env: { NO_MPTCP: "1" } }), [
    "not-linux not-linux",
    "MptcpError ERR_MPTCP_UNSUPPORTED",
  ]);
  assertEquals(await outcome({ permissions: ["--no-prompt"] }), ["NotCapable EACCES"]);
});

for (
  const [property, value, why] of [
    ["platform", "darwin", "the operating system is darwin, not Linux"],
    ["arch", "riscv64", "the processor is riscv64, not x64 or arm64"],
  ]
) {
  test(`process.${property} "${value}" is no place for MPTCP`, async () => {
    const { stdout, stderr } = await runProgram(`
      import process from "node:process";
      Object.defineProperty(process, "${property}", { value: "${value}" });
      const { connectMptcp, listenMptcp } = await import("./mod.ts");
      using listener = listenMptcp({ hostname: "127.0.0.1" });
      using conn = await connectMptcp(listener.addr);
      console.log(conn.fd, conn.fallback.detail);`);
    assertEquals([stdout, stderr], [`-1 MPTCP is unavailable: ${why}\n`, ""]);
  });
}
