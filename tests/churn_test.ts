import { assert, assertEquals } from "@std/assert";
import { connectMptcp, listenMptcp } from "../mod.ts";
import type { ListenMptcpOptions, MptcpConn, MptcpListener } from "../src/types.ts";
import { assertOpenFds, openFds, test } from "./harness.ts";
import { missingProgram, pythonPeer } from "./processes.ts";
import { bytesOf, readToEnd, readUpTo } from "./sockets.ts";

const COUNT = 200;

/** Every way in which a client leaves; the server reads to the end each time. */
const WAYS: Record<string, (port: number, mptcp: "prefer" | "off") => Promise<void>> = {
  async "closes after a word"(port, mptcp) {
    using conn = await connectMptcp({ port, mptcp });
    await conn.write(bytesOf("word"));
  },
  async "closes without a word"(port, mptcp) {
    (await connectMptcp({ port, mptcp })).close();
  },
  async "half-closes and reads the rest"(port, mptcp) {
    using conn = await connectMptcp({ port, mptcp });
    await conn.write(bytesOf("word"));
    await conn.closeWrite();
    await readToEnd(conn);
  },
  async "resets"(port, mptcp) {
    using conn = await connectMptcp({ port, mptcp, socketOptions: { linger: 0 } });
    await conn.write(bytesOf("word"));
  },
  async "closes while it reads"(port, mptcp) {
    const conn = await connectMptcp({ port, mptcp });
    // The answer may be there already: the second read waits, as nothing follows it.
    await readUpTo(conn, "answer".length);
    const reading = conn.read(new Uint8Array(1)).catch((error) => error.name);
    conn.close();
    assertEquals(await reading, "Interrupted");
  },
  async "gives up while connecting"(port, mptcp) {
    const controller = new AbortController();
    const { signal } = controller;
    const connecting = connectMptcp({ port, mptcp, signal }).then((conn) => conn.close(), () => {});
    await Promise.resolve();
    controller.abort();
    await connecting;
  },
  async "ends its streams"(port, mptcp) {
    const { readable, writable } = await connectMptcp({ port, mptcp });
    const writer = writable.getWriter();
    await writer.write(bytesOf("word"));
    await writer.close();
    await readable.cancel().catch(() => {});
  },
};

/** Accepts, answers a word and reads to the end, whatever becomes of the connection. */
async function serve(listener: MptcpListener): Promise<number> {
  const running: Promise<void>[] = [];
  for await (const conn of listener) running.push(answer(conn));
  await Promise.all(running);
  return running.length;
}

async function answer(conn: MptcpConn): Promise<void> {
  try {
    await conn.write(bytesOf("answer"));
    await readToEnd(conn);
  } catch (error) {
    assert(["ECONNRESET", "EPIPE"].includes((error as { code: string }).code), String(error));
  } finally {
    conn[Symbol.dispose]();
  }
}

for (const mptcp of ["prefer", "off"] as const) {
  for (const [way, leave] of Object.entries(WAYS)) {
    test(`${COUNT} connections with mptcp "${mptcp}" whose client ${way} leave no descriptor`, async () => {
      const before = openFds();
      const options: ListenMptcpOptions = { hostname: "127.0.0.1", mptcp };
      const listener = listenMptcp(options);
      const serving = serve(listener);
      for (let done = 0; done < COUNT; done += 20) {
        await Promise.all(Array.from({ length: 20 }, () => leave(listener.addr.port, mptcp)));
      }
      listener.close();
      const served = await serving;
      assert(way === "gives up while connecting" || served > 0);
      await assertOpenFds(before);
    });
  }
}

test("connections of a peer that is killed end, and leave no descriptor", {
  skip: missingProgram("python3"),
}, async () => {
  const before = openFds();
  {
    using listener = listenMptcp({ hostname: "127.0.0.1" });
    await using peer = pythonPeer("hold", "127.0.0.1", listener.addr.port, 262, 50);
    const conns: MptcpConn[] = [];
    for (let i = 0; i < 50; i++) conns.push(await listener.accept());
    assertEquals(await peer.next<unknown>(), { held: 50 });
    const ends = conns.map((conn) => readToEnd(conn).catch(() => new Uint8Array(0)));
    await peer.kill();
    assertEquals((await Promise.all(ends)).map(({ byteLength }) => byteLength), Array(50).fill(0));
    for (const conn of conns) conn.close();
  }
  await assertOpenFds(before);
});

test("1 000 connections at once each get their own answer", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1", tcpBacklog: 1024 });
  const { port } = listener.addr;
  const echo = (async () => {
    for await (const conn of listener) conn.readable.pipeTo(conn.writable).catch(() => {});
  })();
  const conns = await Promise.all(Array.from({ length: 1000 }, () => connectMptcp({ port })));
  await Promise.all(conns.map(async (conn, i) => {
    await conn.write(bytesOf(`message ${i}`));
    await conn.closeWrite();
    assertEquals(await readToEnd(conn), bytesOf(`message ${i}`));
    conn.close();
  }));
  listener.close();
  await echo;
});
