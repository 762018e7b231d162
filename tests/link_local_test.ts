import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import { test } from "./harness.ts";
import { createNetns, missingNamespaces, run } from "./processes.ts";
import { connectedPair } from "./sockets.ts";

const noMptcp = mptcpSupport().fallback?.detail ?? null;
const skip = missingNamespaces() ?? noMptcp;

/** A namespace with an interface "local0" that has the address fe80::1. */
function setUp(): Disposable & { readonly name: string; readonly zone: number } {
  const netns = createNetns("link-local");
  const ip = (...args: string[]) => run("ip", ["-n", netns.name, ...args]);
  ip("link", "add", "local0", "type", "veth", "peer", "name", "local1");
  ip("link", "set", "local0", "addrgenmode", "none", "up");
  ip("link", "set", "local1", "addrgenmode", "none", "up");
  ip("address", "add", "fe80::1/64", "dev", "local0", "nodad");
  const [{ ifindex }] = JSON.parse(ip("-json", "link", "show", "local0"));
  return { name: netns.name, zone: ifindex, [Symbol.dispose]: () => netns[Symbol.dispose]() };
}

for (const mptcp of ["prefer", "off"] as const) {
  test(`both ends of a link-local connection know its zone with mptcp "${mptcp}"`, {
    skip,
  }, async () => {
    using place = setUp();
    const netns = place.name;
    const known = { transport: "tcp", hostname: `fe80::1%${place.zone}` } as const;
    for (
      const listen of [
        { hostname: "fe80::1%local0" },
        { hostname: `fe80::1%${place.zone}` },
        { hostname: "::", socketOptions: { bindDevice: "local0" } },
      ]
    ) {
      using listener = listenMptcp({ ...listen, netns, mptcp });
      const { port } = listener.addr;
      if (listen.hostname !== "::") assertEquals(listener.addr, { ...known, port });
      for (
        const connect of [
          { hostname: "fe80::1%local0" },
          { hostname: "fe80::1", socketOptions: { bindDevice: "local0" } },
          { hostname: "fe80::1%local0", localAddress: "fe80::1%local0" },
        ]
      ) {
        const accepting = listener.accept();
        using client = await connectMptcp({ ...connect, port, netns, mptcp });
        using server = await accepting;
        assertEquals(client.protocol, mptcp === "off" ? "tcp" : "mptcp");
        assertEquals(client.protocol, server.protocol);
        assertEquals(client.remoteAddr, { ...known, port });
        assertEquals(client.localAddr.hostname, known.hostname);
        assertEquals(server.remoteAddr, client.localAddr);
        assertEquals(server.localAddr, client.remoteAddr);
        for (const conn of [client, server]) {
          const { localAddr, remoteAddr } = conn;
          const subflows = conn.subflows();
          assertEquals(subflows.map(({ tcp: _, id: __, ...ends }) => ends), [
            { localAddr, remoteAddr },
          ]);
          conn.close();
          assertEquals([conn.localAddr, conn.remoteAddr], [localAddr, remoteAddr]);
        }
      }
    }
  });

  test(`a link-local address without its zone is an error that says so with mptcp "${mptcp}"`, {
    skip,
  }, async () => {
    using place = setUp();
    const netns = place.name;
    const advice = "link-local addresses: name one, as in fe80::1%eth0";
    const options = { hostname: "fe80::1", port: 1, netns, mptcp };
    const errors = [
      assertThrows(() => listenMptcp(options), MptcpError, advice),
      await assertRejects(() => connectMptcp(options), MptcpError, advice),
      await assertRejects(
        () => connectMptcp({ ...options, hostname: "::1", localAddress: "fe80::1" }),
        MptcpError,
        advice,
      ),
    ];
    assertEquals(errors.map(({ code }) => code), ["EINVAL", "EINVAL", "EINVAL"]);
  });
}

test("a zone is added to no other address", { skip: noMptcp }, async () => {
  using pair = await connectedPair({ hostname: "::1", socketOptions: { bindDevice: "lo" } });
  assertEquals(pair.server.remoteAddr.hostname, "::1");
  assertEquals(pair.client.remoteAddr.hostname, "::1");
  assert(pair.client.protocol === "mptcp");
});
