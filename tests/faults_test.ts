import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import process from "node:process";
import { ERRNO } from "../ffi/linux/errno.ts";
import { libc } from "../ffi/runtime.ts";
import { connectMptcp, listenMptcp, MptcpError } from "../mod.ts";
import type { MptcpConn } from "../src/types.ts";
import { injectFaults, stubLibc } from "./faults.ts";
import { assertOpenFds, openFds, test } from "./harness.ts";
import { missingProgram, run } from "./processes.ts";
import { bytesOf, connectedPair, LOOPBACKS, readUpTo } from "./sockets.ts";
import { exchange } from "./transfer.ts";

const MIB = 1 << 20;

for (const seed of [1, 2, 3]) {
  for (const hostname of LOOPBACKS) {
    test(`no byte is lost over ${hostname} when calls fail and fall short, seed ${seed}`, async () => {
      using faults = injectFaults({ seed, EINTR: 5, EAGAIN: 10, short: 30 });
      using pair = await connectedPair({ hostname });
      const [client, server] = await Promise.all([
        exchange(pair.client, 2 * MIB, seed),
        exchange(pair.server, 2 * MIB, seed + 100),
      ]);
      assertEquals(server.received, client.sent);
      assertEquals(client.received, server.sent);
      assertEquals([client.receivedBytes, server.receivedBytes], [2 * MIB, 2 * MIB]);
      for (const kind of ["EINTR", "EAGAIN", "short"] as const) {
        assert(faults.counts[kind] > 0, kind);
      }
    });
  }
}

test("connections come about though half of all accepts and sockets find no descriptor", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const { port } = listener.addr;
  const before = openFds();
  using faults = injectFaults({ seed: 7, EMFILE: 50, EINTR: 20 });
  for (let done = 0; done < 40; done++) {
    using client = await untilNotEmfile(() => connectMptcp({ port }));
    using server = await untilNotEmfile(() => listener.accept());
    await client.write(bytesOf("x"));
    assertEquals(await readUpTo(server, 1), bytesOf("x"));
  }
  assert(faults.counts.EMFILE > 20);
  assertEquals(openFds(), before);
});

async function untilNotEmfile<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      assertEquals((error as MptcpError).code, "EMFILE");
    }
  }
}

test("a refused epoll registration rejects the read and leaves the connection usable", async () => {
  using pair = await connectedPair();
  {
    using _ = stubLibc({ epoll_ctl: () => -ERRNO.ENOSPC });
    const error = await assertRejects(() => pair.server.read(new Uint8Array(1)), MptcpError);
    assertEquals([error.code, error.syscall], ["ENOSPC", "epoll_ctl"]);
  }
  const read = readUpTo(pair.server, 2);
  await pair.client.write(bytesOf("ok"));
  assertEquals(await read, bytesOf("ok"));
});

for (const call of ["bind", "listen", "setsockopt", "getsockname"] as const) {
  test(`a failing ${call} makes listenMptcp throw and leaves no descriptor`, () => {
    const before = openFds();
    using _ = stubLibc({ [call]: () => -ERRNO.ENOBUFS });
    const error = assertThrows(() => listenMptcp({ hostname: "127.0.0.1" }), MptcpError);
    assertEquals([error.code, error.syscall], ["ENOBUFS", call]);
    assertEquals(openFds(), before);
  });
}

for (const call of ["connect", "setsockopt"] as const) {
  test(`a failing ${call} makes connectMptcp reject and leaves no descriptor`, async () => {
    using listener = listenMptcp({ hostname: "127.0.0.1" });
    const before = openFds();
    using _ = stubLibc({ [call]: () => -ERRNO.ENOBUFS });
    const { port } = listener.addr;
    const error = await assertRejects(() => connectMptcp({ port }), MptcpError);
    assertEquals([error.code, error.syscall], ["ENOBUFS", call]);
    assertEquals(openFds(), before);
  });
}

test("accept goes on after connections that failed before they were accepted", async () => {
  const { accept4 } = libc();
  const failures = [ERRNO.ECONNABORTED, ERRNO.EPROTO, ERRNO.ENETDOWN, ERRNO.EHOSTUNREACH];
  using _ = stubLibc({
    accept4: (...args) => failures.length > 0 ? -failures.pop()! : accept4(...args),
  });
  using pair = await connectedPair();
  assertEquals(failures, []);
  assert(pair.server.fd >= 0);
});

test("an error that breaks a connection is given by name, to all that read and write", async () => {
  using pair = await connectedPair();
  using _ = stubLibc({ recv: () => -ERRNO.ETIMEDOUT, send: () => -ERRNO.EPIPE });
  const read = await assertRejects(() => pair.client.read(new Uint8Array(1)), MptcpError);
  assertEquals([read.name, read.code, read.syscall], ["TimedOut", "ETIMEDOUT", "recv"]);
  const write = await assertRejects(() => pair.client.write(new Uint8Array(1)), MptcpError);
  assertEquals([write.name, write.code, write.syscall], ["TimedOut", "ETIMEDOUT", "send"]);
});

test("an error of the outgoing direction alone leaves the incoming one", async () => {
  using pair = await connectedPair();
  await pair.server.write(bytesOf("news"));
  using _ = stubLibc({ send: () => -ERRNO.EPIPE });
  const write = await assertRejects(() => pair.client.write(new Uint8Array(1)), MptcpError);
  assertEquals([write.name, write.code, write.syscall], ["BrokenPipe", "EPIPE", "send"]);
  assertEquals(await readUpTo(pair.client, 4), bytesOf("news"));
  pair.server.close();
  assertEquals(await pair.client.read(new Uint8Array(1)), null);
});

test("a connection that the kernel has no more of after a reset tells the reset", async () => {
  using pair = await connectedPair();
  const reset = -ERRNO.ECONNRESET;
  using _ = stubLibc({ recv: () => -ERRNO.ENOTCONN, send: () => reset, shutdown: () => reset });
  for (const action of ["write", "read", "write", "read"] as const) {
    const error = await assertRejects(() => pair.client[action](new Uint8Array(1)), MptcpError);
    assertEquals(error.code, "ECONNRESET");
  }
  assertEquals(
    (await assertRejects(() => pair.client.closeWrite(), MptcpError)).code,
    "ECONNRESET",
  );
});

test("a connection closes though its address cannot be had", async () => {
  using pair = await connectedPair();
  using _ = stubLibc({ getsockname: () => -ERRNO.ENOBUFS });
  pair.client.close();
  assertEquals([pair.client.fd, await pair.server.read(new Uint8Array(1))], [-1, null]);
});

test("with no descriptor left both verbs say so, and go on when there are some again", {
  skip: missingProgram("prlimit"),
}, async () => {
  const limit = (descriptors: number) =>
    run("prlimit", ["--pid", String(process.pid), `--nofile=${descriptors}:`]);
  const soft = softLimit();
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const { port } = listener.addr;
  const before = openFds();
  const conns: MptcpConn[] = [];
  limit(before + 40);
  try {
    // Half of the descriptors go to clients; the backlog holds the rest of the connections.
    const error = await assertRejects(async () => {
      for (;;) conns.push(await connectMptcp({ port }));
    }, MptcpError);
    assertEquals([error.code, error.syscall], ["EMFILE", "socket"]);
    assert(error.message.includes("ulimit -n"), error.message);
    assertEquals(assertThrows(() => listenMptcp(), MptcpError).code, "EMFILE");
    assertEquals((await assertRejects(() => listener.accept(), MptcpError)).code, "EMFILE");
    // The connection that could not be accepted is still there.
    conns.pop()!.close();
    conns.push(await listener.accept());
  } finally {
    for (const conn of conns) conn.close();
    limit(soft);
  }
  for (let i = 1; i < conns.length; i++) (await listener.accept()).close();
  await assertOpenFds(before);
});

function softLimit(): number {
  const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))!;
  return Number(soft);
}
