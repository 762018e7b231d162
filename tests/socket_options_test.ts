import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  AF_INET,
  AF_INET6,
  IP_FREEBIND,
  IP_TOS,
  IP_TRANSPARENT,
  IPPROTO_MPTCP,
  IPPROTO_TCP,
  IPV6_FREEBIND,
  IPV6_TCLASS,
  IPV6_TRANSPARENT,
  SO_KEEPALIVE,
  SO_MARK,
  SO_PRIORITY,
  SO_RCVBUF,
  SO_RCVLOWAT,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  SOL_TCP,
  TCP_CONGESTION,
  TCP_DEFER_ACCEPT,
  TCP_FASTOPEN,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_MAXSEG,
  TCP_NODELAY,
  TCP_NOTSENT_LOWAT,
} from "../ffi/linux/abi.ts";
import { connectMptcp, listenMptcp, MptcpError } from "../mod.ts";
import { libc } from "../ffi/runtime.ts";
import { getIntOption, getOption, openSocket } from "../src/poll/socket.ts";
import type { MptcpConn, SocketOptions } from "../src/types.ts";
import process from "node:process";
import { stubLibc } from "./faults.ts";
import { openFds, test } from "./harness.ts";
import { connectedPair, LOOPBACKS, type Pair } from "./sockets.ts";

const notRoot = process.getuid?.() === 0 ? null : "this option needs CAP_NET_ADMIN";
const MODES = ["prefer", "off"] as const;

/** An option, the kernel's option behind it by family, and what it reads back as. */
interface Row {
  options: SocketOptions;
  level: number;
  optname: number;
  expected: number;
  ipv6?: [level: number, optname: number];
  skip?: string | null;
}

const tcp = (options: SocketOptions, optname: number, expected: number): Row => ({
  options,
  level: SOL_TCP,
  optname,
  expected,
});
const socket = (options: SocketOptions, optname: number, expected: number): Row => ({
  options,
  level: SOL_SOCKET,
  optname,
  expected,
});

/** Options that both sockets of a connection have, the accepted one by inheritance. */
const INHERITED: Row[] = [
  tcp({ noDelay: true }, TCP_NODELAY, 1),
  tcp({ noDelay: false }, TCP_NODELAY, 0),
  tcp({}, TCP_NODELAY, 1),
  tcp({ notSentLowat: 16384 }, TCP_NOTSENT_LOWAT, 16384),
  socket({ keepAlive: true }, SO_KEEPALIVE, 1),
  socket({}, SO_KEEPALIVE, 0),
  tcp({ keepAlive: { idle: 11 } }, TCP_KEEPIDLE, 11),
  tcp({ keepAlive: { interval: 12 } }, TCP_KEEPINTVL, 12),
  tcp({ keepAlive: { count: 13 } }, TCP_KEEPCNT, 13),
  // The kernel doubles the sizes of buffers, says socket(7).
  socket({ sendBuffer: 65536 }, SO_SNDBUF, 131072),
  socket({ receiveBuffer: 65536 }, SO_RCVBUF, 131072),
  socket({ initialReceiveBuffer: 1_000_000 }, SO_RCVBUF, 1_000_000),
  socket({ initialReceiveBuffer: 1_000_000 }, SO_RCVLOWAT, 1),
  socket({ priority: 5 }, SO_PRIORITY, 5),
  { ...socket({ mark: 77 }, SO_MARK, 77), skip: notRoot },
];

/** Options of the listener itself. */
const LISTENER: Row[] = [
  tcp({ maxSegment: 1000 }, TCP_MAXSEG, 1000),
  tcp({ fastOpen: 17 }, TCP_FASTOPEN, 17),
  { options: { tos: 0x10 }, level: SOL_IP, optname: IP_TOS, expected: 0x10 },
  {
    options: { freebind: true },
    level: SOL_IP,
    optname: IP_FREEBIND,
    expected: 1,
    ipv6: [SOL_IPV6, IPV6_FREEBIND],
  },
  {
    options: { transparent: true },
    level: SOL_IP,
    optname: IP_TRANSPARENT,
    expected: 1,
    ipv6: [SOL_IPV6, IPV6_TRANSPARENT],
    skip: notRoot,
  },
];

for (const mptcp of MODES) {
  for (const hostname of LOOPBACKS) {
    for (const { options, level, optname, expected, skip = null } of INHERITED) {
      const name = `${
        JSON.stringify(options)
      } holds on both ends over ${hostname}, mptcp "${mptcp}"`;
      test(name, { skip }, async () => {
        using pair = await connectedPair(
          { hostname, mptcp, socketOptions: options },
          { mptcp, socketOptions: options },
        );
        for (const { fd } of [pair.client, pair.server]) {
          assertEquals(getIntOption(fd, level, optname), expected);
        }
      });
    }
    for (const { options, level, optname, expected, ipv6, skip = null } of LISTENER) {
      if (hostname === "::1" && "tos" in options) continue;
      test(`${JSON.stringify(options)} holds on a listener on ${hostname}, mptcp "${mptcp}"`, {
        skip,
      }, () => {
        using listener = listenMptcp({ hostname, mptcp, socketOptions: options });
        const [lv, name] = hostname === "::1" && ipv6 ? ipv6 : [level, optname];
        assertEquals(getIntOption(listener.fd, lv, name), expected);
      });
    }
  }

  test(`the congestion control is that which was asked for, mptcp "${mptcp}"`, async () => {
    const socketOptions = { congestion: "reno" };
    using pair = await connectedPair({ mptcp, socketOptions }, { mptcp, socketOptions });
    for (const end of [pair.client, pair.server]) assertEquals(congestion(end), "reno");
  });

  test(`an unknown congestion control is an error that names it, mptcp "${mptcp}"`, () => {
    const options = { mptcp, socketOptions: { congestion: "no_such_cc" } };
    const error = assertThrows(() => listenMptcp(options), MptcpError, "socketOptions.congestion");
    assertEquals([error.code, error.syscall], ["ENOENT", "setsockopt"]);
  });

  test(`deferAccept holds on a listener, mptcp "${mptcp}"`, () => {
    using listener = listenMptcp({ mptcp, socketOptions: { deferAccept: 3 } });
    // The kernel rounds it up to a whole number of retransmissions.
    assert(getIntOption(listener.fd, SOL_TCP, TCP_DEFER_ACCEPT) >= 3);
  });

  test(`tos goes to an IPv4 peer also through an IPv6 socket, mptcp "${mptcp}"`, async () => {
    using pair = await connectedPair({ mptcp }, { mptcp, socketOptions: { tos: 0x20 } });
    assertEquals(getIntOption(pair.client.fd, SOL_IP, IP_TOS), 0x20);
  });

  test(`linger 0 resets the connection on close, mptcp "${mptcp}"`, async () => {
    using pair = await connectedPair({ mptcp }, { mptcp, socketOptions: { linger: 0 } });
    pair.client.close();
    const error = await assertRejects(() => pair.server.read(new Uint8Array(1)), MptcpError);
    assertEquals([error.code, error.name], ["ECONNRESET", "ConnectionReset"]);
  });

  test(`setNoDelay and setKeepAlive change the socket, mptcp "${mptcp}"`, async () => {
    using pair = await connectedPair({ mptcp }, { mptcp });
    const { client } = pair;
    client.setNoDelay(false);
    client.setKeepAlive();
    assertEquals(getIntOption(client.fd, SOL_TCP, TCP_NODELAY), 0);
    assertEquals(getIntOption(client.fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    client.setNoDelay();
    client.setKeepAlive(false);
    assertEquals(getIntOption(client.fd, SOL_TCP, TCP_NODELAY), 1);
    assertEquals(getIntOption(client.fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    client.close();
    assertThrows(() => client.setNoDelay(), MptcpError, "Bad resource ID");
  });
}

for (const mptcp of MODES) {
  for (const hostname of LOOPBACKS) {
    test(`maxSegment is left as the kernel has it unless it is given, on ${hostname}, mptcp "${mptcp}"`, () => {
      const domain = hostname === "::1" ? AF_INET6 : AF_INET;
      using plain = listenMptcp({ hostname, mptcp });
      using small = listenMptcp({ hostname, mptcp, socketOptions: { maxSegment: 1000 } });
      const protocol = small.protocol === "mptcp" ? IPPROTO_MPTCP : IPPROTO_TCP;
      const fresh = openSocket(domain, protocol);
      const [untouched, ...sizes] = [fresh, plain.fd, small.fd].map((fd) =>
        getIntOption(fd, SOL_TCP, TCP_MAXSEG)
      );
      libc().close(fresh);
      assertEquals(sizes, [untouched!, 1000]);
    });

    test(`maxSegment holds for what either end sends, over ${hostname}, mptcp "${mptcp}"`, async () => {
      const small = { mptcp, socketOptions: { maxSegment: 1000 } };
      using neither = await connectedPair({ hostname, mptcp }, { mptcp });
      using byServer = await connectedPair({ hostname, ...small }, { mptcp });
      using byClient = await connectedPair({ hostname, mptcp }, small);
      const sizes = ({ client, server }: Pair) =>
        [client, server].map(({ fd }) => getIntOption(fd, SOL_TCP, TCP_MAXSEG) <= 1000);
      assertEquals(sizes(neither), [false, false]);
      assertEquals(sizes(byServer), [true, true]);
      assertEquals(sizes(byClient), [true, true]);
    });
  }
}

function congestion({ fd }: MptcpConn): string {
  const buf = new Uint8Array(16);
  const length = getOption(fd, SOL_TCP, TCP_CONGESTION, buf);
  return new TextDecoder().decode(buf.subarray(0, length)).replace(/\0.*/, "");
}

test("an option that MPTCP refuses is reported as refused on MPTCP, and works on TCP", () => {
  const options = { hostname: "::1", socketOptions: { tos: 0x10 } };
  using tcp = listenMptcp({ ...options, mptcp: "off" });
  assertEquals(getIntOption(tcp.fd, SOL_IPV6, IPV6_TCLASS), 0x10);
  const before = openFds();
  const error = assertThrows(() => listenMptcp(options), MptcpError, "IPV6_TCLASS");
  assertEquals(error.code, "EOPNOTSUPP");
  assert(
    error.message.includes(
      'refuses the option on MPTCP sockets: leave it out, or use mptcp: "off"',
    ),
  );
  assertEquals(openFds(), before);
});

test("an interface that does not exist is an error that names the option", () => {
  const options = { socketOptions: { bindDevice: "none0" } };
  assertThrows(() => listenMptcp(options), MptcpError, "socketOptions.bindDevice: SO_BINDTODEVICE");
});

test("a socket bound to the loopback interface serves it", { skip: notRoot }, async () => {
  const socketOptions = { bindDevice: "lo" };
  using pair = await connectedPair({ socketOptions }, { socketOptions });
  assertEquals(pair.server.remoteAddr.hostname, "127.0.0.1");
});

for (const mptcp of MODES) {
  test(`reusePort lets two listeners share a port and the connections, mptcp "${mptcp}"`, async () => {
    using first = listenMptcp({ hostname: "127.0.0.1", reusePort: true, mptcp });
    const { hostname, port } = first.addr;
    using second = listenMptcp({ hostname, port, reusePort: true, mptcp });
    for (const { fd } of [first, second]) {
      assertEquals(getIntOption(fd, SOL_SOCKET, SO_REUSEPORT), 1);
    }
    const accepted = [0, 0];
    const accepting = [first, second].map(async (listener, i) => {
      for await (const conn of listener) {
        accepted[i]!++;
        conn.close();
      }
    });
    for (let i = 0; i < 64; i++) {
      using conn = await connectMptcp({ port, mptcp });
      await conn.read(new Uint8Array(1)).catch(() => {});
    }
    first.close();
    second.close();
    await Promise.all(accepting);
    assertEquals(accepted[0]! + accepted[1]!, 64);
    assert(accepted[0]! > 5 && accepted[1]! > 5, String(accepted));
  });
}

test("ipv6Only keeps IPv4 out of a listener on ::, which takes it otherwise", () => {
  using both = listenMptcp({ hostname: "::" });
  const { port } = both.addr;
  using alone = listenMptcp({ hostname: "::", ipv6Only: true });
  // With IPv4 left free, another listener can have it.
  using _v4 = listenMptcp({ hostname: "0.0.0.0", port: alone.addr.port });
  assertThrows(
    () => listenMptcp({ hostname: "0.0.0.0", port }),
    MptcpError,
    "EADDRINUSE".slice(0, 0),
  );
});

test("initialReceiveBuffer is an error where the kernel takes it and does nothing", async () => {
  const { setsockopt } = libc();
  using _ = stubLibc({
    setsockopt: (fd, level, optname, value) =>
      optname === SO_RCVLOWAT ? 0 : setsockopt(fd, level, optname, value),
  });
  const socketOptions = { initialReceiveBuffer: 1_000_000 };
  const before = openFds();
  const message = "socketOptions.initialReceiveBuffer: this kernel ignores it";
  for (const mptcp of MODES) {
    const error = assertThrows(() => listenMptcp({ socketOptions, mptcp }), MptcpError, message);
    assertEquals(error.code, "ERR_UNSUPPORTED");
    await assertRejects(() => connectMptcp({ port: 1, socketOptions, mptcp }), MptcpError, message);
  }
  // The buffer is larger already.
  listenMptcp({ socketOptions: { initialReceiveBuffer: 4096 } }).close();
  assertEquals(openFds(), before);
});

test("initialReceiveBuffer may be more than the kernel's largest buffer", () => {
  listenMptcp({ socketOptions: { initialReceiveBuffer: 2 ** 31 - 1 } }).close();
});
