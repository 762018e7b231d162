/** An echo by `readable.pipeTo(writable)`, on both ends in this process. */

import { listenMptcp, mptcpSupport } from "@multipath/mptcp";
import { bench } from "./suite.ts";
import { type Client, CLIENTS, HOSTNAME as hostname, roundTrip } from "./clients.ts";
import { listenNative, NATIVE_LISTEN } from "./native.ts";
import type { TaskConn, TaskListener } from "./servers/tasks.ts";

const [native, , mptcp] = CLIENTS as [Client, Client, Client?];

/** Each with the client that talks to it: the runtime's own where that can. */
const servers: { name: string; listener: TaskListener; client: Client }[] = [
  { name: NATIVE_LISTEN, listener: listenNative(hostname), client: native },
  {
    name: "listenMptcp, TCP",
    listener: listenMptcp({ hostname, mptcp: "off" }),
    client: native,
  },
];
if (mptcpSupport().supported) {
  const listener = listenMptcp({ hostname, mptcp: "require" });
  servers.push({ name: "listenMptcp, MPTCP", listener, client: mptcp! });
}

for (const { listener } of servers) pipeAll(listener);

for (const kib of [1, 64]) {
  const message = new Uint8Array(kib * 1024);
  const buf = new Uint8Array(kib * 1024);
  for (const [i, { name, listener, client }] of servers.entries()) {
    const conn: TaskConn = await client.connect(listener.addr.port);
    bench({
      name,
      group: `readable.pipeTo(writable), ${kib} KiB there and back`,
      baseline: i === 0,
      async fn() {
        await roundTrip(conn, message, buf);
      },
    });
  }
}

async function pipeAll(listener: TaskListener): Promise<void> {
  for await (const conn of listener) conn.readable.pipeTo(conn.writable);
}
