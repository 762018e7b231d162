import { assert, assertEquals, assertThrows } from "@std/assert";
import { readlinkSync } from "node:fs";
import { AF_INET, IPPROTO_TCP, SOL_SOCKET } from "../ffi/linux/abi.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import { libc } from "../ffi/runtime.ts";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport, type NetAddr } from "../mod.ts";
import { MptcpPathManager } from "../src/path_manager/mod.ts";
import { getOption, inNetns, openSocket } from "../src/poll/socket.ts";
import { stubLibc } from "./faults.ts";
import { openFds, settledFds, test } from "./harness.ts";
import { createNetns, missingNamespaces } from "./processes.ts";

const skip = missingNamespaces();

/** asm-generic/socket.h, since 5.14: a number that no two network namespaces share. */
const SO_NETNS_COOKIE = 71;

/** The namespace that a socket is in. */
function cookieOf(fd: number): bigint {
  const cookie = new BigUint64Array(1);
  const length = getOption(fd, SOL_SOCKET, SO_NETNS_COOKIE, new Uint8Array(cookie.buffer));
  assertEquals(length, 8);
  return cookie[0]!;
}

/** Opens a socket in a namespace, closes it, and tells which namespace it was in. */
function openAndClose(netns?: string): bigint {
  const fd = openSocket(AF_INET, IPPROTO_TCP, netns);
  assert(fd >= 0, `${fd}`);
  const cookie = cookieOf(fd);
  libc().close(fd);
  return cookie;
}

function threadNetns(): string {
  return readlinkSync("/proc/thread-self/ns/net");
}

test("10 000 calls in alternating namespaces, half of them failing, end where they began", {
  skip,
}, async () => {
  using first = createNetns("one");
  using second = createNetns("two");
  const names = [first.name, second.name];
  const [home, ...cookies] = [openAndClose(), ...names.map(openAndClose)];
  assertEquals(new Set([home, ...cookies]).size, 3);
  const [start, fds] = [threadNetns(), await settledFds()];

  const failing: [call: (netns: string) => unknown, code: string][] = [
    [(netns) => listenMptcp({ hostname: "192.0.2.99", netns }), "EADDRNOTAVAIL"],
    [() => openSocket(AF_INET, IPPROTO_TCP, "mp-test-none"), "ENOENT"],
    [() => openSocket(AF_INET, IPPROTO_TCP, "/dev/null"), "EINVAL"],
    [(netns) => inNetns(netns, () => inNetns("/proc/none", () => {})), "ENOENT"],
    [(netns) => new MptcpPathManager({ netns: `${netns}x` }), "ENOENT"],
  ];
  for (let i = 0; i < 10_000; i++) {
    const which = (i >> 1) % 2;
    if (i % 2 === 0) {
      assertEquals(openAndClose(names[which]), cookies[which]);
    } else {
      const [call, code] = failing[(i >> 1) % failing.length]!;
      assertEquals(assertThrows(() => call(names[which]!), MptcpError).code, code);
    }
    if (i % 97 === 0) assertEquals(threadNetns(), start);
  }
  assertEquals([threadNetns(), openFds(), openAndClose()], [start, fds, home!]);
});

test("an action that throws is left, and its error is what comes out", { skip }, () => {
  using netns = createNetns("throws");
  const start = threadNetns();
  const error = new Error("of the action");
  const thrown = assertThrows(() =>
    inNetns(netns.name, () => {
      assert(threadNetns() !== start);
      throw error;
    }), Error);
  assertEquals([thrown, threadNetns()], [error, start]);
});

test("a namespace may be named by a path", { skip }, () => {
  using netns = createNetns("path");
  assertEquals(openAndClose(`/run/netns/${netns.name}`), openAndClose(netns.name));
  assertEquals(openAndClose("/proc/self/ns/net"), openAndClose());
});

test(
  "a namespace that may not be entered is an error that says what it needs",
  { skip },
  async () => {
    using netns = createNetns("closed");
    const fds = await settledFds();
    using _ = stubLibc({ setns: () => -ERRNO.EPERM });
    for (
      const call of [
        () => listenMptcp({ netns: netns.name }),
        () => mptcpSupport({ netns: netns.name }),
        () => new MptcpPathManager({ netns: netns.name }),
      ]
    ) {
      assertEquals(assertThrows(call, MptcpError, "CAP_SYS_ADMIN").code, "EPERM");
    }
    assertEquals(openFds(), fds);
  },
);

test(
  "a thread that cannot be put back is an error, whatever the action did",
  { skip },
  async () => {
    using netns = createNetns("stuck");
    const fds = await settledFds();
    let calls = 0;
    using _ = stubLibc({ setns: () => ++calls === 1 ? 0 : -ERRNO.ENOMEM });
    const error = assertThrows(() => inNetns(netns.name, () => "done"), MptcpError, "leave");
    assertEquals([error.code, openFds()], ["ENOMEM", fds]);
  },
);

test("listening, connecting, support and the path manager are in the namespace", {
  skip: skip ?? mptcpSupport().fallback?.detail ?? null,
}, async () => {
  using netns = createNetns("all");
  const cookie = openAndClose(netns.name);
  using paths = new MptcpPathManager({ netns: netns.name });
  paths.addEndpoint({ address: "10.9.8.7", signal: true });
  using listener = listenMptcp({ hostname: "127.0.0.1", netns: netns.name });
  const { port } = listener.addr;
  using client = await connectMptcp({ port, netns: netns.name });
  using server = await listener.accept();
  for (const { fd } of [listener, client, server]) assertEquals(cookieOf(fd), cookie);
  const listed = paths.connections();
  const end = ({ hostname, port }: NetAddr) => ({ hostname, port });
  for (const conn of [client, server]) {
    const found = listed.find(({ token }) => token === conn.info()!.token)!;
    assertEquals([found.localAddr, found.remoteAddr], [end(conn.localAddr), end(conn.remoteAddr)]);
    assertEquals(found.subflowsTotal, 1);
  }
  assertEquals(listed.length, 2);
  const here = mptcpSupport({ netns: netns.name });
  assertEquals(here.endpoints!.map(({ address }) => address), ["10.9.8.7"]);
  assertEquals(here.addresses.every(({ device }) => device === "lo"), true);
  // And not in this one.
  const elsewhere = mptcpSupport().endpoints!.map(({ address }) => address);
  assertEquals(elsewhere.includes("10.9.8.7"), false);
});
