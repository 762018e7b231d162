import { assert, assertEquals, assertThrows } from "@std/assert";
import { drop } from "../bench/lab/firewall.ts";
import { MptcpError } from "../mod.ts";
import { managePaths, MptcpPathManager } from "../src/path_manager/mod.ts";
import { test } from "./harness.ts";
import { addDefault, pathOf, until } from "./managed_lab.ts";
import { CLIENT, connect, noPaths, SERVER, setUp } from "./path_lab.ts";
import { missingProgram, runProgram } from "./processes.ts";
import { bytesOf, type Pair, readUpTo } from "./sockets.ts";

/** The lab's interfaces are veth pairs: those are only used if they are named. */
const INCLUDE = ["path*"];

/** Sends a little back and forth, which lets the kernel open subflows. */
async function chat({ client, server }: Pair): Promise<void> {
  await client.write(bytesOf("ping"));
  await readUpTo(server, 4);
  await server.write(bytesOf("pong"));
  await readUpTo(client, 4);
}

test("an interface that comes up carries data within a second", { skip: noPaths }, async () => {
  await using setup = await setUp();
  const { lab } = setup;
  await addDefault(lab, 1);
  await lab.client.setLink(2, "down");
  using managed = managePaths({ netns: lab.client.name, include: INCLUDE, policy: "none" });
  assertEquals(pathOf(managed, CLIENT.v4[0])?.state, "ready");
  assertEquals(pathOf(managed, "path2")?.state, "incomplete");
  using ends = await connect(setup, SERVER.v4[0]);
  await lab.client.setLink(2, "up");
  await addDefault(lab, 2);
  const began = performance.now();
  const { client, server } = ends;
  const chunk = new Uint8Array(64 * 1024);
  let sending = true;
  const sent = (async () => {
    while (sending) await client.write(chunk);
    await client.closeWrite();
  })();
  const received = (async () => {
    while (await server.read(chunk) !== null);
  })();
  const carried = () =>
    server.subflows().some(({ remoteAddr, tcp }) =>
      remoteAddr.hostname === CLIENT.v4[1] && Number(tcp.bytesReceived) > 10_000
    );
  await until("data over the new path", carried, () => managed.decisions());
  const took = performance.now() - began;
  sending = false;
  await Promise.all([sent, received]);
  assert(took <= 1000, `It took ${took.toFixed(0)} ms`);
});

test(
  "an address becomes a path when its route is there, and not before",
  { skip: noPaths },
  async () => {
    await using setup = await setUp();
    const { lab, clientPaths } = setup;
    await addDefault(lab, 1);
    using managed = managePaths({ netns: lab.client.name, include: INCLUDE, linger: 200 });
    const addresses = () => clientPaths.endpoints().map(({ address }) => address);
    assertEquals(pathOf(managed, CLIENT.v4[1])?.state, "incomplete");
    const [missing] = pathOf(managed, CLIENT.v4[1])!.missing;
    assert(missing!.text.includes("there is no route from 10.77.2.1 via path2"), missing!.text);
    assertEquals(missing!.commands, ["ip route add default via GATEWAY dev path2 metric 1000"]);
    assert(!addresses().includes(CLIENT.v4[1]));
    await addDefault(lab, 2);
    await until("an endpoint", () => addresses().includes(CLIENT.v4[1]), addresses);
    assertEquals(pathOf(managed, CLIENT.v4[1])?.state, "ready");
    await lab.client.run(["ip", "route", "del", "default", "dev", "path2"]);
    await until("no endpoint", () => !addresses().includes(CLIENT.v4[1]), addresses);
  },
);

test(
  "an interface whose gateway leads nowhere never becomes a path",
  { skip: noPaths },
  async () => {
    await using setup = await setUp();
    const { lab, clientPaths } = setup;
    await addDefault(lab, 1);
    await addDefault(lab, 2);
    await lab.client.addRules(...drop(2));
    using ends = await connect(setup, SERVER.v4[0]);
    const probe = `${SERVER.v4[0]}:${ends.server.localAddr.port}`;
    using managed = managePaths({ netns: lab.client.name, include: INCLUDE, probe });
    const ready = () => pathOf(managed, CLIENT.v4[0])?.state === "ready";
    await until("the path that works", ready, () => managed.state());
    assertEquals(pathOf(managed, CLIENT.v4[1])?.state, "probing");
    await chat(ends);
    assertEquals(
      clientPaths.endpoints().map(({ address }) => address).includes(CLIENT.v4[1]),
      false,
    );
    await lab.client.clearRules();
    managed.refresh();
  },
);

test(
  "interfaces are left out by name, and nothing of them is changed",
  { skip: noPaths },
  async () => {
    await using setup = await setUp();
    const { lab, clientPaths } = setup;
    using managed = managePaths({
      netns: lab.client.name,
      include: INCLUDE,
      exclude: ["path2"],
    });
    assertEquals(pathOf(managed, CLIENT.v4[1])?.state, "excluded");
    assert(clientPaths.endpoints().every(({ device }) => device === "path1"));
  },
);

test("virtual interfaces are left out unless they are named", { skip: noPaths }, async () => {
  await using setup = await setUp();
  using managed = managePaths({ netns: setup.lab.client.name });
  const states = managed.state().paths.map(({ state }) => state);
  assert(states.length > 0 && states.every((state) => state === "excluded"), states.join());
  assertEquals(setup.clientPaths.endpoints(), []);
});

test("endpoints of other programs are left alone and reported, those made here are removed", {
  skip: noPaths,
}, async () => {
  await using setup = await setUp();
  const { lab, clientPaths } = setup;
  clientPaths.setLimits({ subflows: 3, addAddrAccepted: 2 });
  const theirs = clientPaths.addEndpoint({ address: CLIENT.v4[1], subflow: true, id: 9 });
  const managed = managePaths({ netns: lab.client.name, include: INCLUDE });
  assertEquals(pathOf(managed, CLIENT.v4[1])?.state, "foreign");
  assertEquals(pathOf(managed, CLIENT.v4[1])?.endpoint, 9);
  assert(clientPaths.endpoints().length > 1);
  assertEquals(clientPaths.limits(), { subflows: 8, addAddrAccepted: 8 });
  managed.close();
  managed.close();
  await managed.finished;
  assertEquals(clientPaths.endpoints(), [theirs]);
  assertEquals(clientPaths.limits(), { subflows: 3, addAddrAccepted: 2 });
});

test("limits that somebody else has changed meanwhile are left", { skip: noPaths }, async () => {
  await using setup = await setUp();
  const { lab, clientPaths } = setup;
  const managed = managePaths({ netns: lab.client.name, include: INCLUDE });
  clientPaths.setLimits({ subflows: 5 });
  managed.close();
  assertEquals(clientPaths.limits().subflows, 5);
});

test("a server announces its addresses, the second as backup", { skip: noPaths }, async () => {
  await using setup = await setUp();
  const { lab, serverPaths } = setup;
  using managed = managePaths({ netns: lab.server.name, include: INCLUDE, side: "server" });
  const [first, second] = SERVER.v4.map((address) =>
    serverPaths.endpoints().find((endpoint) => endpoint.address === address)!
  );
  assert(first!.signal && !first!.backup && second!.signal && second!.backup);
  using ends = await connect(setup, SERVER.v4[0]);
  const isBackup = () =>
    managed.state().paths.length > 0 &&
    ends.client.subflows().some(({ remoteAddr }) => remoteAddr.hostname === SERVER.v4[1]);
  await until("a subflow to the second address", isBackup, () => ends.client.subflows());
});

test("where answers leave by another interface, the commands that mend it are told, or done", {
  skip: noPaths,
}, async () => {
  await using setup = await setUp();
  const { lab } = setup;
  const gateway = (path: number) => lab.client.address(path);
  for (const path of [1, 2]) {
    await lab.server.run([
      ...["ip", "route", "add", "default", "via", gateway(path), "dev", `path${path}`],
      ...["metric", String(path)],
    ]);
  }
  const options = { netns: lab.server.name, include: INCLUDE, side: "server" } as const;
  const managed = managePaths(options);
  const second = pathOf(managed, SERVER.v4[1])!;
  assertEquals(second.state, "incomplete");
  assert(second.missing[0]!.text.includes("leave via another interface than path2"));
  const { commands } = second.missing[0]!;
  assertEquals(commands.length, 2);
  managed.close();

  const adding = managePaths({ ...options, addRoutes: true });
  assertEquals(pathOf(adding, SERVER.v4[1])?.state, "ready");
  assert((await lab.server.run(["ip", "rule"])).includes(`from ${SERVER.v4[1]}`));
  adding.close();
  assert(!(await lab.server.run(["ip", "rule"])).includes("from 10."));

  for (const command of commands) await lab.server.run(command.split(" "));
  using again = managePaths(options);
  assertEquals(pathOf(again, SERVER.v4[1])?.state, "ready");
});

test(
  "a flap leaves the endpoint in place, and changes only its priority",
  { skip: noPaths },
  async () => {
    await using setup = await setUp();
    const { lab, clientPaths } = setup;
    using managed = managePaths({
      netns: lab.client.name,
      include: INCLUDE,
      policy: "none",
      linger: 60_000,
    });
    const endpoint = () => clientPaths.endpoints().find(({ address }) => address === CLIENT.v4[1])!;
    const { id } = endpoint();
    assert(!endpoint().backup);
    await lab.client.setLink(2, "down");
    await until("the path leaves", () => endpoint().backup, () => managed.state());
    assertEquals(pathOf(managed, CLIENT.v4[1])?.state, "leaving");
    await lab.client.setLink(2, "up");
    await until("the path is back", () => !endpoint().backup, () => managed.state());
    assertEquals(endpoint().id, id);
  },
);

test("a dry run decides and changes nothing", { skip: noPaths }, async () => {
  await using setup = await setUp();
  using managed = managePaths({
    netns: setup.lab.client.name,
    include: INCLUDE,
    dryRun: true,
    policy: "active-backup",
  });
  assertEquals(setup.clientPaths.endpoints(), []);
  const added = managed.decisions().filter(({ action }) => action === "add");
  assert(added.some(({ path }) => path === CLIENT.v4[1]));
  assertEquals(managed.state().policy, "active-backup");
});

test("what it tells is plain data, as events and as a snapshot", { skip: noPaths }, async () => {
  await using setup = await setUp();
  const { lab } = setup;
  const managed = managePaths({ netns: lab.client.name, include: INCLUDE, linger: 0 });
  const abort = new AbortController();
  const events = managed.events({ signal: abort.signal });
  await lab.client.run(["ip", "address", "del", `${CLIENT.v4[1]}/24`, "dev", "path2"]);
  const seen = [];
  for await (const event of events) {
    seen.push(event);
    if (event.type === "decision" && event.decision.action === "remove") break;
  }
  for (const data of [managed.state(), managed.decisions(), seen]) {
    assertEquals(structuredClone(data), data);
    assertEquals(JSON.parse(JSON.stringify(data)).length, (data as { length?: number }).length);
  }
  managed.close();
  assertEquals(await managed.events().next(), { done: true, value: undefined });
});

test("a signal ends it, and what it made goes", { skip: noPaths }, async () => {
  await using setup = await setUp();
  const abort = new AbortController();
  const managed = managePaths({
    netns: setup.lab.client.name,
    include: INCLUDE,
    signal: abort.signal,
  });
  assert(setup.clientPaths.endpoints().length > 0);
  abort.abort();
  await managed.finished;
  assertEquals(setup.clientPaths.endpoints(), []);
  assertThrows(() => managePaths({ signal: abort.signal }), Error);
});

test("options that make no sense are refused", { skip: noPaths }, () => {
  for (
    const options of [
      { side: "both" },
      { policy: "fast" },
      { probe: "nowhere" },
      { linger: -1 },
      { include: [""] },
      { roles: { x: "y" } },
    ]
  ) assertThrows(() => managePaths(options as never), Error, "Invalid");
  assertThrows(() => managePaths({ netns: "no-such-namespace" }), MptcpError);
});

test("without CAP_NET_ADMIN paths are shown, and what is missing is said once", {
  skip: noPaths ?? missingProgram("setpriv"),
}, async () => {
  const { stdout, stderr, status } = await runProgram(
    `import { managePaths } from "./src/path_manager/mod.ts";
     using managed = managePaths({ include: ["*"], exclude: ["lo"] });
     const state = managed.state();
     console.log(JSON.stringify({ limits: state.limits, problems: state.problems }));`,
    { prefix: ["setpriv", "--bounding-set", "-all"] },
  );
  assertEquals(stderr, "");
  assertEquals(status, 0);
  const { limits, problems } = JSON.parse(stdout);
  assertEquals(typeof limits.subflows, "number");
  assert(problems.length <= 1, problems.join());
});

test("under the userspace path manager each connection gets its subflows and priorities", {
  skip: noPaths,
}, async () => {
  await using setup = await setUp({ sysctls: { "net.mptcp.path_manager": "userspace" } });
  const { lab } = setup;
  using managed = managePaths({
    netns: lab.client.name,
    include: INCLUDE,
    exclude: ["fd00::/8"],
    policy: "active-backup",
  });
  assertEquals(managed.state().pathManager, "userspace");
  using ends = await connect(setup, SERVER.v4[0]);
  const flow = () =>
    ends.client.subflows().find(({ localAddr }) => localAddr.hostname === CLIENT.v4[1]);
  await until("a subflow from the second path", () => flow() !== undefined, () => [
    managed.state(),
    managed.decisions(),
  ]);
  using paths = new MptcpPathManager({ netns: lab.client.name });
  assertEquals(paths.endpoints(), []);
});
