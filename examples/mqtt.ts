/**
 * An npm library over MPTCP: an MQTT broker and client, unchanged. Each uses a `node:net` socket that
 * is made from the descriptor of a connection, with `detach()`.
 *
 *     deno run -A examples/mqtt.ts        bun examples/mqtt.ts
 */

import * as net from "node:net";
import { connectMptcp, listenMptcp, type MptcpConn } from "@multipath/mptcp";
import { Aedes } from "aedes";
import mqtt from "mqtt";

function toSocket(conn: MptcpConn): net.Socket {
  const fd = conn.detach();
  // In Bun `new net.Socket({ fd })` does nothing; the types of Node do not know what Bun takes here.
  return "Bun" in globalThis ? net.connect({ fd } as never) : new net.Socket({ fd });
}

const broker = await Aedes.createBroker();
const listener = listenMptcp({ hostname: "127.0.0.1" });
const serving = (async () => {
  for await (const conn of listener) broker.handle(toSocket(conn));
})();

const conn = await connectMptcp({ port: listener.addr.port });
console.log("connected by", conn.protocol);
const socket = toSocket(conn);
const client = new mqtt.MqttClient(() => socket, { reconnectPeriod: 0 });
client.on("message", async (topic, payload) => {
  console.log(topic, payload.toString());
  await client.endAsync();
  listener.close();
  await serving;
  broker.close();
});
await client.subscribeAsync("paths");
await client.publishAsync("paths", "two are better than one");
