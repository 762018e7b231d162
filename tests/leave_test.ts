import { assert, assertEquals } from "@std/assert";
import { type MptcpConn, type MptcpError, mptcpSupport } from "../mod.ts";
import { leave } from "../src/net/leave.ts";
import { assertOpenFds, settledFds, test } from "./harness.ts";
import { bytesOf, connectedPair, delay, LOOPBACKS, readToEnd } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

/** Sends a little at a time until that fails, which gives the code; "" after three seconds. */
async function trickle(conn: MptcpConn): Promise<string> {
  const until = performance.now() + 3000;
  try {
    while (performance.now() < until) {
      await conn.write(new Uint8Array(1000));
      await delay(1);
    }
    return "";
  } catch (error) {
    return (error as MptcpError).code;
  }
}

for (const mptcp of ["require", "off"] as const) {
  for (const hostname of LOOPBACKS) {
    const options = { skip: mptcp === "off" ? null : noMptcp };
    const name = `${mptcp === "off" ? "TCP" : "MPTCP"}, ${hostname}`;
    const connect = () => connectedPair({ hostname, mptcp }, { mptcp });

    test(`${name}: a peer that goes on sending is reset`, options, async () => {
      const before = await settledFds();
      {
        using pair = await connect();
        assertEquals(pair.server.protocol, mptcp === "off" ? "tcp" : "mptcp");
        const sending = trickle(pair.server);
        const buf = new Uint8Array(64 * 1024);
        for (let i = 0; i < 20; i++) await pair.client.read(buf);
        const reading = pair.client.read(buf).then(() => {}, () => {});
        await leave(pair.client);
        await reading;
        assert(["ECONNRESET", "EPIPE"].includes(await sending));
      }
      await assertOpenFds(before);
    });

    test(`${name}: a peer that is silent gets what was sent, and the end`, options, async () => {
      using pair = await connect();
      await pair.client.write(bytesOf("last words"));
      await leave(pair.client);
      assertEquals(pair.client.fd, -1);
      assertEquals(await readToEnd(pair.server), bytesOf("last words"));
    });

    test(`${name}: a peer that has ended is not waited for`, options, async () => {
      using pair = await connect();
      await pair.server.closeWrite();
      await pair.client.write(bytesOf("last words"));
      await leave(pair.client);
      await leave(pair.client);
      assertEquals(await readToEnd(pair.server), bytesOf("last words"));
    });
  }
}
