import { assertEquals } from "@std/assert";
import { connectMptcp, listenMptcp } from "@multipath/mptcp";
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

for (const mptcp of ["prefer", "off"] as const) {
  for (
    const [hostname, to] of [
      ["127.0.0.1", "127.0.0.1"],
      ["::1", "::1"],
      ["0.0.0.0", "127.0.0.3"],
      ["::", "::1"],
    ] as const
  ) {
    const what = `mptcp: "${mptcp}", a listener on ${hostname}`;
    test(`${what} gives connections the local address that they came to`, async () => {
      using listener = listenMptcp({ hostname, mptcp });
      using client = await connectMptcp({ hostname: to, port: listener.addr.port, mptcp });
      const server = await listener.accept();
      assertEquals(server.localAddr, client.remoteAddr);
      assertEquals(server.localAddr.hostname, to);
      server.close();
      assertEquals(server.localAddr, client.remoteAddr);
      using second = await connectMptcp({ hostname: to, port: listener.addr.port, mptcp });
      const unasked = await listener.accept();
      unasked.close();
      assertEquals(unasked.localAddr, second.remoteAddr);
    });
  }
}
