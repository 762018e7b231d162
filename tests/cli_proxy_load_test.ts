import { assert, assertEquals, assertMatch } from "@std/assert";
import { createHash, randomBytes } from "node:crypto";
import { mptcpSupport } from "../mod.ts";
import type { MptcpConn } from "../src/types.ts";
import { runsLong, test } from "./harness.ts";
import { createNetns, LineProcess, missingNamespaces, missingProgram, run } from "./processes.ts";
import { TestBackend } from "./proxy.ts";
import { ProxyProcess } from "./proxy_process.ts";
import { delay, readToEnd, writeAll } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

const COUNT = runsLong ? 10_000 : 3000;
const AT_ONCE = 1000;

/** Sends random bytes through a proxy, and compares what comes back by SHA-256. */
async function roundTrip(connect: () => Promise<MptcpConn>, size: number): Promise<void> {
  const bytes = randomBytes(size);
  using client = await connect();
  const [answer] = await Promise.all([
    readToEnd(client),
    writeAll(client, bytes).then(() => client.closeWrite()),
  ]);
  const digest = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
  assertEquals(digest(answer), digest(bytes));
}

/** Runs a job so many times, so many at once. */
async function many(count: number, atOnce: number, job: (i: number) => Promise<void>) {
  let next = 0;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < count) await job(next++);
  }));
}

test(`${COUNT} connections, ${AT_ONCE} at once, come through whole and leave nothing behind`, {
  skip: missingProgram("curl"),
  timeout: 150_000,
}, async () => {
  await using one = new TestBackend(undefined, { tcpBacklog: 4096 });
  await using two = new TestBackend(undefined, { tcpBacklog: 4096 });
  const args = ["127.0.0.1:0", one.address, two.address, "--backlog", "4096"];
  // V8 lets garbage grow to 100 MB before it looks at it.
  const permissions = ["-A", "--v8-flags=--max-semi-space-size=1"];
  await using proxy = await ProxyProcess.startQuiet(args, { permissions });
  const load = (count: number) =>
    many(count, AT_ONCE, (i) => roundTrip(() => proxy.connect(), 1 + (i * 7919) % 5_000));
  // What hangs is told before the test is given up.
  const late = setTimeout(() => {
    console.error(JSON.stringify([proxy.stats(), proxy.stats("/connections")]));
  }, 90_000);
  await load(COUNT * 0.3);
  const memory = async () => {
    while (proxy.stats().active > 0) await delay(20);
    return proxy.stats().memory;
  };
  const before = await memory();
  const fds = proxy.fds();
  await load(COUNT * 0.7);
  clearTimeout(late);
  const growth = (await memory() - before) / 2 ** 20;
  const { total, peak, ends, backends } = proxy.stats();
  assertEquals([total, ends.closed], [COUNT, COUNT]);
  assert(peak > AT_ONCE / 4, `${peak} at once`);
  assertEquals(backends.map(({ total, failures }) => [total, failures]), [[COUNT / 2, 0], [
    COUNT / 2,
    0,
  ]]);
  await proxy.untilFds(fds);
  // A buffer for each of a thousand would be 900.
  assert(growth < 64, `${growth.toFixed(1)} MiB more memory`);
});

test("backends are killed and revived under load, and only their own connections break", async () => {
  let broken = 0;
  let begun = 0;
  const backends = [new TestBackend(), new TestBackend(), new TestBackend()];
  const addresses = backends.map(({ address }) => address);
  await using proxy = await ProxyProcess.startQuiet(["127.0.0.1:0", ...addresses]);
  let isOver = false;
  let lost = 0;
  let kills = 0;
  const chaos = (async () => {
    for (let i = 0; !isOver; i++) {
      const which = i % backends.length;
      const { port } = backends[which]!;
      kills++;
      lost += backends[which]!.active;
      await backends[which]![Symbol.asyncDispose]();
      await delay(100);
      backends[which] = new TestBackend(undefined, { port });
      await delay(200);
    }
  })();
  await many(2000, 50, async () => {
    begun++;
    try {
      await roundTrip(() => proxy.connect(), 10_000);
    } catch {
      broken++;
    }
  });
  isOver = true;
  await chaos;
  const { ends } = proxy.stats();
  assertEquals(ends["no-backend"], 0);
  // What was on its way to a listener that closed is lost as well.
  const most = lost + 25 * kills;
  assert(broken <= most, `${broken} of ${begun} are broken, ${lost} were on ${kills} backends`);
  for (let i = 0; i < 10; i++) await roundTrip(() => proxy.connect(), 10_000);
  for (const backend of backends) await backend[Symbol.asyncDispose]();
});

const VANISHING = `
import socket, sys, time
port, protocol = int(sys.argv[1]), int(sys.argv[2])
conn = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
conn.connect(("127.0.0.1", port))
conn.sendall(b"hello")
print(conn.recv(5).decode(), flush=True)
time.sleep(1000)`;

const ECHO = `
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def echo(conn):
    while data := conn.recv(65536): conn.sendall(data)
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()`;

for (const [name, number] of [["mptcp", 262], ["tcp", 6]] as const) {
  test(`peers over ${name} that vanish without a word are given up`, {
    skip: missingNamespaces() ?? missingProgram("python3") ?? missingProgram("curl") ?? noMptcp,
  }, async () => {
    using netns = createNetns(`proxy-${name}`);
    const prefix = ["ip", "netns", "exec", netns.name];
    await using backend = new LineProcess([...prefix, "python3", "-c", ECHO]);
    const back = `tcp@127.0.0.1:${await backend.nextLine()}`;
    const args = ["127.0.0.1:0", back, "--idle-timeout", "1"];
    await using proxy = await ProxyProcess.start(args, { prefix });
    const vanishing = [...prefix, "python3", "-c", VANISHING, String(proxy.port), String(number)];
    await using client = new LineProcess(vanishing);
    assertEquals(await client.nextLine(), "hello");
    const before = proxy.fds() - 2;
    run("ip", ["-n", netns.name, "link", "set", "lo", "down"]);
    assertMatch(await proxy.connection(), new RegExp(` front=${name}/\\d .* end=idle error=`));
    assertEquals(proxy.stats().active, 0);
    await proxy.untilFds(before);
  });
}
