import { assert, assertEquals, assertThrows } from "@std/assert";
import { type MptcpConn, MptcpError, mptcpSupport } from "../mod.ts";
import type { MptcpPathManager } from "../src/path_manager/mod.ts";
import { EventLog } from "./event_log.ts";
import { test } from "./harness.ts";
import { CLIENT, connect, noPaths, SERVER, setUp, subflowsBecome } from "./path_lab.ts";
import { connectedPair, delay, type Pair } from "./sockets.ts";

const { availablePathManagers } = mptcpSupport().sysctls;
const sysctls = availablePathManagers === undefined
  ? { "net.mptcp.pm_type": 1 }
  : { "net.mptcp.path_manager": "userspace" };

/** The code and message of a refusal. */
function refusal(action: () => unknown, says: string): string {
  const error = assertThrows(action, MptcpError, says);
  return error.code;
}

/** Opens the second subflow of a connection by the client. */
async function createSecond(paths: MptcpPathManager, ends: Pair, family: "v4" | "v6") {
  const { port } = ends.client.remoteAddr;
  paths.createSubflow(ends.client, {
    localAddress: CLIENT[family][1],
    localId: 3,
    remoteAddress: SERVER[family][1],
    remotePort: port,
  });
  await subflowsBecome(ends, 2);
}

for (
  const { family, dualStack } of [
    { family: "v4", dualStack: true },
    { family: "v4", dualStack: false },
    { family: "v6", dualStack: true },
  ] as const
) {
  const name = `a program announces, creates, prefers, destroys and withdraws over IP${family} ` +
    `with dualStack ${dualStack}`;
  test(name, { skip: noPaths }, async () => {
    await using setup = await setUp({ sysctls });
    const { clientPaths, serverPaths } = setup;
    await using clientLog = new EventLog(clientPaths);
    await using serverLog = new EventLog(serverPaths);
    using ends = await connect(setup, SERVER[family][0], { dualStack });
    const { client, server } = ends;
    const { port } = client.remoteAddr;
    const token = client.info()!.token!;

    serverPaths.announce(server, { address: SERVER[family][1], id: 7 });
    const announced = await clientLog.next("announced");
    assertEquals([announced.token, announced.remoteId], [token, 7]);
    assertEquals(announced.remoteAddr, { hostname: SERVER[family][1], port });
    // The kernel leaves it to the program.
    await delay(100);
    assertEquals([client.subflows().length, server.subflows().length], [1, 1]);

    await createSecond(clientPaths, ends, family);
    const [first, second] = client.subflows();
    assertEquals([second!.localAddr.hostname, second!.remoteAddr], [
      CLIENT[family][1],
      { transport: "tcp", hostname: SERVER[family][1], port },
    ]);
    const joined = await serverLog.next("subflow-established");
    assertEquals([joined.localId, joined.remoteId, joined.backup], [7, 3, false]);

    for (const subflow of [second!, first!]) {
      for (const backup of [true, false]) {
        const seen = serverLog.events.length;
        clientPaths.setBackup(client, subflow, backup);
        const changed = await serverLog.next("subflow-priority", seen);
        assertEquals([changed.backup, changed.remoteAddr.port], [backup, subflow.localAddr.port]);
      }
    }

    // By the token and plain addresses as well.
    const { localAddr, remoteAddr } = second!;
    clientPaths.destroySubflow(token, { localAddr, remoteAddr });
    await subflowsBecome(ends, 1);
    assertEquals((await serverLog.next("subflow-closed")).remoteAddr.port, localAddr.port);

    serverPaths.withdraw(server, 7);
    assertEquals((await clientLog.next("removed")).remoteId, 7);
    assertEquals(
      refusal(() => serverPaths.withdraw(server, 7), "address with"),
      "EINVAL",
    );

    // The first one too, though its addresses may be mapped ones to the kernel.
    clientPaths.destroySubflow(client, first!);
    await subflowIsGone(client);
  });
}

async function subflowIsGone(conn: MptcpConn): Promise<void> {
  const deadline = Date.now() + 5000;
  while (conn.subflows().some(({ tcp }) => tcp.state === "ESTABLISHED")) {
    if (Date.now() > deadline) throw new Error("The subflow is still there");
    await delay(5);
  }
  assertEquals(conn.protocol, "mptcp");
}

test("an announced port is where the client has to go", { skip: noPaths }, async () => {
  await using setup = await setUp({ sysctls });
  await using log = new EventLog(setup.clientPaths);
  using ends = await connect(setup, SERVER.v4[0]);
  const options = { address: SERVER.v4[1], id: 7, port: 0x1234, device: "path2" };
  setup.serverPaths.announce(ends.server, options);
  assertEquals((await log.next("announced")).remoteAddr, {
    hostname: SERVER.v4[1],
    port: 0x1234,
  });
});

test("a subflow is created as a backup, and by an interface", { skip: noPaths }, async () => {
  await using setup = await setUp({ sysctls });
  await using log = new EventLog(setup.serverPaths);
  using ends = await connect(setup, SERVER.v4[0]);
  setup.clientPaths.createSubflow(ends.client, {
    localAddress: CLIENT.v4[1],
    localId: 3,
    device: "path2",
    remoteAddress: SERVER.v4[1],
    remotePort: ends.client.remoteAddr.port,
    backup: true,
  });
  await subflowsBecome(ends, 2);
  assertEquals((await log.next("subflow-established")).backup, true);
});

test("the kernel's endpoints have no effect on a program's connections", {
  skip: noPaths,
}, async () => {
  await using setup = await setUp({ sysctls });
  await using log = new EventLog(setup.clientPaths);
  using ends = await connect(setup, SERVER.v4[0]);
  setup.serverPaths.addEndpoint({ address: SERVER.v4[1], signal: true });
  await delay(200);
  assertEquals(log.events.map(({ type }) => type), ["created", "established"]);
  assertEquals(ends.client.subflows().length, 1);
});

test("what a program cannot do is refused in words that say why", { skip: noPaths }, async () => {
  await using setup = await setUp({ sysctls });
  const { clientPaths, serverPaths } = setup;
  using ends = await connect(setup, SERVER.v4[0]);
  const { client, server } = ends;
  const nowhere = {
    localAddr: { hostname: "10.1.1.1", port: 1 },
    remoteAddr: { hostname: "10.1.1.2", port: 2 },
  };
  assertEquals(
    refusal(() => clientPaths.destroySubflow(client, nowhere), "no such subflow"),
    "ESRCH",
  );
  serverPaths.announce(server, { address: SERVER.v4[1], id: 7 });
  assertEquals(
    refusal(() => serverPaths.announce(server, { address: SERVER.v4[1], id: 8 }), "another id"),
    "EINVAL",
  );
  // A token of another namespace is none here.
  assertEquals(refusal(() => serverPaths.withdraw(client, 3), "has that token"), "EINVAL");
  assertEquals(refusal(() => clientPaths.withdraw(0, 3), "has that token"), "EINVAL");
  const options = { localAddress: CLIENT.v6[1], localId: 4, remoteAddress: SERVER.v4[1] };
  assertThrows(
    () => clientPaths.createSubflow(client, { ...options, remotePort: 1 }),
    MptcpError,
    "families",
  );
});

test(
  "connections that are the kernel's take no commands, and say so",
  { skip: noPaths },
  async () => {
    await using setup = await setUp();
    const { clientPaths } = setup;
    using ends = await connect(setup, SERVER.v4[0]);
    const { client } = ends;
    const [subflow] = client.subflows();
    const create = {
      localAddress: CLIENT.v4[1],
      localId: 3,
      remoteAddress: SERVER.v4[1],
      remotePort: client.remoteAddr.port,
    };
    const commands = [
      () => clientPaths.announce(client, { address: CLIENT.v4[1], id: 3 }),
      () => clientPaths.withdraw(client, 3),
      () => clientPaths.createSubflow(client, create),
      () => clientPaths.destroySubflow(client, subflow!),
    ];
    for (const command of commands) {
      assertEquals(refusal(command, "net.mptcp.path_manager was userspace"), "EINVAL");
    }
    assertThrows(() => clientPaths.setBackup(client, subflow!, true), MptcpError);
  },
);

test("a connection without MPTCP has no token to command by", { skip: noPaths }, async () => {
  await using setup = await setUp();
  using pair = await connectedPair({ mptcp: "off" });
  const withdraw = (conn: MptcpConn) => () => setup.clientPaths.withdraw(conn, 3);
  assertEquals(refusal(withdraw(pair.client), "speaks tcp"), "ERR_NOT_MPTCP");
  pair.client.close();
  assertEquals(refusal(withdraw(pair.client), "is closed"), "ERR_NOT_MPTCP");
});

test(
  "what cannot be a command is refused before the kernel is asked",
  { skip: noPaths },
  async () => {
    await using setup = await setUp({ sysctls });
    const { clientPaths: paths } = setup;
    using ends = await connect(setup, SERVER.v4[0]);
    const { client } = ends;
    const bad: [() => unknown, typeof TypeError | typeof RangeError][] = [
      [() => paths.announce(client, { address: "x", id: 3 }), TypeError],
      [() => paths.announce(client, { address: "10.1.1.1", id: 0 }), RangeError],
      [() => paths.announce(client, { address: "10.1.1.1", id: 3, port: 0 }), RangeError],
      [() => paths.withdraw(client, 256), RangeError],
      [() => paths.withdraw(1.5, 3), TypeError],
      [() => paths.withdraw(2 ** 32, 3), RangeError],
      [() => paths.destroySubflow(client, {} as never), TypeError],
    ];
    for (const [action, type] of bad) {
      const error = assertThrows(action, type);
      assert(!(error instanceof MptcpError));
    }
  },
);
