import { assert, assertEquals } from "@std/assert";
import { connectMptcp, mptcpSupport } from "../mod.ts";
import { ConnectionTable } from "../src/http/connections.ts";
import { watchGoneClients } from "../src/http/gone_clients.ts";
import { serveMptcp } from "../src/http/mod.ts";
import { SHUTDOWN_PATIENCE } from "../src/net/gone_peers.ts";
import { assertOpenFds, settledFds, test } from "./harness.ts";
import { ENGINES } from "./http.ts";
import { bytesOf, connectedPair, delay, LOOPBACKS, readUpTo } from "./sockets.ts";

const skip = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

const CHUNK = new Uint8Array(64 * 1024);

/** Waits until a count has stayed the same for some time. */
async function untilStalled(count: () => number): Promise<void> {
  for (let before = -1; before !== count();) {
    before = count();
    await delay(200);
  }
}

for (const engine of ENGINES) {
  for (const hostname of LOOPBACKS) {
    test(
      `${engine}, ${hostname}: shutdown is rid of an MPTCP client that has ended and takes nothing`,
      {
        skip,
      },
      async () => {
        const before = await settledFds();
        const protocols: string[] = [];
        let pulls = 0;
        let isCancelled = false;
        const server = serveMptcp({ hostname, port: 0, engine, mptcp: "require" }, (_, info) => {
          protocols.push(info.protocol);
          const body = new ReadableStream<Uint8Array>({
            async pull(controller) {
              pulls++;
              // Else Bun pulls for ever, whatever the client takes, in the turn it began.
              await delay(0);
              controller.enqueue(CHUNK);
            },
            cancel: () => void (isCancelled = true),
          });
          return new Response(body);
        });
        const client = await connectMptcp({ hostname, port: server.addr.port, mptcp: "require" });
        await client.write(bytesOf("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        while (pulls === 0) await delay(5);
        await untilStalled(() => pulls);
        assertEquals([client.protocol, ...protocols], ["mptcp", "mptcp"]);
        // The kernel shows the server no more of a client that has closed.
        await client.closeWrite();
        const started = performance.now();
        await server.shutdown();
        const took = performance.now() - started;
        assert(took < SHUTDOWN_PATIENCE * 3, `shutdown took ${took} ms`);
        assert(isCancelled);
        client.close();
        await assertOpenFds(before);
      },
    );
  }
}

/** How a client may behave that the server has more for than there is room. */
const CLIENTS = {
  "has ended and takes nothing": { hasEnded: true, reads: false, isGone: true },
  "has ended and goes on reading": { hasEnded: true, reads: true, isGone: false },
  "takes nothing and has not ended": { hasEnded: false, reads: false, isGone: false },
};

for (const [what, { hasEnded, reads, isGone }] of Object.entries(CLIENTS)) {
  test(`a client that ${what} is ${isGone ? "given up" : "waited for"}`, { skip }, async () => {
    const patience = 400;
    using pair = await connectedPair({ mptcp: "require" }, { mptcp: "require" });
    const { client, server } = pair;
    let written = 0;
    let failure: string | null = null;
    const sending = (async () => {
      try {
        for (;;) written += await server.write(CHUNK);
      } catch (error) {
        failure = (error as { code: string }).code;
      }
    })();
    await untilStalled(() => written);
    // Something unread must not hide the end.
    await client.write(bytesOf("close_notify"));
    if (hasEnded) await client.closeWrite();
    const goneClients = watchGoneClients(new ConnectionTable(server.localAddr), patience);
    const until = performance.now() + 3 * patience;
    while (failure === null && performance.now() < until) {
      if (reads) await readUpTo(client, 1_000_000);
      await delay(20);
    }
    goneClients.stop();
    assertEquals(failure, isGone ? "EPIPE" : null);
    server.close();
    await sending;
  });
}
