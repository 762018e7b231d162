import { assert, assertEquals } from "@std/assert";
import { test } from "./harness.ts";
import { bytesOf, concat, connectedPair, writeAll } from "./sockets.ts";

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
