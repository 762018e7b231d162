import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AF_INET, AF_INET6, IPPROTO_MPTCP, SOL_MPTCP } from "../ffi/linux/abi.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import { libc } from "../ffi/runtime.ts";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import type { MptcpConn } from "../src/types.ts";
import { stubLibc } from "./faults.ts";
import { openFds, settledFds, test } from "./harness.ts";
import {
  createNetns,
  missingNamespaces,
  missingProgram,
  pythonPeer,
  runProgram,
} from "./processes.ts";
import { bytesOf, connectedPair, LOOPBACKS, readUpTo } from "./sockets.ts";
import { exchange } from "./transfer.ts";

interface PeerTruth {
  protocol: number;
  isMptcp: boolean;
}

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const noPython = missingProgram("python3") ?? noMptcp;

async function pingPong(conn: MptcpConn): Promise<void> {
  await readUpTo(conn, 4);
  await conn.write(bytesOf("pong"));
}

// How we listen, from where Python comes, and by what.
for (
  const { hostname, from } of [
    { hostname: "127.0.0.1", from: "127.0.0.1" },
    { hostname: "127.0.0.1", from: "::ffff:127.0.0.1" },
    { hostname: "::1", from: "::1" },
    { hostname: "::", from: "127.0.0.1" },
    { hostname: "::", from: "::1" },
  ]
) {
  for (const mode of ["prefer", "off"] as const) {
    for (const protocol of [262, 6]) {
      const isMptcp = mode === "prefer" && protocol === 262;
      const name =
        `${isMptcp ? "MPTCP" : "TCP"} is called so when Python comes by protocol ${protocol} ` +
        `from ${from} to ${hostname} with mptcp "${mode}"`;
      test(name, { skip: noPython }, async () => {
        using listener = listenMptcp({ hostname, mptcp: mode });
        assertEquals(listener.protocol, mode === "off" ? "tcp" : "mptcp");
        await using peer = pythonPeer("connect", from, listener.addr.port, protocol);
        using conn = await listener.accept();
        await pingPong(conn);
        assertEquals((await peer.next<PeerTruth>()).isMptcp, isMptcp);
        assertTruth(conn, isMptcp, mode === "off" ? "off" : "peer");
        const v4 = from.includes(".");
        assertEquals(conn.remoteAddr.hostname, v4 ? "127.0.0.1" : "::1");
      });
    }
  }
}

// Where Python listens, and how we get there.
for (
  const { listen, hostname, dualStack } of [
    { listen: "127.0.0.1", hostname: "127.0.0.1", dualStack: true },
    { listen: "127.0.0.1", hostname: "127.0.0.1", dualStack: false },
    { listen: "::1", hostname: "::1", dualStack: true },
    { listen: "::", hostname: "127.0.0.1", dualStack: true },
    { listen: "::", hostname: "::ffff:127.0.0.1", dualStack: true },
  ]
) {
  for (const mode of ["prefer", "off"] as const) {
    for (const protocol of [262, 6]) {
      const isMptcp = mode === "prefer" && protocol === 262;
      const name =
        `${isMptcp ? "MPTCP" : "TCP"} is called so when Python listens on ${listen} by ` +
        `protocol ${protocol} and we connect to ${hostname} with mptcp "${mode}", dualStack ${dualStack}`;
      test(name, { skip: noPython }, async () => {
        await using peer = pythonPeer("listen", listen, protocol);
        const { port } = await peer.next<{ port: number }>();
        using conn = await connectMptcp({ hostname, port, mptcp: mode, dualStack });
        await pingPong(conn);
        assertEquals((await peer.next<PeerTruth>()).isMptcp, isMptcp);
        assertTruth(conn, isMptcp, mode === "off" ? "off" : "peer");
        assertEquals(conn.remoteAddr, {
          transport: "tcp",
          hostname: listen === "::1" ? "::1" : "127.0.0.1",
          port,
        });
      });
    }
  }
}

function assertTruth(conn: MptcpConn, isMptcp: boolean, reason: "off" | "peer"): void {
  assertEquals(conn.protocol, isMptcp ? "mptcp" : "tcp");
  assertEquals(conn.fallback?.reason, isMptcp ? undefined : reason);
  assertEquals(conn.info()?.flags?.remoteKeyReceived, isMptcp ? true : undefined);
  const subflows = conn.subflows();
  assertEquals(subflows.length, 1);
  assertEquals(subflows[0]!.localAddr, conn.localAddr);
  assertEquals(subflows[0]!.remoteAddr, conn.remoteAddr);
  conn.close();
  assertEquals(conn.protocol, isMptcp ? "mptcp" : "tcp");
  assertEquals([conn.info(), conn.subflows()], [null, []]);
}

const LENGTH = 32 << 20;

for (const [host, protocol] of [["127.0.0.1", 262], ["::1", 262], ["127.0.0.1", 6]] as const) {
  test(`32 MiB each way at once arrive intact from Python by protocol ${protocol} on ${host}`, {
    skip: noPython,
  }, async () => {
    using listener = listenMptcp({ hostname: host });
    await using peer = pythonPeer("connect", host, listener.addr.port, protocol, LENGTH);
    using conn = await listener.accept();
    const ours = await exchange(conn, LENGTH, 1);
    const theirs = await peer.next<PeerTruth & typeof ours>();
    assertEquals(theirs.isMptcp, protocol === 262);
    assertEquals(conn.protocol, protocol === 262 ? "mptcp" : "tcp");
    assertEquals([ours.receivedBytes, theirs.receivedBytes], [LENGTH, LENGTH]);
    assertEquals([ours.received, theirs.received], [theirs.sent, ours.sent]);
  });

  test(
    `32 MiB each way at once arrive intact at Python's listener by protocol ${protocol} on ${host}`,
    {
      skip: noPython,
    },
    async () => {
      await using peer = pythonPeer("listen", host, protocol, LENGTH);
      const { port } = await peer.next<{ port: number }>();
      using conn = await connectMptcp({ hostname: host, port });
      const ours = await exchange(conn, LENGTH, 2);
      const theirs = await peer.next<PeerTruth & typeof ours>();
      assertEquals([ours.received, theirs.received], [theirs.sent, ours.sent]);
      assertEquals(conn.protocol, theirs.isMptcp ? "mptcp" : "tcp");
    },
  );
}

test(
  "32 MiB each way at once arrive intact between two ends of ours",
  { skip: noMptcp },
  async () => {
    using pair = await connectedPair();
    assertEquals([pair.client.protocol, pair.server.protocol], ["mptcp", "mptcp"]);
    const [client, server] = await Promise.all([
      exchange(pair.client, LENGTH, 3),
      exchange(pair.server, LENGTH, 4),
    ]);
    assertEquals([client.received, server.received], [server.sent, client.sent]);
  },
);

test("with net.mptcp.enabled=0 sockets are TCP because of the kernel, and say so", {
  skip: missingNamespaces() ?? noMptcp,
}, async () => {
  using netns = createNetns("off", { "net.mptcp.enabled": 0 });
  const support = mptcpSupport({ netns: netns.name });
  assertEquals([support.supported, support.ipv4, support.ipv6], [false, false, false]);
  for (const hostname of ["127.0.0.1", "::1"]) {
    using listener = listenMptcp({ hostname, netns: netns.name });
    const [client, server] = await Promise.all([
      connectMptcp({ hostname, port: listener.addr.port, netns: netns.name }),
      listener.accept(),
    ]);
    for (const end of [listener, client, server]) {
      assertEquals(end.protocol, "tcp");
      assertEquals([end.fallback?.reason, end.fallback?.code], ["kernel", "ENOPROTOOPT"]);
      end.close();
    }
  }
  const required = { hostname: "127.0.0.1", netns: netns.name, mptcp: "require" } as const;
  const error = assertThrows(() => listenMptcp(required), MptcpError, "net.mptcp.enabled=1");
  assertEquals(error.code, "ENOPROTOOPT");
  await assertRejects(
    () => connectMptcp({ ...required, port: 1 }),
    MptcpError,
    "net.mptcp.enabled=1",
  );
});

const REFUSALS = ["EINVAL", "EPROTONOSUPPORT", "ENOPROTOOPT", "EPERM", "EACCES"] as const;

for (const code of REFUSALS) {
  test(`${code} for an MPTCP socket is a fallback to TCP, and an error where MPTCP is required`, async () => {
    const { socket } = libc();
    using _ = stubLibc({
      socket: (domain, type, protocol) =>
        protocol === IPPROTO_MPTCP ? -ERRNO[code] : socket(domain, type, protocol),
    });
    using pair = await connectedPair();
    for (const end of [pair.client, pair.server]) {
      assertEquals(end.protocol, "tcp");
      assertEquals([end.fallback?.reason, end.fallback?.code], ["kernel", code]);
    }
    const error = assertThrows(() => listenMptcp({ mptcp: "require" }), MptcpError, code);
    assertEquals([error.code, error.errno, error.syscall], [code, ERRNO[code], "socket"]);
    assertEquals(mptcpSupport().fallback?.code, code);
  });
}

for (const code of ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] as const) {
  test(`${code} for an MPTCP socket is an error, not a fallback`, async () => {
    const protocols: number[] = [];
    using _ = stubLibc({
      socket(_domain, _type, protocol) {
        protocols.push(protocol);
        return -ERRNO[code];
      },
    });
    assertEquals(assertThrows(() => listenMptcp(), MptcpError).code, code);
    assertEquals((await assertRejects(() => connectMptcp({ port: 1 }), MptcpError)).code, code);
    assertEquals(protocols, [IPPROTO_MPTCP, IPPROTO_MPTCP]);
  });
}

test("an address in use is an error, not a fallback", () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const error = assertThrows(() => listenMptcp({ ...listener.addr }), MptcpError);
  assertEquals([error.code, error.syscall, error.address], ["EADDRINUSE", "bind", "127.0.0.1"]);
  assertEquals(error.port, listener.addr.port);
});

test("an IPv4 connection uses an IPv6 socket only with dualStack", { skip: noMptcp }, async () => {
  const { socket } = libc();
  for (const [dualStack, domain] of [[true, AF_INET6], [false, AF_INET]] as const) {
    using listener = listenMptcp({ hostname: "127.0.0.1" });
    const domains: number[] = [];
    using _ = stubLibc({
      socket(...args) {
        domains.push(args[0]);
        return socket(...args);
      },
    });
    using conn = await connectMptcp({ port: listener.addr.port, dualStack });
    assertEquals([domains, conn.protocol], [[domain], "mptcp"]);
  }
});

test(
  "a kernel without IPv6 MPTCP sockets still connects to IPv4 by MPTCP",
  { skip: noMptcp },
  async () => {
    const { socket } = libc();
    using _ = stubLibc({
      socket: (domain, type, protocol) =>
        domain === AF_INET6 ? -ERRNO.EAFNOSUPPORT : socket(domain, type, protocol),
    });
    using pair = await connectedPair();
    assertEquals([pair.client.protocol, pair.server.protocol], ["mptcp", "mptcp"]);
    const required = { hostname: "::1", port: 1, mptcp: "require" } as const;
    await assertRejects(() => connectMptcp(required), MptcpError, "IPv6");
  },
);

test("a connection in its handshake is never called MPTCP", { skip: noMptcp }, async () => {
  // With TCP_FASTOPEN_CONNECT the handshake waits for the first write once a cookie is known.
  using listener = listenMptcp({ hostname: "127.0.0.1", socketOptions: { fastOpen: 16 } });
  const { port } = listener.addr;
  for (let i = 0; i < 3; i++) {
    using client = await connectMptcp({ port, socketOptions: { fastOpen: 1 } });
    const { protocol } = client;
    if (client.info()?.flags?.remoteKeyReceived !== true) assert(protocol !== "mptcp");
    await client.write(bytesOf("ping"));
    using server = await listener.accept();
    assertEquals(await readUpTo(server, 4), bytesOf("ping"));
    assertEquals([client.protocol, server.protocol], ["mptcp", "mptcp"]);
  }
});

test("NO_MPTCP=1 switches MPTCP off for a process, and makes requiring it fail", async () => {
  const { stdout, stderr } = await runProgram(
    `import { listenMptcp, mptcpSupport } from "./mod.ts";
     using listener = listenMptcp();
     let code;
     try { listenMptcp({ mptcp: "require" }); } catch (error) { code = error.code + error.message; }
     console.log(JSON.stringify([listener.protocol, listener.fallback, mptcpSupport().supported, code]));`,
    { env: { NO_MPTCP: "1" }, permissions: ["--allow-ffi"] },
  );
  assertEquals(stderr, "");
  const [protocol, fallback, supported, code] = JSON.parse(stdout);
  assertEquals([protocol, fallback.reason, supported], ["tcp", "off", false]);
  assert(code.startsWith("ERR_MPTCP_OFF") && code.includes("NO_MPTCP"), code);
});

test("asking for support leaves no descriptor", async () => {
  const before = await settledFds();
  for (let i = 0; i < 10; i++) mptcpSupport();
  assertEquals(openFds(), before);
});

for (const hostname of LOOPBACKS) {
  test(`mptcp "require-peer" gives an MPTCP connection to ${hostname}`, {
    skip: noMptcp,
  }, async () => {
    using pair = await connectedPair({ hostname }, { mptcp: "require-peer" });
    assertEquals([pair.client.protocol, pair.server.protocol], ["mptcp", "mptcp"]);
  });

  test(
    `mptcp "require-peer" rejects a peer at ${hostname} that speaks TCP, and closes the socket`,
    {
      skip: noMptcp,
    },
    async () => {
      using listener = listenMptcp({ hostname, mptcp: "off" });
      const { port } = listener.addr;
      const before = openFds();
      const error = await assertRejects(
        () => connectMptcp({ hostname, port, mptcp: "require-peer" }),
        MptcpError,
        "MPTCP is required but the connection fell back to TCP. The server does not support MPTCP",
      );
      assertEquals([error.code, error.fallback?.reason], ["ERR_MPTCP_PEER", "peer"]);
      assertEquals([error.address, error.port], [hostname, port]);
      assertEquals(openFds(), before);
      using server = await listener.accept();
      assertEquals(await server.read(new Uint8Array(1)), null);
    },
  );
}

test('mptcp "require-peer" fails as "require" does where this machine has no MPTCP', async () => {
  const { socket } = libc();
  using _ = stubLibc({
    socket: (domain, type, protocol) =>
      protocol === IPPROTO_MPTCP ? -ERRNO.ENOPROTOOPT : socket(domain, type, protocol),
  });
  const error = await assertRejects(
    () => connectMptcp({ port: 1, mptcp: "require-peer" }),
    MptcpError,
    "MPTCP is required but unavailable",
  );
  assertEquals([error.code, error.fallback?.reason], ["ENOPROTOOPT", "kernel"]);
});

test('mptcp "require-peer" rejects a connection of which the kernel cannot tell', {
  skip: noMptcp,
}, async () => {
  const { getsockopt } = libc();
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  using _ = stubLibc({
    getsockopt: (fd, level, ...rest) =>
      level === SOL_MPTCP ? -ERRNO.EOPNOTSUPP : getsockopt(fd, level, ...rest),
  });
  const error = await assertRejects(
    () => connectMptcp({ port: listener.addr.port, mptcp: "require-peer" }),
    MptcpError,
    "Linux 5.16 or later does",
  );
  assertEquals([error.code, error.fallback], ["ERR_MPTCP_PEER", undefined]);
});
