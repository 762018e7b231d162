import { assert, assertEquals } from "@std/assert";
import { listenMptcp, type MptcpConn, type MptcpError, mptcpSupport } from "../mod.ts";
import { SHUTDOWN_PATIENCE } from "../src/net/gone_peers.ts";
import { assertOpenFds, settledFds, test } from "./harness.ts";
import { TestBackend, TestProxy } from "./proxy.ts";
import { bytesOf, LOOPBACKS, readToEnd, readUpTo, untilStill } from "./sockets.ts";

const skip = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

/** Writes until that fails: how much was written, and why it failed. */
async function fill(conn: MptcpConn, onWritten: (count: number) => void): Promise<string> {
  try {
    for (;;) onWritten(await conn.write(new Uint8Array(64 * 1024)));
  } catch (error) {
    return (error as MptcpError).code;
  }
}

/** A client and a backend with a proxy between them, of which one leaves in the middle. */
async function leave(gone: "client" | "backend", hostname: string): Promise<void> {
  const mptcp = "require";
  using backend = listenMptcp({ hostname, mptcp });
  const back = { hostname, port: backend.addr.port, mptcp } as const;
  await using proxy = new TestProxy({ front: { hostname, mptcp }, back });
  using client = await proxy.connect({ hostname, mptcp });
  await client.write(bytesOf("x"));
  using server = await backend.accept();
  await readUpTo(server, 1);
  assertEquals([client.protocol, server.protocol], ["mptcp", "mptcp"]);
  const [leaver, sender] = gone === "client" ? [client, server] : [server, client];
  let written = 0;
  const sending = fill(sender, (count) => written += count);
  await untilStill(() => written);
  // Its peer sees no more of a process that was killed. What it has sent before arrives.
  await leaver.write(bytesOf("last words"));
  await leaver.closeWrite();
  const began = performance.now();
  assertEquals(await proxy.proxy.shutdown(), 0);
  const took = performance.now() - began;
  assert(took < 4 * SHUTDOWN_PATIENCE, `shutdown took ${took} ms`);
  const { end, error } = await proxy.report();
  assertEquals([end, (error as MptcpError).code], [`${gone}-reset`, "ERR_PEER_GONE"]);
  assert(["ECONNRESET", "EPIPE"].includes(await sending));
}

/** A client that has ended its stream and reads on, slowly, for longer than one that takes nothing has. */
async function readSlowly(): Promise<void> {
  const size = 3_000_000;
  await using backend = new TestBackend(async (conn) => {
    await readToEnd(conn);
    for (let sent = 0; sent < size;) sent += await conn.write(new Uint8Array(size - sent));
  }, { mptcp: "require" });
  await using proxy = new TestProxy({
    front: { hostname: "127.0.0.1", mptcp: "require" },
    back: { hostname: "127.0.0.1", port: backend.port, mptcp: "require" },
  });
  using client = await proxy.connect({ mptcp: "require", socketOptions: { receiveBuffer: 65536 } });
  await client.closeWrite();
  await untilStill(() => proxy.proxy.stats().bytesOut);
  const ending = proxy.proxy.shutdown();
  const until = performance.now() + 1.25 * SHUTDOWN_PATIENCE;
  let got = 0;
  while (performance.now() < until) {
    got += (await readUpTo(client, 40_000)).byteLength;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  got += (await readToEnd(client)).byteLength;
  assertEquals(got, size);
  assertEquals(await ending, 0);
  assertEquals((await proxy.report()).end, "closed");
}

test(
  "of MPTCP peers that have ended, shutdown gives up those that take nothing",
  { skip },
  async () => {
    const before = await settledFds();
    await Promise.all([
      readSlowly(),
      ...LOOPBACKS.flatMap((host) => [leave("client", host), leave("backend", host)]),
    ]);
    await assertOpenFds(before);
  },
);
