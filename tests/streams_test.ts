import { assert, assertEquals, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { ERRNO } from "../ffi/linux/errno.ts";
import { libc } from "../ffi/runtime.ts";
import { MptcpError } from "../mod.ts";
import { injectFaults, randomFrom, stubLibc } from "./faults.ts";
import { test } from "./harness.ts";
import { bytesOf, concat, connectedPair, readToEnd, readUpTo, writeAll } from "./sockets.ts";

test("readable takes small buffers for small messages and larger ones for more", async () => {
  using pair = await connectedPair();
  const reader = pair.server.readable.getReader();
  const sizes: number[] = [];
  for (let i = 0; i < 5; i++) {
    await pair.client.write(bytesOf("word"));
    const { value } = await reader.read();
    assertEquals(value, bytesOf("word"));
    sizes.push(value!.buffer.byteLength);
  }
  assertEquals(sizes, Array(5).fill(2048));

  const sent = Uint8Array.from({ length: 1 << 20 }, (_, i) => i % 251);
  const sending = writeAll(pair.client, sent);
  const chunks: Uint8Array[] = [];
  for (let received = 0; received < sent.byteLength;) {
    const { value } = await reader.read();
    chunks.push(value!);
    received += value!.byteLength;
  }
  await sending;
  assertEquals(concat(chunks), sent);
  const largest = Math.max(...chunks.map(({ buffer }) => buffer.byteLength));
  assert(largest === 64 * 1024, `The largest buffer has ${largest} bytes`);
});

for (const seed of [1, 2, 3]) {
  test(`a pipe between connections loses no byte by interrupted and short calls, seed ${seed}`, async () => {
    const random = randomFrom(seed);
    const bytes = Uint8Array.from({ length: 2_000_000 }, () => random() * 256);
    using faults = injectFaults({ seed, EINTR: 10, EAGAIN: 10, short: 30 });
    using incoming = await connectedPair();
    using outgoing = await connectedPair();
    const piped = incoming.server.readable.pipeTo(outgoing.client.writable);
    const writing = writeAll(incoming.client, bytes).then(() => incoming.client.close());
    assertEquals(Buffer.compare(await readToEnd(outgoing.server), bytes), 0);
    await Promise.all([piped, writing]);
    assert(faults.counts.short > 0 && faults.counts.EAGAIN > 0);
  });
}

test("a pipe that cannot write fails with the reason, and nothing else of its source is lost", async () => {
  using incoming = await connectedPair();
  using outgoing = await connectedPair();
  const { send } = libc();
  let failures = 0;
  // As the kernel does: the reason once, and from then on that the connection is broken.
  using _ = stubLibc({
    send(fd, ...rest) {
      if (fd !== outgoing.client.fd) return send(fd, ...rest);
      return failures++ === 0 ? -ERRNO.ECONNRESET : -ERRNO.EPIPE;
    },
  });
  const { readable } = incoming.server;
  const piped = readable.pipeTo(outgoing.client.writable, { preventCancel: true });
  await writeAll(incoming.client, bytesOf("lost"));
  assertEquals((await assertRejects(() => piped, MptcpError)).code, "ECONNRESET");
  assertEquals([failures, outgoing.client.fd], [1, -1]);
  await writeAll(incoming.client, bytesOf("kept"));
  assertEquals(await readUpTo(incoming.server, 4), bytesOf("kept"));
});

test("a pipe between connections makes no buffer for each chunk", async () => {
  using incoming = await connectedPair();
  using outgoing = await connectedPair();
  const { recv } = libc();
  const bufs = new Set<Uint8Array>();
  using _ = stubLibc({
    recv(fd, buf, ...rest) {
      if (fd === incoming.server.fd) bufs.add(buf);
      return recv(fd, buf, ...rest);
    },
  });
  const piped = incoming.server.readable.pipeTo(outgoing.client.writable);
  for (let i = 0; i < 20; i++) {
    await writeAll(incoming.client, bytesOf("word"));
    await readUpTo(outgoing.server, 4);
  }
  incoming.client.close();
  await piped;
  // The end that the pipe has read is not asked of the kernel again.
  assertEquals([...bufs].map(({ byteLength }) => byteLength), [2048]);
});
