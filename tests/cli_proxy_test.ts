import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import type { ProxyStats } from "../src/proxy/types.ts";
import type { ConnectMptcpOptions, MptcpConn } from "../src/types.ts";
import { type CliOptions, mptcp, mptcpCommand } from "./cli.ts";
import { test } from "./harness.ts";
import { createNetns, LineProcess, missingNamespaces, missingProgram, run } from "./processes.ts";
import { TestBackend } from "./proxy.ts";
import { bytesOf, delay, readToEnd, readUpTo, writeAll } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

/** `mptcp proxy` as a process, with standard error among its lines. */
class ProxyProcess implements AsyncDisposable {
  readonly process: LineProcess;
  /** The ports that it listens on. */
  readonly ports: number[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "mptcp-proxy-"));
  /** The socket of `--status`. */
  readonly status: string = join(this.#folder, "status");

  private constructor(args: readonly string[], options: CliOptions) {
    const command = mptcpCommand(["proxy", ...args, "--status", this.status], options);
    this.process = new LineProcess(["sh", "-c", 'exec "$@" 2>&1', "sh", ...command]);
  }

  /** Starts it, and waits until it listens on so many fronts. */
  static async start(
    args: readonly string[],
    { fronts = 1, ...options }: CliOptions & { fronts?: number } = {},
  ): Promise<ProxyProcess> {
    const proxy = new ProxyProcess(args, options);
    for (let i = 0; i < fronts; i++) {
      const line = await proxy.line();
      const port = /front=\S+:(\d+) |"port":(\d+)/.exec(line);
      assert(port !== null, line);
      proxy.ports.push(Number(port[1] ?? port[2]));
    }
    return proxy;
  }

  /** Starts it with `--quiet`; where it listens is known from its status. */
  static async startQuiet(args: readonly string[], options: CliOptions = {}) {
    const proxy = await ProxyProcess.start([...args, "-q"], { fronts: 0, ...options });
    // The mode is what is set last.
    while (proxy.statusMode() !== "600") await delay(20);
    proxy.ports.push(proxy.stats().fronts[0]!.addr.port);
    return proxy;
  }

  /** The mode of the socket of `--status`; empty while there is none. */
  statusMode(): string {
    const stat = statSync(this.status, { throwIfNoEntry: false });
    return stat === undefined ? "" : (stat.mode & 0o777).toString(8);
  }

  get port(): number {
    return this.ports[0]!;
  }

  line(): Promise<string> {
    return this.process.nextLine();
  }

  /** The next line about a connection. */
  async connection(): Promise<string> {
    for (;;) {
      const line = await this.line();
      if (line.includes(" connection ")) return line;
    }
  }

  connect(options: Partial<ConnectMptcpOptions> = {}): Promise<MptcpConn> {
    return connectMptcp({ hostname: "127.0.0.1", port: this.port, ...options });
  }

  /** What `--status` says. */
  stats(path = "/"): ProxyStats & { memory: number } {
    const args = ["-sS", "--unix-socket", this.status, `http://proxy${path}`];
    return JSON.parse(run("curl", args));
  }

  /** The number of its descriptors. */
  fds(): number {
    return readdirSync(`/proc/${this.process.pid}/fd`).length;
  }

  /** Waits until it has no more than so many: that of `--status` is closed a little later. */
  async untilFds(count: number): Promise<void> {
    for (let tries = 0; this.fds() > count; tries++) {
      assert(tries < 100, `${this.fds()} descriptors, more than ${count}`);
      await delay(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }
}

async function exchange(conn: MptcpConn, text: string): Promise<void> {
  await conn.write(bytesOf(text));
  assertEquals(await readUpTo(conn, text.length), bytesOf(text));
}

for (const [front, back] of [["mptcp", "tcp"], ["tcp", "mptcp"]] as const) {
  test(`the proxy from ${front} to ${back} has a line for each connection`, {
    skip: noMptcp,
  }, async () => {
    const mode = { mptcp: "require", tcp: "off" } as const;
    await using backend = new TestBackend(undefined, { mptcp: mode[back] });
    await using proxy = await ProxyProcess.start([`${front}@127.0.0.1:0`, backend.address]);
    using client = await proxy.connect({ mptcp: mode[front] });
    await exchange(client, "hello");
    await client.closeWrite();
    await readToEnd(client);
    const port = client.localAddr.port;
    assertMatch(
      await proxy.line(),
      new RegExp(
        `^\\S+Z connection client=127\\.0\\.0\\.1:${port} front=${front}/1 ` +
          `backend=${back}@127\\.0\\.0\\.1:${backend.port} back=${back}/1 in=5 out=5 ` +
          `seconds=\\d+\\.\\d{3} end=closed$`,
      ),
    );
  });
}

test("with --json every line is JSON, errors too", async () => {
  await using backend = new TestBackend();
  using closed = listenMptcp({ hostname: "127.0.0.1" });
  const dead = `tcp@127.0.0.1:${closed.addr.port}`;
  closed.close();
  await using proxy = await ProxyProcess.start(["127.0.0.1:0", dead, backend.address, "--json"]);
  using client = await proxy.connect();
  await exchange(client, "hello");
  client.close();
  const down = JSON.parse(await proxy.line());
  assertEquals([down.event, down.address, down.isUp], ["backend", dead, false]);
  assertEquals(down.error.code, "ECONNREFUSED");
  const line = JSON.parse(await proxy.line());
  assertEquals([line.event, line.bytesIn, line.end], ["connection", 5, "closed"]);
  assertEquals([line.front.subflows, line.backend], [1, backend.address]);
});

test("with --quiet there is no line for a connection, but one for a failure", async () => {
  using closed = listenMptcp({ hostname: "127.0.0.1" });
  const dead = `tcp@127.0.0.1:${closed.addr.port}`;
  closed.close();
  await using proxy = await ProxyProcess.startQuiet(["127.0.0.1:0", dead]);
  using client = await proxy.connect({ mptcp: "off" });
  await assertRejects(() => readToEnd(client), MptcpError);
  assertMatch(await proxy.line(), / backend backend=\S+ state=down .*Connection refused/);
  await proxy.process.kill("SIGTERM");
  await assertRejects(() => proxy.line(), Error, "ended before");
});

test("SIGUSR1, SIGUSR2 and --status tell the counters", {
  skip: missingProgram("curl"),
}, async () => {
  await using backend = new TestBackend();
  await using proxy = await ProxyProcess.start(["127.0.0.1:0", backend.address]);
  using client = await proxy.connect();
  await exchange(client, "hello");
  for (const signal of ["SIGUSR1", "SIGUSR2"]) {
    run("kill", [`-${signal}`, String(proxy.process.pid)]);
    let line = await proxy.line();
    // Deno opens its debugger, and says so, before or after.
    while (!line.includes(" counters ")) line = await proxy.line();
    assertMatch(line, / counters active=1 total=1 peak=1 limited=0 exhausted=0 in=5 out=5$/);
    assertMatch(await proxy.line(), / counters backend=\S+ state=up active=1 total=1 failures=0$/);
  }
  const { active, bytesIn, backends, memory } = proxy.stats();
  assertEquals([active, bytesIn, backends.length], [1, 5, 1]);
  assert(memory > 1_000_000);
  const connections = proxy.stats("/connections") as unknown as { client: { port: number } }[];
  assertEquals(connections.map(({ client: { port } }) => port), [client.localAddr.port]);
  assertEquals(proxy.statusMode(), "600");
  const missing = run("curl", ["-s", "--unix-socket", proxy.status, "http://proxy/nosuch"]);
  assertEquals(JSON.parse(missing), { error: "try / and /connections" });
});

test("the socket of a proxy that was killed is taken over, and that of one that lives is not", {
  skip: missingProgram("curl"),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "mptcp-proxy-"));
  try {
    const place = join(folder, "status");
    const args = ["proxy", "127.0.0.1:0", "127.0.0.1:9", "--status", place];
    {
      await using first = new LineProcess(mptcpCommand(args));
      await first.nextLine();
      const second = await mptcp(args);
      assertEquals(second.status, 1);
      assertMatch(second.stderr, /EADDRINUSE|in use/i);
      await first.kill("SIGKILL");
    }
    assert(existsSync(place));
    {
      await using third = new LineProcess(mptcpCommand(args));
      await third.nextLine();
      assertEquals(JSON.parse(run("curl", ["-s", "--unix-socket", place, "http://x/"])).active, 0);
    }
    rmSync(place);
    writeFileSync(place, "a file");
    assertEquals((await mptcp(args)).status, 1);
    assertEquals(readFileSync(place, "utf8"), "a file");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} stops listening, lets connections finish, and ends with status 0`, async () => {
    await using backend = new TestBackend();
    const command = mptcpCommand(["proxy", "127.0.0.1:0", backend.address]);
    const script = '"$@"; echo "status $?"';
    await using shell = new LineProcess(["sh", "-c", script, "sh", ...command]);
    const port = Number(/:(\d+) /.exec(await shell.nextLine())![1]);
    using client = await connectMptcp({ port });
    await exchange(client, "hello");
    run("pkill", [`-${signal}`, "-P", String(shell.pid)]);
    assertMatch(await shell.nextLine(), new RegExp(`draining signal=${signal} active=1$`));
    // What comes in the moments before the listener is closed is served.
    const late = [];
    for (;;) {
      try {
        late.push(await connectMptcp({ port }));
        await delay(10);
      } catch (error) {
        assert(["ECONNREFUSED", "ECONNRESET"].includes((error as MptcpError).code), String(error));
        break;
      }
    }
    for (const conn of late) conn.close();
    await exchange(client, "again");
    await client.closeWrite();
    await readToEnd(client);
    const lines = [];
    while (!lines.at(-1)?.startsWith("status")) lines.push(await shell.nextLine());
    assertMatch(lines.at(-3)!, / connection .* in=10 out=10 .* end=closed$/);
    assertMatch(lines.at(-2)!, / stopped cut=0$/);
    assertEquals(lines.at(-1), "status 0");
  });
}

test("what has not finished after --drain-timeout is reset, and the status is 3", async () => {
  await using backend = new TestBackend();
  const command = mptcpCommand(["proxy", "127.0.0.1:0", backend.address, "--drain-timeout", "0.2"]);
  await using shell = new LineProcess(["sh", "-c", '"$@"; echo "status $?"', "sh", ...command]);
  const port = Number(/:(\d+) /.exec(await shell.nextLine())![1]);
  using client = await connectMptcp({ port });
  await exchange(client, "hello");
  run("pkill", ["-TERM", "-P", String(shell.pid)]);
  await shell.nextLine();
  const error = await assertRejects(() => readToEnd(client), MptcpError);
  assertEquals(error.code, "ECONNRESET");
  assertMatch(await shell.nextLine(), / end=stopped error=/);
  assertMatch(await shell.nextLine(), / stopped cut=1$/);
  assertEquals(await shell.nextLine(), "status 3");
});

test("a second signal ends the proxy at once", async () => {
  await using backend = new TestBackend();
  const command = mptcpCommand(["proxy", "127.0.0.1:0", backend.address]);
  await using shell = new LineProcess(["sh", "-c", '"$@"; echo "status $?"', "sh", ...command]);
  const port = Number(/:(\d+) /.exec(await shell.nextLine())![1]);
  using client = await connectMptcp({ port });
  await exchange(client, "hello");
  run("pkill", ["-TERM", "-P", String(shell.pid)]);
  await shell.nextLine();
  run("pkill", ["-TERM", "-P", String(shell.pid)]);
  assertEquals(await shell.nextLine(), "status 143");
});

for (const protocol of ["mptcp", "tcp"] as const) {
  test(`--mss holds on both sides over ${protocol}`, {
    skip: protocol === "tcp" ? null : noMptcp,
  }, async () => {
    const mode = protocol === "mptcp" ? "require" : "off";
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    await using backend = new TestBackend(async (conn) => {
      await readUpTo(conn, 1);
      resolve(conn.subflows()[0]!.tcp.sndMss);
    }, { mptcp: mode });
    const args = [`${protocol}@127.0.0.1:0`, backend.address, "--mss", "1000"];
    await using proxy = await ProxyProcess.start(args);
    using client = await proxy.connect({ mptcp: mode });
    await client.write(bytesOf("x"));
    assert(client.subflows()[0]!.tcp.sndMss! <= 1000);
    assert((await promise)! <= 1000);
  });
}

test("several fronts and the PROXY protocol work from the command line", async () => {
  await using backend = new TestBackend(async (conn) => {
    await conn.write(await readToEnd(conn));
  });
  const args = ["127.0.0.1:0", backend.address, "--front", "tcp@[::1]:0"];
  const more = ["--proxy-protocol", "v1", "--accept-proxy", "--header-timeout", "1"];
  await using proxy = await ProxyProcess.start([...args, ...more], { fronts: 2 });
  for (const [i, hostname] of ["127.0.0.1", "::1"].entries()) {
    using client = await proxy.connect({ hostname, port: proxy.ports[i]! });
    await client.write(bytesOf("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello"));
    await client.closeWrite();
    const got = new TextDecoder().decode(await readToEnd(client));
    assertEquals(got, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello");
    assertMatch(await proxy.connection(), /client=192\.0\.2\.1:1 by=\S+ front=\S+\/1 .* in=5 /);
  }
  using wrong = await proxy.connect();
  await wrong.write(bytesOf("GET / HTTP/1.0\r\n\r\n"));
  await assertRejects(() => readToEnd(wrong), MptcpError);
  assertMatch(await proxy.connection(), /end=bad-header error="PROXY protocol header: /);
});

test("two processes share a port with --reuse-port, and one goes on without the other", async () => {
  await using backend = new TestBackend();
  await using one = await ProxyProcess.start(["127.0.0.1:0", backend.address, "--reuse-port"]);
  const request = async () => {
    using client = await one.connect();
    await exchange(client, "x");
  };
  {
    const args = [`127.0.0.1:${one.port}`, backend.address, "--reuse-port"];
    await using two = await ProxyProcess.start(args);
    for (let i = 0; i < 40; i++) await request();
    const totals = [one.stats().total, two.stats().total];
    assert(totals[0]! + totals[1]! === 40 && totals.every((total) => total > 2), `${totals}`);
    await two.process.kill("SIGTERM");
  }
  for (let i = 0; i < 10; i++) await request();
});

for (
  const [words, message] of [
    [[], "expected FRONT BACK..."],
    [["127.0.0.1:0"], "expected FRONT BACK..."],
    [["127.0.0.1:x", "127.0.0.1:1"], '"x" is not a port, at character 11'],
    [["127.0.0.1:0", "127.0.0.1:9", "--mss", "0"], "--mss takes a number from 1 to 65535"],
    [["127.0.0.1:0", "127.0.0.1:9", "--proxy-protocol", "v3"], "--proxy-protocol is one of v1, v2"],
    [["127.0.0.1:0", "127.0.0.1:9", "--drain-timeout", "x"], "--drain-timeout takes a number"],
    [["127.0.0.1:0", "127.0.0.1:9", "--status", "a:b"], "--status: Invalid address"],
  ] as const
) {
  test(`"proxy ${words.join(" ")}" is refused with status 2`, async () => {
    const { status, stdout, stderr } = await mptcp(["proxy", ...words]);
    assertEquals([status, stdout], [2, ""]);
    assert(stderr.includes(message), stderr);
  });
}

test("an address that is taken is status 1, and said so", async () => {
  using taken = listenMptcp({ hostname: "127.0.0.1" });
  const address = `127.0.0.1:${taken.addr.port}`;
  const { status, stderr } = await mptcp(["proxy", address, "127.0.0.1:9"]);
  assertEquals(status, 1);
  assertEquals(
    stderr,
    `mptcp proxy: listen ${address}: bind: Address already in use (os error 98)\n`,
  );
});

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

test("10 000 connections, 1 000 at once, come through whole and leave nothing behind", {
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
  await load(3000);
  const memory = async () => {
    while (proxy.stats().active > 0) await delay(20);
    return proxy.stats().memory;
  };
  const before = await memory();
  const fds = proxy.fds();
  await load(7000);
  clearTimeout(late);
  const growth = (await memory() - before) / 2 ** 20;
  const { total, peak, ends, backends } = proxy.stats();
  assertEquals([total, ends.closed], [10_000, 10_000]);
  assert(peak > AT_ONCE / 4, `${peak} at once`);
  assertEquals(backends.map(({ total, failures }) => [total, failures]), [[5000, 0], [5000, 0]]);
  await proxy.untilFds(fds);
  // A buffer for each would be 900.
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
