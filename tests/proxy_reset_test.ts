import { assert, assertEquals } from "@std/assert";
import { type MptcpConn, type MptcpError, mptcpSupport } from "../mod.ts";
import { libc, pretendUnsupported } from "../ffi/runtime.ts";
import { stubLibc } from "./faults.ts";
import { runtime, test } from "./harness.ts";
import { modeOf, PAIRINGS, TestBackend, TestProxy } from "./proxy.ts";
import { bytesOf, delay, LOOPBACKS, readUpTo, untilStill } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

/** Writes words that say where they are, until that fails; it may never end otherwise. */
async function sendStamps(conn: MptcpConn): Promise<void> {
  const words = new Uint32Array(16 * 1024);
  const bytes = new Uint8Array(words.buffer);
  for (let word = 0;; word += words.length) {
    for (let i = 0; i < words.length; i++) words[i] = word + i;
    for (let at = 0; at < bytes.byteLength;) {
      at += await conn.write(bytes.subarray(at));
    }
  }
}

/** Reads such words until the connection ends or breaks: how many bytes, and the error's code. */
async function readStamps(
  conn: MptcpConn,
  { pause = 0, block = 64 * 1024 } = {},
): Promise<{ count: number; code: string | null }> {
  const buf = new Uint8Array(block);
  let count = 0;
  try {
    for (;;) {
      const read = await conn.read(buf);
      if (read === null) return { count, code: null };
      for (let i = 0; i < read; i++) {
        const at = count + i;
        if (buf[i] !== ((at >>> 2) >>> (8 * (at % 4)) & 0xff)) {
          throw new Error(`The byte at ${at} is wrong`);
        }
      }
      count += read;
      if (pause > 0) await delay(pause);
    }
  } catch (error) {
    return { count, code: (error as MptcpError).code ?? String(error) };
  }
}

/** A proxy between two connections that are at hand here. */
class Between implements AsyncDisposable {
  readonly client: MptcpConn;
  readonly server: MptcpConn;
  readonly proxy: TestProxy;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    stack: AsyncDisposableStack,
    proxy: TestProxy,
    client: MptcpConn,
    server: MptcpConn,
  ) {
    this.#stack = stack;
    this.proxy = proxy;
    this.client = client;
    this.server = server;
  }

  static async create(
    front: "mptcp" | "tcp",
    back: "mptcp" | "tcp",
    { hostname = "127.0.0.1", buffer, linger = 0 as number | null }: {
      hostname?: string;
      buffer?: number;
      linger?: number | null;
    } = {},
  ): Promise<Between> {
    const stack = new AsyncDisposableStack();
    const arrived = Promise.withResolvers<MptcpConn>();
    const done = Promise.withResolvers<void>();
    const resets = linger === null ? {} : { linger };
    const socketOptions = buffer === undefined
      ? resets
      : { ...resets, receiveBuffer: buffer, sendBuffer: buffer };
    const backend = stack.use(
      new TestBackend((conn) => {
        arrived.resolve(conn);
        return done.promise;
      }, { hostname, mptcp: modeOf(back), socketOptions }),
    );
    const host = hostname.includes(":") ? `[${hostname}]` : hostname;
    const limits = buffer === undefined ? {} : { receiveBuffer: buffer, sendBuffer: buffer };
    const proxy = stack.use(
      new TestProxy({
        front: { hostname, port: 0, mptcp: modeOf(front), socketOptions: limits },
        back: { hostname, port: backend.port, mptcp: modeOf(back), socketOptions: limits },
      }),
    );
    const client = stack.use(
      await proxy.connect({ hostname, mptcp: modeOf(front), socketOptions }),
    );
    stack.defer(done.resolve);
    await client.write(new Uint8Array(1));
    const server = await arrived.promise;
    await readUpTo(server, 1);
    assertEquals([client.protocol, server.protocol], [front, back], host);
    return new Between(stack, proxy, client, server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Calls of `splice` so far. */
function watchSplices(onCall: (calls: number) => void): Disposable {
  const { splice } = libc();
  let calls = 0;
  return stubLibc({
    splice: (...args) => {
      onCall(++calls);
      return splice(...args);
    },
  });
}

/** What a side has sent, and the other has got. */
const SIDES = [["client", "bytesIn", 1], ["backend", "bytesOut", 0]] as const;

test("a side that resets loses no byte that the proxy has read", { skip: noMptcp }, async () => {
  const cases = PAIRINGS.flatMap((pairing) => SIDES.map((side) => ({ ...pairing, side })))
    .flatMap((each) => LOOPBACKS.map((hostname) => ({ ...each, hostname })));
  await Promise.all(cases.map(async ({ front, back, side: [sender, bytes, first], hostname }) => {
    await using between = await Between.create(front, back, { hostname, buffer: 128 * 1024 });
    const { client, server, proxy } = between;
    const [from, to] = sender === "client" ? [client, server] : [server, client];
    const sending = sendStamps(from).catch(() => {});
    // Without the byte that the connection began with.
    const read = await untilStill(() => proxy.proxy.stats()[bytes]) - first;
    from.close();
    await sending;
    const { count, code } = await readStamps(to);
    const report = await proxy.report();
    const what = `${front} to ${back}, ${hostname}, ${sender}`;
    assertEquals(code, "ECONNRESET", what);
    assert(count >= read, `${count} of ${read} bytes went on: ${what}`);
    assertEquals(count, report[bytes] - first, what);
    assertEquals(report.end, `${sender}-reset`, what);
  }));
});

for (const sender of ["client", "backend"] as const) {
  test(`a ${sender} that resets loses no byte that is in a pipe`, async () => {
    let splices = 0;
    using _watch = watchSplices(() => splices++);
    await using between = await Between.create("tcp", "tcp");
    const { client, server, proxy } = between;
    const [from, to] = sender === "client" ? [client, server] : [server, client];
    const bytes = sender === "client" ? "bytesIn" : "bytesOut";
    const sending = sendStamps(from).catch(() => {});
    const read = await untilStill(() => proxy.proxy.stats()[bytes]);
    from.close();
    await sending;
    const { count, code } = await readStamps(to);
    assert(splices > 0);
    assertEquals(code, "ECONNRESET");
    assert(count >= read - 1, `${count} of ${read} bytes went on`);
    assertEquals((await proxy.report()).end, `${sender}-reset`);
  });

  test(`a reset of the ${sender} that a splice meets is no end of the stream`, async () => {
    await using between = await Between.create("tcp", "tcp");
    const { client, server, proxy } = between;
    const [from, to] = sender === "client" ? [client, server] : [server, client];
    using _watch = watchSplices((calls) => {
      if (calls === 5) from.close();
    });
    const sending = sendStamps(from).catch(() => {});
    const { code } = await readStamps(to);
    await sending;
    assertEquals(code, "ECONNRESET");
    assertEquals((await proxy.report()).end, `${sender}-reset`);
  });
}

test("what was written before a reset has time to arrive at a slow reader", {
  skip: noMptcp,
}, async () => {
  await Promise.all(PAIRINGS.map(async ({ front, back }) => {
    await using between = await Between.create(front, back, { buffer: 64 * 1024 });
    const { client, server, proxy } = between;
    const sending = sendStamps(server).catch(() => {});
    const read = await untilStill(() => proxy.proxy.stats().bytesOut);
    server.close();
    await sending;
    // About a second and a half for all.
    const block = Math.ceil(read / 30);
    const { count, code } = await readStamps(client, { pause: 50, block });
    assertEquals(code, "ECONNRESET");
    assert(count >= read, `${count} of ${read} bytes arrived from ${front} to ${back}`);
    assertEquals((await proxy.report()).end, "backend-reset");
  }));
});

for (const sender of ["client", "backend"] as const) {
  test(`on the runtime's own TCP, what a ${sender} has sent goes on though it takes no more`, {
    place: runtime === "node" ? "node:net listens in a later turn, a listener at once" : null,
  }, async () => {
    const before = pretendUnsupported("the test says so");
    try {
      await using between = await Between.create("tcp", "tcp", { linger: null });
      const { client, server, proxy } = between;
      const [from, to] = sender === "client" ? [client, server] : [server, client];
      const bytes = sender === "client" ? "bytesIn" : "bytesOut";
      const sending = sendStamps(from).catch(() => {});
      const read = await untilStill(() => proxy.proxy.stats()[bytes]);
      // Something unread, so that closing resets.
      await to.write(bytesOf("unread"));
      await delay(20);
      from.close();
      await sending;
      // What the other side goes on sending must not turn the proxy's close into a reset, which would
      // drop what it has not taken yet.
      let isRead = false;
      const talking = (async () => {
        while (!isRead) {
          await to.write(bytesOf("more"));
          await delay(5);
        }
      })().catch(() => {});
      const { count, code } = await readStamps(to, { pause: 5 });
      isRead = true;
      await talking;
      to.close();
      const first = sender === "client" ? 1 : 0;
      assertEquals(code, null);
      assert(count >= read - first, `${count} of ${read - first} bytes went on`);
      assertEquals((await proxy.report()).end, `${sender}-reset`);
    } finally {
      pretendUnsupported(before);
    }
  });
}
