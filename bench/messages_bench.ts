/** Small messages: one round trip, many at once, and a connection for each. */

import { bench } from "./suite.ts";
import { benchConnected, CLIENTS, roundTrip, startPeer } from "./clients.ts";

const port = await startPeer("echo");

for (const size of [16, 64]) {
  const message = new Uint8Array(size);
  const buf = new Uint8Array(size);
  await benchConnected(`round trip, ${size} B`, port, 1, ([conn]) => {
    return roundTrip(conn!, message, buf);
  });
}

for (const connections of [50, 1000]) {
  const message = new Uint8Array(64);
  const bufs = Array.from({ length: connections }, () => new Uint8Array(64));
  await benchConnected(`echo, 64 B, ${connections} connections`, port, connections, (conns) => {
    return Promise.all(conns.map((conn, i) => roundTrip(conn, message, bufs[i]!)));
  });
}

for (const { name, baseline, connect } of CLIENTS) {
  const message = new Uint8Array(64);
  const buf = new Uint8Array(64);
  bench({
    name,
    group: "connect + echo + close",
    baseline,
    async fn() {
      const conn = await connect(port);
      await roundTrip(conn, message, buf);
      conn.close();
    },
  });
}
