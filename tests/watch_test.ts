import { assertEquals } from "@std/assert";
import { Stream } from "../src/poll/fd.ts";
import { test } from "./harness.ts";
import { bytesOf, connectedPair, delay } from "./sockets.ts";

test("a watcher is called in every round that it asks for, without an event and without spinning", async () => {
  const { server, client } = await connectedPair();
  const stream = new Stream(server.detach());
  // Sleeps that looking has not avoided: there are no looks in vain any more.
  for (let i = 0; i < 8; i++) {
    const { promise, resolve } = Promise.withResolvers<void>();
    stream.watch(() => stream.tryRead(new Uint8Array(16)) > 0 && resolve());
    await delay(10);
    await client.write(bytesOf("wake"));
    await promise;
    stream.watch(null);
  }
  let calls = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.watch(() => {
    if (++calls === 500) resolve();
    else stream.watchAgain();
  });
  await client.write(bytesOf("once"));
  await promise;
  assertEquals(calls, 500);
  stream.close();
  client.close();
});
