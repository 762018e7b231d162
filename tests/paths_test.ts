import { assert, assertEquals } from "@std/assert";
import { createInterface } from "node:readline";
import { labUnavailable } from "../bench/lab/lab.ts";
import type { MptcpConn } from "../mod.ts";
import type { MptcpEvent } from "../src/path_manager/mod.ts";
import { EventLog } from "./event_log.ts";
import { test } from "./harness.ts";
import { CLIENT, connect, noPaths, SERVER, setUp, subflowsBecome } from "./path_lab.ts";
import { delay, type Pair } from "./sockets.ts";

const noShaping = noPaths ?? labUnavailable(["tc"]);

/** Moves data from the client to the server until the client is closed. */
function pump({ client, server }: Pair): void {
  const chunk = new Uint8Array(64 * 1024);
  const forever = async (action: () => Promise<unknown>) => {
    // Ends by the error of the connection that gets closed.
    for (;;) await action();
  };
  forever(() => client.write(chunk)).catch(() => {});
  forever(() => server.read(new Uint8Array(64 * 1024))).catch(() => {});
}

/** The bytes that each path has carried from the client to the server, as each end counts them. */
function carried({ client, server }: Pair): Record<"sent" | "received", [number, number]> {
  const on = (conn: MptcpConn, figure: "bytesSent" | "bytesReceived") =>
    SERVER.v4.map((address) =>
      conn.subflows()
        .filter((flow) => [flow.localAddr, flow.remoteAddr].some((a) => a.hostname === address))
        .reduce((sum, { tcp }) => sum + Number(tcp[figure]), 0)
    ) as [number, number];
  return { sent: on(client, "bytesSent"), received: on(server, "bytesReceived") };
}

type Carried = ReturnType<typeof carried>;

/** Waits until what the paths have carried since the call is enough, and gives it. */
async function carriedUntil(ends: Pair, isEnough: (bytes: Carried) => boolean): Promise<Carried> {
  const before = carried(ends);
  const deadline = Date.now() + 10_000;
  for (;;) {
    await delay(20);
    const after = carried(ends);
    const difference = (end: "sent" | "received") =>
      after[end].map((bytes, i) => bytes - before[end][i]!) as [number, number];
    const since = { sent: difference("sent"), received: difference("received") };
    if (isEnough(since)) return since;
    if (Date.now() > deadline) throw new Error(`In 10 s only ${JSON.stringify(since)}`);
  }
}

const ENOUGH = 1 << 20;
const onFirst = ({ sent, received }: Carried) => sent[0] > ENOUGH && received[0] > ENOUGH;
const onBoth = ({ sent, received }: Carried) => [...sent, ...received].every((n) => n > ENOUGH);

test("a server announces its second address, a client joins, and a backup carries nothing", {
  skip: noShaping,
}, async () => {
  await using setup = await setUp({ rate: 40 });
  const { clientPaths, serverPaths } = setup;
  await using clientLog = new EventLog(clientPaths);
  await using serverLog = new EventLog(serverPaths);
  using ends = await connect(setup, SERVER.v4[0]);
  const { client, server } = ends;
  const [token, serverToken] = [client.info()!.token!, server.info()!.token!];

  const { id } = serverPaths.addEndpoint({ address: SERVER.v4[1], signal: true });
  await subflowsBecome(ends, 2);
  const pathsOf = (conn: MptcpConn) =>
    conn.subflows().map((f) => [f.id, f.localAddr.hostname, f.remoteAddr.hostname]);
  assertEquals(pathsOf(client), [
    [1, CLIENT.v4[0], SERVER.v4[0]],
    [2, CLIENT.v4[1], SERVER.v4[1]],
  ]);
  assertEquals(pathsOf(server), [
    [1, SERVER.v4[0], CLIENT.v4[0]],
    [2, SERVER.v4[1], CLIENT.v4[1]],
  ]);
  assertEquals([client.info()!.subflows, client.info()!.subflowsTotal], [1, 2]);
  assertEquals([client.info()!.addAddrAccepted, server.info()!.addAddrSignal], [1, 1]);

  const { port } = client.remoteAddr;
  assertEquals(await clientLog.next("announced"), {
    type: "announced",
    token,
    remoteId: id,
    remoteAddr: { hostname: SERVER.v4[1], port },
  });
  const [, joined] = client.subflows();
  const { hostname, port: from } = joined!.localAddr;
  const joinedHere = await clientLog.next("subflow-established");
  assertEquals([joinedHere.token, joinedHere.localAddr], [token, { hostname, port: from }]);
  assertEquals([joinedHere.remoteAddr, joinedHere.remoteId], [
    { hostname: SERVER.v4[1], port },
    id,
  ]);
  const joinedThere = await serverLog.next("subflow-established");
  assertEquals([joinedThere.token, joinedThere.localId], [serverToken, id]);
  assertEquals(joinedThere.remoteAddr, { hostname, port: from });

  pump(ends);
  await carriedUntil(ends, onBoth);

  const seen = clientLog.events.length;
  assertEquals(serverPaths.changeEndpoint(id, { backup: true }).backup, true);
  const priority = await clientLog.next("subflow-priority", seen);
  assertEquals([priority.token, priority.backup, priority.remoteId], [token, true, id]);
  const rounds: Carried[] = [];
  const isIdle = ({ sent, received }: Carried) => sent[1] + received[1] === 0;
  // What waits at the second path goes out first.
  do rounds.push(await carriedUntil(ends, onFirst)); while (
    !isIdle(rounds.at(-1)!) && rounds.length < 8
  );
  assert(isIdle(rounds.at(-1)!), JSON.stringify(rounds));

  assertEquals(serverPaths.changeEndpoint(id, { backup: false }).backup, false);
  await carriedUntil(ends, onBoth);

  serverPaths.removeEndpoint(id);
  await subflowsBecome(ends, 1);
  assertEquals((await clientLog.next("removed")).remoteId, id);
  assertEquals((await clientLog.next("subflow-closed")).remoteAddr.hostname, SERVER.v4[1]);
  assertEquals((await serverLog.next("subflow-closed")).localAddr.hostname, SERVER.v4[1]);
  await carriedUntil(ends, onFirst);
});

test("a client opens a subflow from its second address, and gives it up again", {
  skip: noPaths,
}, async () => {
  await using setup = await setUp();
  const { lab, clientPaths, serverPaths } = setup;
  // The server's first address is reached by the second path too.
  const [from, to] = [CLIENT.v4[1], SERVER.v4[0]];
  await lab.client.run(["ip", "rule", "add", "from", from, "table", "2"]);
  await lab.client.run(["ip", "route", "add", `${to}/32`, "via", SERVER.v4[1], "table", "2"]);
  await lab.server.run(["ip", "route", "add", `${from}/32`, "dev", "path2"]);
  await using log = new EventLog(clientPaths);
  await using serverLog = new EventLog(serverPaths);
  using ends = await connect(setup, SERVER.v4[0]);
  const options = { address: CLIENT.v4[1], subflow: true, backup: true, device: "path2" };
  const { id } = clientPaths.addEndpoint(options);
  await subflowsBecome(ends, 2);
  const event = await log.next("subflow-established");
  assertEquals([event.localId, event.localAddr.hostname], [id, CLIENT.v4[1]]);
  const joined = await serverLog.next("subflow-established");
  assertEquals([joined.remoteId, joined.remoteAddr.hostname], [id, CLIENT.v4[1]]);
  // Asked of the server, and nothing that the server asks for.
  assertEquals([event.backup, joined.backup], [false, true]);
  assertEquals(ends.client.subflows()[1]!.localAddr.hostname, CLIENT.v4[1]);
  assertEquals(ends.server.subflows()[1]!.remoteAddr.hostname, CLIENT.v4[1]);
  clientPaths.removeEndpoint(CLIENT.v4[1]);
  await subflowsBecome(ends, 1);
});

test(
  "the life of a connection is a sequence of events at both ends",
  { skip: noPaths },
  async () => {
    await using setup = await setUp();
    await using clientLog = new EventLog(setup.clientPaths);
    await using serverLog = new EventLog(setup.serverPaths);
    let tokens: (number | undefined)[];
    let addrs;
    {
      using ends = await connect(setup, SERVER.v6[0]);
      tokens = [ends.client.info()!.token, ends.server.info()!.token];
      addrs = [ends.client, ends.server].map(({ localAddr: { hostname, port } }) => ({
        hostname,
        port,
      }));
    }
    await clientLog.next("closed");
    await serverLog.next("listener-closed");
    await serverLog.next("closed");
    const about = ({ events }: EventLog) =>
      events.filter((event) => "token" in event) as (MptcpEvent & { token: number })[];
    const connection = { denyJoinInitialAddr: false };
    assertEquals(about(clientLog), [
      ...(["created", "established"] as const).map((type) => ({
        type,
        token: tokens[0]!,
        localAddr: addrs[0]!,
        remoteAddr: addrs[1]!,
        serverSide: false,
        ...connection,
      })),
      { type: "closed", token: tokens[0]! },
    ]);
    assertEquals(about(serverLog), [
      ...(["created", "established"] as const).map((type) => ({
        type,
        token: tokens[1]!,
        localAddr: addrs[1]!,
        remoteAddr: addrs[0]!,
        serverSide: true,
        ...connection,
      })),
      { type: "closed", token: tokens[1]! },
    ]);
    const { port } = addrs[1]!;
    const listeners = serverLog.events.filter(({ type }) => type.startsWith("listener-"));
    assertEquals(listeners, [
      { type: "listener-created", localAddr: { hostname: "::", port } },
      { type: "listener-closed", localAddr: { hostname: "::", port } },
    ]);
  },
);

/** The names that `ip mptcp monitor` has for types of events. */
const MONITOR_NAMES: Readonly<Record<string, MptcpEvent["type"]>> = {
  CREATED: "created",
  ESTABLISHED: "established",
  CLOSED: "closed",
  ANNOUNCED: "announced",
  REMOVED: "removed",
  SF_ESTABLISHED: "subflow-established",
  SF_CLOSED: "subflow-closed",
  SF_PRIO: "subflow-priority",
};

/** "[ANNOUNCED] token=4bc25eb8 remid=1 daddr4=10.77.2.2 dport=39987" in our words. */
function fromMonitor(line: string): Record<string, unknown> {
  const [, name, rest] = /^\[\s*(\w+)\] (.*)$/.exec(line)!;
  const words = Object.fromEntries(rest!.split(" ").map((word) => word.split("=")));
  const hostname = (end: "s" | "d") =>
    (words[`${end}addr4`] ?? words[`${end}addr6`])?.replace("::ffff:", "");
  return {
    type: MONITOR_NAMES[name!],
    token: parseInt(words.token, 16),
    from: words.sport && `${hostname("s")} ${words.sport}`,
    to: words.dport && `${hostname("d")} ${words.dport}`,
    localId: words.locid,
    remoteId: words.remid,
    backup: words.backup,
  };
}

/** The same of an event of ours. It has no ids in what is not about addresses. */
function asMonitored(event: MptcpEvent): Record<string, unknown> {
  const { type } = event;
  const fields = event as unknown as Record<string, string | { hostname: string; port: number }>;
  const end = (value: unknown) => {
    const { hostname, port } = (value ?? {}) as { hostname?: string; port?: number };
    return hostname && `${hostname} ${port}`;
  };
  const isConnection = type === "created" || type === "established";
  const text = (value: unknown) => value === undefined ? undefined : String(Number(value));
  return {
    type,
    token: fields.token,
    from: end(fields.localAddr),
    to: end(fields.remoteAddr),
    localId: isConnection ? "0" : text(fields.localId),
    remoteId: isConnection ? "0" : text(fields.remoteId),
    backup: text(fields.backup),
  };
}

test("what ip does to a connection we are told, and ip monitor the same, field by field", {
  skip: noPaths,
}, async () => {
  await using setup = await setUp();
  const { client, server } = setup.lab;
  const monitor = client.spawn(["ip", "mptcp", "monitor"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  createInterface({ input: monitor.stdout! }).on("line", (line) => lines.push(line));
  await using log = new EventLog(setup.clientPaths);
  const ip = (command: string) => server.run(["ip", "mptcp", ...command.split(" ")]);
  {
    using ends = await untilMonitored(() => connect(setup, SERVER.v4[0]), lines);
    await ip(`endpoint add ${SERVER.v4[1]} id 5 signal`);
    await subflowsBecome(ends, 2);
    await ip("endpoint change id 5 backup");
    assertEquals((await log.next("subflow-priority")).backup, true);
    await ip("endpoint delete id 5");
    await subflowsBecome(ends, 1);
  }
  // The connection that was made last.
  await log.next("removed");
  const { token } = await log.next("subflow-closed");
  const deadline = Date.now() + 5000;
  const ours = () => log.events.filter((event) => "token" in event && event.token === token);
  const theirs = () => lines.map(fromMonitor).filter((event) => event.token === token);
  while (ours().at(-1)?.type !== "closed" || theirs().at(-1)?.type !== "closed") {
    assert(Date.now() < deadline, lines.join("\n"));
    await delay(5);
  }
  assertEquals(ours().map(asMonitored), theirs());
  assertEquals(ours().map(({ type }) => type), [
    "created",
    "established",
    "announced",
    "subflow-established",
    "subflow-priority",
    "removed",
    "subflow-closed",
    "closed",
  ]);
});

/** Makes connections until the monitor, which takes its time to start, shows one; gives that. */
async function untilMonitored(connect: () => Promise<Pair>, lines: string[]): Promise<Pair> {
  for (let tries = 0; tries < 100; tries++) {
    const pair = await connect();
    await delay(20);
    const token = pair.client.info()!.token!.toString(16).padStart(8, "0");
    if (lines.some((line) => line.includes(`CREATED] token=${token}`))) return pair;
    pair[Symbol.dispose]();
  }
  throw new Error("ip monitor shows nothing");
}

for (
  const { first, second, listen, dualStack, joins } of [
    { first: "v4", second: "v6", listen: "::", dualStack: true, joins: true },
    { first: "v4", second: "v6", listen: "::", dualStack: false, joins: false },
    { first: "v6", second: "v4", listen: "::", dualStack: true, joins: true },
    { first: "v6", second: "v4", listen: SERVER.v6[0], dualStack: true, joins: false },
  ] as const
) {
  const outcome = joins ? "joins" : "never joins";
  const name = `a second path over IP${second} ${outcome} a connection over IP${first} ` +
    `to ${listen} with dualStack ${dualStack}`;
  test(name, { skip: noPaths }, async () => {
    await using setup = await setUp();
    setup.serverPaths.addEndpoint({ address: SERVER[second][1], signal: true });
    await using log = new EventLog(setup.clientPaths);
    using ends = await connect(setup, SERVER[first][0], { listen, dualStack });
    await log.next("announced");
    if (joins) {
      await subflowsBecome(ends, 2);
      assertEquals(ends.client.subflows()[1]!.remoteAddr.hostname, SERVER[second][1]);
    } else {
      await delay(500);
      await subflowsBecome(ends, 1);
      assertEquals(log.events.filter(({ type }) => type === "subflow-established"), []);
    }
  });
}
