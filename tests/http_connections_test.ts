import { assertEquals } from "@std/assert";
import { connectMptcp, listenMptcp, type MptcpConn } from "../mod.ts";
import { ConnectionTable } from "../src/http/connections.ts";
import { test } from "./harness.ts";

test("connections are found by where they come from while others come and go", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1", mptcp: "off" });
  const table = new ConnectionTable(listener.addr);
  using stack = new DisposableStack();
  const find = ({ remoteAddr: { hostname, port } }: MptcpConn) => table.find(hostname, port);
  const open = async (): Promise<[server: MptcpConn, client: MptcpConn]> => {
    const [server, client] = await Promise.all([
      listener.accept(),
      connectMptcp({ port: listener.addr.port, mptcp: "off" }),
    ]);
    stack.use(server);
    stack.use(client);
    return [server, client];
  };
  const pairs: [MptcpConn, MptcpConn][] = [];
  for (let i = 0; i < 300; i++) {
    pairs.push(await open());
    // Some are asked for at once, some later, some never.
    if (i % 3 !== 0) assertEquals(find(pairs[i]![0]), pairs[i]![0].fd);
  }
  for (let i = 0; i < 200; i++) {
    const at = (i * 7919) % pairs.length;
    const [server, client] = pairs[at]!;
    const gone = server.remoteAddr;
    server[Symbol.dispose]();
    client[Symbol.dispose]();
    if (i % 2 === 0) assertEquals(table.find(gone.hostname, gone.port), -1);
    pairs[at] = await open();
    const other = pairs[(i * 31) % pairs.length]![0];
    assertEquals([find(pairs[at]![0]), find(other)], [pairs[at]![0].fd, other.fd]);
  }
  for (const [server] of pairs) assertEquals(find(server), server.fd);
});
