import { assertEquals } from "@std/assert";
import { test } from "./harness.ts";
import { bytesOf, connectedPair, LOOPBACKS, readUpTo } from "./sockets.ts";

for (const hostname of LOOPBACKS) {
  test(`a connection over ${hostname} carries bytes both ways`, async () => {
    using pair = await connectedPair({ hostname });
    await pair.client.write(bytesOf("ping"));
    assertEquals(await readUpTo(pair.server, 4), bytesOf("ping"));
    await pair.server.write(bytesOf("pong"));
    assertEquals(await readUpTo(pair.client, 4), bytesOf("pong"));
  });
}
