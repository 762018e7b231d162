// Echoes everything it receives, over Multipath TCP if the client supports it.
//
//   deno run --allow-ffi examples/echo.ts [port]
//   bun examples/echo.ts [port]

import process from "node:process";
import { listenMptcp } from "@multipath/mptcp";

const listener = listenMptcp({ hostname: "::", port: Number(process.argv[2] ?? 7000) });
console.log(`Port ${listener.addr.port}: ${listener.fallback?.detail ?? "MPTCP and TCP"}`);

for await (const conn of listener) {
  const { hostname, port } = conn.remoteAddr;
  const log = (event: string) => console.log(`${hostname} port ${port}: ${event}`);
  log(conn.protocol);
  conn.readable.pipeTo(conn.writable).then(() => log("done"), (error) => log(error.message));
}
