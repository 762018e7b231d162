import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { CommandError } from "../bench/lab/command.ts";
import { drop, stripMptcp } from "../bench/lab/firewall.ts";
import { createLab, type Host, type Lab, labUnavailable } from "../bench/lab/lab.ts";
import {
  labNamespaces,
  namespacePath,
  newNames,
  removeNamespace,
} from "../bench/lab/namespaces.ts";
import { inUserNamespace, userNamespaceUnavailable } from "../bench/lab/rights.ts";
import { connectMptcp, listenMptcp, type MptcpError, mptcpSupport } from "../mod.ts";
import type { ConnectMptcpOptions, MptcpConn } from "../src/types.ts";
import { test } from "./harness.ts";
import { LineProcess, outside, run, runtimeCommand, STDIN } from "./processes.ts";
import { bytesOf, delay, type Pair, readUpTo, writeAll } from "./sockets.ts";

const noLab = labUnavailable();
const noMptcpLab = noLab ?? (mptcpSupport().supported ? null : mptcpSupport().fallback!.detail);
const noDelay = noLab ?? labUnavailable(["tc", "cc"]);
const noUserNamespace = userNamespaceUnavailable();

/** Both ends of a connection over a path of the lab. */
async function connectedIn(
  { client, server }: Lab,
  options: Partial<ConnectMptcpOptions> = {},
): Promise<Pair> {
  using stack = new DisposableStack();
  // Open as long as the connection: it takes the requests to join it as well.
  const listener = stack.use(listenMptcp({ netns: server.name, hostname: "::" }));
  const target = { netns: client.name, hostname: server.address(), port: listener.addr.port };
  const [near, far] = await Promise.all([
    connectMptcp({ ...target, ...options }),
    listener.accept(),
  ]);
  stack.use(near);
  stack.use(far);
  const opened = stack.move();
  return { client: near, server: far, [Symbol.dispose]: () => opened.dispose() };
}

/** Waits for the kernel to open that many subflows. */
async function untilSubflows(conn: MptcpConn, count: number): Promise<void> {
  const deadline = Date.now() + 2000;
  while (conn.subflows().length < count) {
    if (Date.now() > deadline) throw new Error(`${conn.subflows().length} subflows after 2 s`);
    await delay(10);
  }
}

/** A counter of the kernel, as "MPTcpExt MPJoinAckRx". */
async function counter(host: Host, group: string, name: string): Promise<number> {
  const lines = (await host.run(["cat", "/proc/net/netstat"])).split("\n");
  const [names, values] = lines.filter((line) => line.startsWith(`${group}:`));
  return Number(values!.split(" ")[names!.split(" ").indexOf(name)]);
}

function remoteHosts(conn: MptcpConn): string[] {
  return conn.subflows().map(({ remoteAddr }) => remoteAddr.hostname).sort();
}

// The family that a client connects by, and the one of the address that the server announces.
for (const [first, second] of [[4, 4], [6, 6], [4, 6], [6, 4]] as const) {
  test(`a lab gives an IPv${first} connection an IPv${second} path beside its first`, {
    skip: noMptcpLab,
  }, async () => {
    await using lab = await createLab({ signal: second });
    const { client, server } = lab;
    using pair = await connectedIn(lab, { hostname: server.address(1, first) });
    for (const conn of [pair.client, pair.server]) await untilSubflows(conn, 2);

    assertEquals([pair.client.protocol, pair.server.protocol], ["mptcp", "mptcp"]);
    const servers = [server.address(1, first), server.address(2, second)].sort();
    const clients = [client.address(1, first), client.address(2, second)].sort();
    assertEquals([remoteHosts(pair.client), remoteHosts(pair.server)], [servers, clients]);
    assertEquals(await counter(server, "MPTcpExt", "MPJoinAckRx"), 1);
    await writeAll(pair.client, bytesOf("over two paths"));
    assertEquals(await readUpTo(pair.server, 14), bytesOf("over two paths"));
  });
}

test("a lab with no announced address has connections of one path", {
  skip: noMptcpLab,
}, async () => {
  await using lab = await createLab({ signal: null });
  using pair = await connectedIn(lab);
  // The server announces nothing later on to a client that it has not heard of since the handshake.
  await writeAll(pair.client, bytesOf("hello"));
  await readUpTo(pair.server, 5);
  await delay(500);
  assertEquals([pair.client.subflows().length, pair.client.protocol], [1, "mptcp"]);
  await lab.server.addEndpoint(lab.server.address(2), "signal");
  await untilSubflows(pair.client, 2);
});

test(
  "a lab's limits keep the kernel from opening more subflows",
  { skip: noMptcpLab },
  async () => {
    await using lab = await createLab({ paths: [{}, {}, {}] });
    await lab.client.setLimits({ subflows: 1, addAddrAccepted: 8 });
    using pair = await connectedIn(lab);
    await untilSubflows(pair.client, 2);
    await delay(300);
    assertEquals(pair.client.subflows().length, 2);
  },
);

test("a lab is gone when it is disposed of, with what was started in it", {
  skip: noLab,
}, async () => {
  let child, grandchild;
  {
    await using lab = await createLab();
    child = lab.server.spawn(["sh", "-c", "sleep 1000 & echo $!; wait"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    grandchild = Number((await once(child.stdout!, "data"))[0]);
    assertEquals(labNamespaces(process.pid).length, 2);
    assert(existsSync(namespacePath(lab.client.name)));
    assertEquals(await lab.client.run(["cat"], { input: "hello" }), "hello");
  }
  assertEquals(labNamespaces(process.pid), []);
  assertEquals(child.signalCode, "SIGKILL");
  assert(!isRunning(grandchild), "a grandchild has survived");
});

/** A killed process without a parent that waits for it is still there, as a zombie. */
function isRunning(pid: number): boolean {
  assert(pid > 0);
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

test("a set-up step that fails is named, and leaves nothing behind", { skip: noLab }, async () => {
  await assertRejects(
    () => createLab({ sysctls: { "net.no.such": 1 } }),
    CommandError,
    "/proc/sys/net/no/such: No such file",
  );
  // Namespaces and links have been made by then.
  await assertRejects(
    () => createLab({ paths: [{}, { rate: NaN }] }),
    RangeError,
    "Path 2: no rate is NaN",
  );
  assertEquals(labNamespaces(process.pid), []);
});

test("a lab removes what a killed process has left of its own, with the processes in it", {
  skip: noLab,
}, async () => {
  const program = `
    import { createLab } from "./bench/lab/lab.ts";
    const lab = await createLab({ paths: [{ delay: ${noDelay === null ? 1 : 0} }] });
    const sleeper = lab.server.spawn(["sleep", "1000"]);
    console.log(JSON.stringify([lab.client.name, lab.server.name, sleeper.pid]));
    setInterval(() => {}, 1000);`;
  let left: [string, string, number];
  {
    await using crashed = new LineProcess([...runtimeCommand(), ...STDIN], program);
    left = await crashed.next();
  }
  const [client, server, sleeper] = left;
  const middle = client.replace("client", "middle");
  const made = noDelay === null ? [client, server, middle] : [client, server];
  assert(made.every((name) => labNamespaces().includes(name)) && isRunning(sleeper));

  await using lab = await createLab();
  const names = labNamespaces();
  assertEquals(made.filter((name) => names.includes(name)), []);
  assert(names.includes(lab.client.name));
  assert(!isRunning(sleeper), "a process has survived");
});

test("a lab removes what an earlier process of the same number has left", {
  skip: noLab,
}, async () => {
  const { client: mine } = newNames("client");
  const earlier = mine.replace(/^(mp-lab-\d+)-\d+/, "$1-1");
  for (const name of [mine, earlier]) run("ip", ["netns", "add", name]);
  try {
    await using _lab = await createLab();
    assertEquals([mine, earlier].map((name) => existsSync(namespacePath(name))), [true, false]);
  } finally {
    await removeNamespace(mine);
  }
});

test("a lab touches no namespace that it did not make", { skip: noLab }, async () => {
  const name = `mp-test-${process.pid}-foreign`;
  run("ip", ["netns", "add", name]);
  try {
    await assertRejects(() => removeNamespace(name), Error, "it stays");
    await using _lab = await createLab();
    assert(existsSync(namespacePath(name)));
  } finally {
    run("ip", ["netns", "del", name]);
  }
});

test("a lab's links have the rates that they were given", { skip: noLab }, async () => {
  await using lab = await createLab({ paths: [{ rate: 20 }], signal: null });
  using pair = await connectedIn(lab);
  // 400 ms at 20 Mbit/s, and a few without a limit; the bucket lets 32 KiB pass at once.
  assert(await transferTime(pair, 1_000_000) > 380, "faster than the link");
});

/** How long so many bytes take from end to end, in milliseconds. */
async function transferTime({ client, server }: Pair, bytes: number): Promise<number> {
  const started = performance.now();
  await Promise.all([writeAll(client, new Uint8Array(bytes)), readUpTo(server, bytes)]);
  return performance.now() - started;
}

test("a lab's paths have the delays that they were given", { skip: noDelay }, async () => {
  const delays = [10, 30, 0];
  await using lab = await createLab({ paths: delays.map((delay) => ({ delay })), signal: null });
  for (const [i, milliseconds] of delays.entries()) {
    using pair = await connectedIn(lab, { hostname: lab.server.address(i + 1), mptcp: "off" });
    // The first round trip has one of ARP in it.
    await writeAll(pair.client, bytesOf("ping"));
    await writeAll(pair.server, await readUpTo(pair.server, 4));
    await readUpTo(pair.client, 4);
    const time = pair.client.subflows()[0]!.tcp.minRtt! / 1000;
    assert(time >= 2 * milliseconds && time < 2 * milliseconds + 30, `path ${i + 1}: ${time} ms`);
  }
});

test("a lab's paths keep their rates whatever delay they have", { skip: noDelay }, async () => {
  await using lab = await createLab({ paths: [{ rate: 20, delay: 5 }], signal: null });
  using pair = await connectedIn(lab);
  const milliseconds = await transferTime(pair, 1_000_000);
  assert(milliseconds > 380 && milliseconds < 3000, `${milliseconds} ms in place of some 450`);
});

/** How many packets an interface of a host has sent and received. */
async function packetsOf(host: Host, path: number): Promise<{ sent: number; received: number }> {
  const text = await host.run(["cat", "/proc/net/dev"]);
  const fields = new RegExp(`path${path}: *(.*)`).exec(text)![1]!.split(/ +/).map(Number);
  return { sent: fields[9]!, received: fields[1]! };
}

test("a lab's paths lose the packets that they are to lose, each by itself", {
  skip: noDelay,
}, async () => {
  await using lab = await createLab({ paths: [{ loss: 5 }], signal: null });
  using pair = await connectedIn(lab, { mptcp: "off" });
  const bytes = 3_000_000;
  await transferTime(pair, bytes);
  const [tcp] = pair.client.subflows().map(({ tcp }) => tcp);
  assert(tcp!.totalRetrans! > 0, "no packet was sent again");
  const { sent } = await packetsOf(lab.client, 1);
  const { received } = await packetsOf(lab.server, 1);
  assert(sent > bytes / 1500, `only ${sent} packets for ${bytes} bytes`);
  const percent = 100 * (sent - received) / sent;
  // Of 2000 packets 100 are lost, and in one run of a million fewer than 50 or more than 150.
  assert(percent > 2.5 && percent < 7.5, `${percent} % of ${sent} packets were lost`);
});

test("a lab refuses a delay or loss that no path can have", { skip: noLab }, async () => {
  for (
    const path of [{ delay: -1 }, { delay: NaN }, { delay: 1e6 }, { loss: 101 }, { loss: NaN }]
  ) {
    await assertRejects(() => createLab({ paths: [{}, path] }), RangeError, "Path 2: no ");
  }
  assertEquals(labNamespaces(process.pid), []);
});

test("a lab with delay says what is missing where there is no C compiler", {
  skip: noLab ?? (existsSync("/sbin/ip") ? null : "ip is not among the system's tools"),
}, async () => {
  const { PATH } = process.env;
  // Beside it the folders of the system's tools are looked into, where there is no compiler.
  process.env.PATH = "/nonexistent";
  try {
    await assertRejects(
      () => createLab({ paths: [{ delay: 1 }] }),
      Error,
      "No lab can be made here: `cc` is missing (apt install gcc libc6-dev)",
    );
  } finally {
    process.env.PATH = PATH;
  }
});

/** Whether a client gets a connection to an address of the lab in time, in milliseconds. */
async function reaches(lab: Lab, hostname: string, time: number): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(time);
    using _pair = await connectedIn(lab, { hostname, signal, mptcp: "off" });
    return true;
  } catch (error) {
    const { name, code } = error as MptcpError;
    assert(name === "TimeoutError" || code === "ENETUNREACH", String(error));
    return false;
  }
}

for (const version of [4, 6] as const) {
  test(`a path of a lab can be cut and mended, over IPv${version} too`, {
    skip: noLab,
  }, async () => {
    await using lab = await createLab();
    const { client, server } = lab;
    const [other, cut] = [server.address(1, version), server.address(2, version)];
    assert(await reaches(lab, cut, 5000));
    for (const end of [client, server]) {
      await end.setLink(2, "down");
      assert(!await reaches(lab, cut, 500));
      assert(await reaches(lab, other, 5000));
      await end.setLink(2, "up");
      assert(await reaches(lab, cut, 5000));

      await end.addRules(...drop(2));
      assert(!await reaches(lab, cut, 500));
      assert(await reaches(lab, other, 5000));
      await end.clearRules();
      assert(await reaches(lab, cut, 5000));
    }
  });
}

test("a middlebox in a lab that takes the MPTCP option away leaves a TCP connection", {
  skip: noMptcpLab,
}, async () => {
  await using lab = await createLab();
  await lab.server.addRules(...stripMptcp(1));
  using pair = await connectedIn(lab);
  assertEquals([pair.client.protocol, pair.server.protocol], ["tcp", "tcp"]);
  assertEquals(pair.client.fallback!.reason, "peer");
  await lab.server.clearRules();
  using second = await connectedIn(lab);
  assertEquals(second.client.protocol, "mptcp");
});

test("a lab's hosts have their own settings of the kernel", { skip: noMptcpLab }, async () => {
  await using lab = await createLab({ sysctls: { "net.mptcp.add_addr_timeout": 7 } });
  for (const host of [lab.client, lab.server]) {
    const value = await host.run(["cat", "/proc/sys/net/mptcp/add_addr_timeout"]);
    assertEquals(value.trim(), "7");
  }
  await lab.client.setSysctls({ "net.mptcp.enabled": 0 });
  using pair = await connectedIn(lab);
  assertEquals(pair.client.fallback!.code, "ENOPROTOOPT");
  assertEquals(pair.server.fallback!.reason, "peer");
});

const TCP = "/proc/sys/net/ipv4/tcp_";
const ALLOWED = `${TCP}allowed_congestion_control`;

/** Runs a command in the machine's own network namespace, which alone has the list of what is allowed. */
function runOutside(command: string[], input = ""): string {
  const [program, ...args] = outside(command);
  return run(program!, args, input).trim();
}

/** A congestion control that there is and that not all may use. */
function restrictedName(): string | undefined {
  const [allowed, available] = [ALLOWED, `${TCP}available_congestion_control`]
    .map((path) => runOutside(["cat", path]).split(" ")) as [string[], string[]];
  return available.find((name) => !allowed.includes(name));
}

const noList = noLab ??
  (runOutside(["sh", "-c", `test -w ${ALLOWED} || echo no`]) === "no"
    ? `${ALLOWED} is read-only here`
    : null);
const restricted = noList === null ? restrictedName() : undefined;

test("a lab uses a congestion control that the machine does not allow to all", {
  skip: noList,
  place: restricted === undefined
    ? "every congestion control is allowed to all, as run.ts has it"
    : null,
}, () => {
  // The list, when no lab is about to change it.
  const allowed = () => runOutside(["flock", "/run/netns", "cat", ALLOWED]);
  const before = allowed();
  const program = `
    import { createLab } from "./bench/lab/lab.ts";
    const name = "net.ipv4.tcp_congestion_control";
    await using lab = await createLab({ sysctls: { [name]: "${restricted}" } });
    const shown = ["cat", "${TCP}congestion_control"];
    const names = [await lab.client.run(shown), await lab.server.run(shown)];
    console.log(names.map((name) => name.trim()).join());
    console.log((await lab.client.setSysctls({ [name]: "nonesuch" }).catch((error) => error)).message);`;
  const lines = runOutside([...runtimeCommand(), ...STDIN], program).split("\n");
  assertEquals(lines[0], `${restricted},${restricted}`);
  assertStringIncludes(lines[1]!, "tcp_allowed_congestion_control");
  assertEquals(allowed(), before);
});

test("a command that fails in a lab says what it was and why", { skip: noLab }, async () => {
  await using lab = await createLab();
  const failing = lab.client.run(["sh", "-c", "echo no luck >&2; exit 3"]);
  const error = await assertRejects(() => failing, CommandError, "no luck");
  assertStringIncludes(error.message, lab.client.name);
  await assertRejects(
    () => lab.client.run(["sleep", "1000"], { timeout: 50 }),
    CommandError,
    "SIGKILL",
  );
});

test("a lab knows its paths", { skip: noLab }, async () => {
  await using lab = await createLab();
  assertEquals(lab.server.address(2, 6), "fd77:2::2");
  for (const path of [0, 3, 1.5, NaN]) {
    assertThrows(() => lab.client.address(path), RangeError, "this lab has 1 to 2");
  }
  await assertRejects(() => createLab({ paths: [] }), RangeError, "1 to 8");
});

test("anybody can make a lab in namespaces of their own", { skip: noUserNamespace }, () => {
  const program = `
    import { drop } from "./bench/lab/firewall.ts";
    import { createLab, labUnavailable } from "./bench/lab/lab.ts";
    await using lab = await createLab({
      paths: [{ rate: 10, delay: ${noDelay === null ? 1 : 0} }, {}],
    });
    await lab.server.addRules(...drop(1));
    const uplink = await lab.client.run(["cat", "/proc/net/dev"]);
    console.log(labUnavailable(), uplink.includes("path2"));`;
  const command = inUserNamespace([...runtimeCommand(), ...STDIN]);
  assertEquals(run(command[0]!, command.slice(1), program).trim(), "null true");
});

test("where no lab can be made the reason says what is missing", { skip: noUserNamespace }, () => {
  const program = `
    import { createLab, labUnavailable } from "./bench/lab/lab.ts";
    console.log(labUnavailable());
    console.log((await createLab().catch((error) => error)).message);`;
  // Root of a user namespace, but without a mount namespace to put the names in.
  const command = ["unshare", "-Urn", ...runtimeCommand(), ...STDIN];
  const lines = run(command[0]!, command.slice(1), program).trim().split("\n");
  assertStringIncludes(lines[0]!, "unshare -Urnm");
  assertEquals(lines[1], `No lab can be made here: ${lines[0]}`);
});
