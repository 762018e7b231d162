import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  F_GETFL,
  IPPROTO_MPTCP,
  IPPROTO_TCP,
  O_NONBLOCK,
  O_RDONLY,
  SOCK_STREAM,
} from "../ffi/linux/abi.ts";
import { encodeSockaddr, parseIp } from "../ffi/linux/sockaddr.ts";
import { libc, pretendUnsupported } from "../ffi/runtime.ts";
import {
  adoptMptcp,
  connectMptcp,
  listenMptcp,
  MptcpError,
  mptcpState,
  mptcpSupport,
} from "../mod.ts";
import { serveMptcp } from "../src/http/mod.ts";
import { proxyMptcp } from "../src/proxy/mod.ts";
import { openFds, test } from "./harness.ts";
import { ENGINES } from "./http.ts";
import { bytesOf, connectedPair, LOOPBACKS, readToEnd, readUpTo, writeAll } from "./sockets.ts";

const noMptcp = mptcpSupport().fallback?.detail ?? null;
const PROTOCOLS = [["mptcp", IPPROTO_MPTCP], ["tcp", IPPROTO_TCP]] as const;

/** A blocking socket that other programs would inherit, as another library makes it. */
function foreignSocket(hostname: string, protocol: number, listens = true): number {
  const fd = libc().socket(hostname.includes(":") ? AF_INET6 : AF_INET, SOCK_STREAM, protocol);
  assert(fd >= 0);
  assertEquals(libc().bind(fd, encodeSockaddr(parseIp(hostname)!.bytes, 0)), 0);
  if (listens) assertEquals(libc().listen(fd, 5), 0);
  return fd;
}

function close(fd: number): void {
  assertEquals(libc().close(fd), 0);
}

/** The flag of fcntl(2) by which a descriptor is close-on-exec. */
const F_GETFD = 1;

function assertPrepared(fd: number): void {
  assertEquals(libc().fcntl(fd, F_GETFL, 0) & O_NONBLOCK, O_NONBLOCK);
  assertEquals(libc().fcntl(fd, F_GETFD, 0), 1);
}

for (const hostname of LOOPBACKS) {
  for (const [protocol, number] of PROTOCOLS) {
    test(`listenMptcp takes over a listening ${protocol} socket on ${hostname}`, {
      skip: noMptcp,
    }, async () => {
      const fd = foreignSocket(hostname, number);
      using listener = listenMptcp({ fd, tcpBacklog: 7 });
      assertEquals([listener.fd, listener.protocol], [fd, protocol]);
      assertEquals(listener.fallback?.reason, protocol === "tcp" ? "descriptor" : undefined);
      assertEquals(listener.addr.hostname, hostname);
      assertPrepared(fd);
      const [client, server] = await Promise.all([
        connectMptcp({ hostname, port: listener.addr.port }),
        listener.accept(),
      ]);
      using _ = client;
      using __ = server;
      assertEquals([client.protocol, server.protocol], [protocol, protocol]);
      await client.write(bytesOf("ping"));
      assertEquals(await readUpTo(server, 4), bytesOf("ping"));
      assertEquals(server.fallback?.reason, protocol === "tcp" ? "descriptor" : undefined);
    });

    test(`adoptMptcp takes over a connected ${protocol} socket to ${hostname}`, {
      skip: noMptcp,
    }, async () => {
      using pair = await connectedPair({ hostname, mptcp: protocol === "tcp" ? "off" : "require" });
      const { localAddr, remoteAddr } = pair.client;
      await pair.server.write(bytesOf("before"));
      using conn = adoptMptcp(pair.client.detach());
      assertPrepared(conn.fd);
      assertEquals([conn.localAddr, conn.remoteAddr], [localAddr, remoteAddr]);
      assertEquals([conn.protocol, conn.subflows().length], [protocol, 1]);
      assertEquals(conn.info() === null, protocol === "tcp");
      assertEquals(await readUpTo(conn, 6), bytesOf("before"));
      await writeAll(conn, new Uint8Array(1 << 20));
      await conn.closeWrite();
      assertEquals((await readToEnd(pair.server)).byteLength, 1 << 20);
    });

    test(`mptcpState tells what a ${protocol} socket on ${hostname} is that was given away`, {
      skip: noMptcp,
    }, async () => {
      const mptcp = protocol === "tcp" ? "off" : "require";
      using pair = await connectedPair({ hostname, mptcp }, { mptcp });
      const fd = pair.client.detach();
      const state = mptcpState(fd);
      assertEquals(state.protocol, protocol);
      assertEquals(state.fallback?.reason, protocol === "tcp" ? "descriptor" : undefined);
      assertEquals([state.isListening, state.subflows.length], [false, 1]);
      assertEquals([state.localAddr, state.remoteAddr], [
        pair.server.remoteAddr,
        pair.server.localAddr,
      ]);
      assertEquals(state.info?.flags?.remoteKeyReceived, protocol === "tcp" ? undefined : true);
      close(fd);

      const listening = foreignSocket(hostname, number);
      const { localAddr, ...rest } = mptcpState(listening);
      assertEquals(localAddr.hostname, hostname);
      const { fallback } = rest;
      assertEquals(fallback?.reason, protocol === "tcp" ? "descriptor" : undefined);
      const expected = { protocol, fallback, isListening: true, remoteAddr: null, info: null };
      assertEquals(rest, { ...expected, subflows: [] });
      close(listening);

      const fresh = foreignSocket(hostname, number, false);
      assertEquals(mptcpState(fresh).protocol, protocol === "tcp" ? "tcp" : "unknown");
      assertEquals([mptcpState(fresh).remoteAddr, mptcpState(fresh).subflows], [null, []]);
      close(fresh);
    });
  }
}

test("mptcpState says that an MPTCP socket has fallen back", { skip: noMptcp }, async () => {
  using pair = await connectedPair({ mptcp: "off" }, { mptcp: "require" });
  const { protocol, fallback, info, subflows } = mptcpState(pair.client.fd);
  assertEquals([protocol, fallback?.reason, info, subflows.length], ["tcp", "peer", null, 1]);
  using conn = adoptMptcp(pair.client.detach());
  assertEquals([conn.protocol, conn.fallback?.reason], ["tcp", "peer"]);
});

/** Descriptors that are no listener, no connection, or neither, and how they are refused. */
const REFUSED: readonly (readonly [
  what: string,
  open: () => number,
  listen: string | null,
  adopt: string | null,
  state: string | null,
])[] = [
  ["a file", () => libc().open("/etc/hosts", O_RDONLY), "ENOTSOCK", "ENOTSOCK", "ENOTSOCK"],
  ["a Unix socket", () => libc().socket(AF_UNIX, SOCK_STREAM, 0), ...same("EAFNOSUPPORT")],
  ["a UDP socket", () => libc().socket(AF_INET, 2, 0), ...same("EPROTOTYPE")],
  [
    "a TCP socket that does nothing",
    () => libc().socket(AF_INET, SOCK_STREAM, IPPROTO_TCP),
    "EINVAL",
    "ENOTCONN",
    null,
  ],
  ["a listening TCP socket", () => foreignSocket("127.0.0.1", IPPROTO_TCP), null, "ENOTCONN", null],
];

function same(code: string): [string, string, string] {
  return [code, code, code];
}

for (const [what, open, ...codes] of REFUSED) {
  test(`${what} is taken for what it is, and stays open where it is refused`, () => {
    const uses = [(fd: number) => listenMptcp({ fd }), adoptMptcp, mptcpState];
    for (const [i, use] of uses.entries()) {
      const code = codes[i]!;
      if (code === null) continue;
      const fd = open();
      const error = assertThrows(() => use(fd), MptcpError, `descriptor ${fd}`);
      assertEquals(error.code, code);
      close(fd);
    }
  });
}

test("what is no open descriptor is an error", () => {
  const free = libc().open("/dev/null", O_RDONLY);
  close(free);
  for (const use of [(fd: number) => listenMptcp({ fd }), adoptMptcp, mptcpState]) {
    assertEquals(assertThrows(() => use(free), MptcpError).code, "EBADF");
    for (const fd of [-1, 1.5, NaN, "3" as unknown as number, 2 ** 31]) {
      assertThrows(() => use(fd), TypeError, "Invalid fd: expected a descriptor, got ");
    }
  }
});

test("an MPTCP mode that a descriptor does not have is an error, and it stays open", {
  skip: noMptcp,
}, () => {
  const tcp = foreignSocket("127.0.0.1", IPPROTO_TCP);
  const mptcp = foreignSocket("127.0.0.1", IPPROTO_MPTCP);
  const error = assertThrows(() => listenMptcp({ fd: tcp, mptcp: "require" }), MptcpError);
  assertEquals([error.code, error.fallback?.reason], ["ERR_MPTCP_UNSUPPORTED", "descriptor"]);
  assertThrows(() => listenMptcp({ fd: mptcp, mptcp: "off" }), MptcpError, 'mptcp is "off"');
  listenMptcp({ fd: tcp, mptcp: "off" }).close();
  listenMptcp({ fd: mptcp, mptcp: "require" }).close();
});

for (
  const option of [
    { hostname: "::" },
    { port: 0 },
    { reusePort: true },
    { ipv6Only: false },
    { netns: "x" },
  ]
) {
  const [name] = Object.keys(option);
  test(`listenMptcp takes no ${name} beside a descriptor`, () => {
    assertThrows(() => listenMptcp({ fd: 0, ...option }), TypeError, `fd and ${name} exclude`);
  });
}

test("without Linux there are no descriptors", () => {
  const before = pretendUnsupported("a test says so");
  try {
    for (const use of [(fd: number) => listenMptcp({ fd }), adoptMptcp, mptcpState]) {
      assertEquals(assertThrows(() => use(0), MptcpError, "need Linux").code, "ERR_UNSUPPORTED");
    }
  } finally {
    pretendUnsupported(before);
  }
});

for (const engine of ENGINES) {
  test(`serveMptcp serves on a descriptor with the ${engine} engine`, {
    skip: noMptcp,
  }, async () => {
    const fd = foreignSocket("127.0.0.1", IPPROTO_MPTCP);
    await using server = serveMptcp(
      { fd, engine },
      (_request, info) => new Response(info.protocol),
    );
    using conn = await connectMptcp({ port: server.addr.port });
    await conn.write(bytesOf("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    const answer = new TextDecoder().decode(await readToEnd(conn));
    assert(answer.startsWith("HTTP/1.1 200") && answer.includes("mptcp"), answer);
    assertEquals(server.protocol, "mptcp");
  });
}

test("proxyMptcp takes descriptors as fronts", { skip: noMptcp }, async () => {
  using backend = listenMptcp({ hostname: "127.0.0.1" });
  const fd = foreignSocket("127.0.0.1", IPPROTO_MPTCP);
  await using proxy = proxyMptcp({ front: { fd }, back: `127.0.0.1:${backend.addr.port}` });
  const { addr: { port }, protocol } = proxy.fronts[0]!;
  assertEquals(protocol, "mptcp");
  using client = await connectMptcp({ port });
  using server = await backend.accept();
  await client.write(bytesOf("ping"));
  assertEquals(await readUpTo(server, 4), bytesOf("ping"));
});

test("a refused adoption leaks nothing", async () => {
  const before = openFds();
  const fd = foreignSocket("127.0.0.1", IPPROTO_TCP, false);
  await assertRejects(() => Promise.resolve().then(() => adoptMptcp(fd)), MptcpError);
  close(fd);
  assertEquals(openFds(), before);
});
