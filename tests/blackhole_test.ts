import { assert, assertEquals } from "@std/assert";
import { type Rule, stripMptcp } from "../bench/lab/firewall.ts";
import { type Lab, labUnavailable } from "../bench/lab/lab.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import { libc } from "../ffi/runtime.ts";
import { connectMptcp, type Fallback, listenMptcp, mptcpSupport } from "../mod.ts";
import { mptcpCounters } from "../src/path_manager/mod.ts";
import type { ConnectMptcpOptions, ListenMptcpOptions } from "../src/types.ts";
import { stubLibc } from "./faults.ts";
import { assertOpenFds, settledFds, test } from "./harness.ts";
import { SERVER, setUp } from "./path_lab.ts";
import { bytesOf, delay, type Pair, readUpTo } from "./sockets.ts";

const { fallback, sysctls: { blackholeTimeout } } = mptcpSupport();
const skip = labUnavailable(["nft"]) ?? fallback?.detail ??
  (blackholeTimeout === undefined ? "the kernel looks for no black holes before Linux 6.12" : null);

/** Drops SYNs that ask for MPTCP: what some firewalls do. */
const DROP_REQUESTS: Rule = {
  chain: "in",
  statement: "tcp flags & (syn | ack) == syn tcp option mptcp exists drop",
};

/** Has the first SYN that is sent again go without MPTCP, not the third: after one second. */
const IMPATIENT = { "net.mptcp.syn_retrans_before_tcp_fallback": 0 };

async function connect(
  { client, server }: Lab,
  options: Partial<ConnectMptcpOptions> = {},
  listen: ListenMptcpOptions = {},
): Promise<Pair> {
  using listener = listenMptcp({ hostname: "::", netns: server.name, ...listen });
  const { port } = listener.addr;
  const [near, far] = await Promise.all([
    connectMptcp({ hostname: SERVER.v4[0], port, netns: client.name, ...options }),
    listener.accept(),
  ]);
  return {
    client: near,
    server: far,
    [Symbol.dispose]() {
      near[Symbol.dispose]();
      far[Symbol.dispose]();
    },
  };
}

/** Has the kernel find the network of a lab to be a black hole, and gives what the finder was told. */
async function makeBlackhole(lab: Lab): Promise<Fallback> {
  await lab.server.addRules(DROP_REQUESTS);
  using pair = await connect(lab);
  assertEquals([pair.client.protocol, pair.server.protocol], ["tcp", "tcp"]);
  assertEquals(mptcpCounters({ netns: lab.client.name }).Blackhole, 1);
  await lab.server.clearRules();
  return pair.client.fallback!;
}

test("a black hole for MPTCP is told from a peer without it, until when, and how to end it", {
  skip,
}, async () => {
  await using setup = await setUp({
    sysctls: { ...IMPATIENT, "net.mptcp.blackhole_timeout": 900 },
  });
  const { lab } = setup;
  const found = await makeBlackhole(lab);
  assertEquals(found.reason, "blackhole");
  assert(found.detail.includes("were not answered, but one without the option was"), found.detail);
  assert(found.detail.includes("after at most 900 seconds"), found.detail);
  assert(found.detail.includes("sysctl -w net.mptcp.blackhole_timeout=900"), found.detail);

  // From now on the kernel does not ask, though nothing is dropped any more.
  for (const hostname of [SERVER.v4[0], SERVER.v6[0]]) {
    for (const dualStack of [true, false]) {
      for (const mptcp of ["prefer", "off"] as const) {
        using pair = await connect(lab, { hostname, dualStack }, { mptcp });
        const { client, server } = pair;
        assertEquals([client.protocol, server.protocol], ["tcp", "tcp"]);
        assertEquals(client.fallback!.reason, "blackhole");
        assert(client.fallback!.detail.startsWith("The kernel did not request"));
        assertEquals(server.fallback!.reason, mptcp === "off" ? "off" : "peer");
      }
    }
  }
  const { MPCapableSYNTXDisabled } = mptcpCounters({ netns: lab.client.name });
  assertEquals(MPCapableSYNTXDisabled, 8);
  const hints = mptcpSupport({ netns: lab.client.name }).hints.join();
  assert(hints.includes("dropped on the path once") && hints.includes("blackhole_timeout"), hints);

  // What the detail advises.
  const command = /`(sysctl -w \S+)`/.exec(found.detail)![1]!;
  await lab.client.run(command.split(" "));
  using pair = await connect(lab);
  assertEquals([pair.client.protocol, pair.client.fallback], ["mptcp", null]);
  using plain = await connect(lab, {}, { mptcp: "off" });
  assertEquals(plain.client.fallback!.reason, "peer");
});

test("the time that the kernel does not ask for is told as it doubles", { skip }, async () => {
  await using setup = await setUp({ sysctls: { ...IMPATIENT, "net.mptcp.blackhole_timeout": 1 } });
  const { lab } = setup;
  const first = await makeBlackhole(lab);
  assert(first.detail.includes("after at most 1 seconds"), first.detail);
  await delay(1100);
  await lab.server.addRules(DROP_REQUESTS);
  using pair = await connect(lab);
  assert(
    pair.client.fallback!.detail.includes("after at most 2 seconds"),
    pair.client.fallback!.detail,
  );
});

test("with blackhole_timeout=0 the next connection asks again", { skip }, async () => {
  await using setup = await setUp({ sysctls: { ...IMPATIENT, "net.mptcp.blackhole_timeout": 0 } });
  const { lab } = setup;
  await lab.server.addRules(DROP_REQUESTS);
  using pair = await connect(lab);
  assertEquals(pair.client.fallback!.reason, "blackhole");
  assert(
    pair.client.fallback!.detail.includes("next connection requests"),
    pair.client.fallback!.detail,
  );
  await lab.server.clearRules();
  using again = await connect(lab);
  assertEquals(again.client.protocol, "mptcp");
});

test("a connection that is closed, bound to a device or detached keeps its reason", {
  skip,
}, async () => {
  await using setup = await setUp({ sysctls: IMPATIENT });
  const { lab } = setup;
  await makeBlackhole(lab);
  const before = await settledFds();
  {
    using pair = await connect(lab);
    pair.client.close();
    assertEquals(pair.client.fallback!.reason, "blackhole");
    using bound = await connect(lab, { socketOptions: { bindDevice: "path1" } });
    assertEquals(bound.client.fallback!.reason, "blackhole");
    using detached = await connect(lab);
    libc().close(detached.client.detach());
    assertEquals(detached.client.fallback!.reason, "blackhole");
  }
  await assertOpenFds(before);
});

test("a connection whose handshake waits for the first data is told late, and rightly", {
  skip,
}, async () => {
  await using setup = await setUp({ sysctls: { ...IMPATIENT, "net.ipv4.tcp_fastopen": 3 } });
  const { lab } = setup;
  await makeBlackhole(lab);
  for (let i = 0; i < 3; i++) {
    using listener = listenMptcp({
      hostname: "::",
      netns: lab.server.name,
      socketOptions: { fastOpen: 16 },
    });
    using client = await connectMptcp({
      hostname: SERVER.v4[0],
      port: listener.addr.port,
      netns: lab.client.name,
      socketOptions: { fastOpen: 1 },
    });
    await client.write(bytesOf("ping"));
    using server = await listener.accept();
    assertEquals(await readUpTo(server, 4), bytesOf("ping"));
    assertEquals([client.protocol, client.fallback!.reason], ["tcp", "blackhole"]);
  }
});

test("where the kernel does not say which it was, the detail does not either", {
  skip,
}, async () => {
  await using setup = await setUp({ sysctls: IMPATIENT });
  const { lab } = setup;
  const { socket } = libc();
  // Socket diagnosis alone: netlink's protocol 4.
  using _ = stubLibc({
    socket: (domain, type, protocol) =>
      domain === 16 && protocol === 4 ? -ERRNO.EPERM : socket(domain, type, protocol),
  });
  // No SYN has gone without asking in this namespace: it is certain all the same.
  using certain = await connect(lab, {}, { mptcp: "off" });
  assertEquals(certain.client.fallback!.reason, "peer");
  assert(!certain.client.fallback!.detail.includes("is not known"));
  await lab.server.addRules(DROP_REQUESTS);
  using uncertain = await connect(lab);
  assertEquals(uncertain.client.fallback!.reason, "peer");
  assert(uncertain.client.fallback!.detail.includes("is not known"));
});

test("a namespace that is gone, or no descriptor, costs a connection its reason and no more", {
  skip,
}, async () => {
  await using setup = await setUp({ sysctls: IMPATIENT });
  await makeBlackhole(setup.lab);
  const before = await settledFds();
  for (const call of ["open", "socket", "setns"] as const) {
    using pair = await connect(setup.lab);
    using _ = stubLibc({ [call]: () => -ERRNO.EMFILE });
    pair.client.close();
    assertEquals([pair.client.protocol, pair.client.fallback!.reason], ["tcp", "peer"]);
    assert(pair.client.fallback!.detail.includes("is not known"));
  }
  await assertOpenFds(before);
  using listener = listenMptcp({ hostname: "::", netns: setup.lab.server.name });
  using _ = stubLibc({ getsockname: () => -ERRNO.ENOBUFS });
  using client = await connectMptcp({
    hostname: SERVER.v4[0],
    port: listener.addr.port,
    netns: setup.lab.client.name,
  });
  assertEquals([client.protocol, client.fallback!.reason], ["tcp", "peer"]);
});

test("an option that is taken away on the path is the peer's doing, or the path's", {
  skip,
}, async () => {
  await using setup = await setUp({ sysctls: IMPATIENT });
  await setup.lab.server.addRules(...stripMptcp(1));
  using pair = await connect(setup.lab);
  assertEquals([pair.client.protocol, pair.client.fallback!.reason], ["tcp", "peer"]);
  assert(pair.client.fallback!.detail.includes("removed the option"));
});
