/** An echo by `readable.pipeTo(writable)`, on both ends in this process. */

import { listenMptcp, mptcpSupport } from "@multipath/mptcp";
import { type Client, CLIENTS, roundTrip } from "./clients.ts";
import type { TaskConn, TaskListener } from "./servers/tasks.ts";

const hostname = "127.0.0.1";
const [native, , mptcp] = CLIENTS as [Client, Client, Client?];

/** Each with the client that talks to it: Deno's own where that can. */
const servers: { name: string; listener: TaskListener; client: Client }[] = [
  { name: "Deno.listen", listener: Deno.listen({ hostname, port: 0 }), client: native },
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
    Deno.bench({
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
