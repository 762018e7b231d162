import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import type { MptcpConn } from "../src/types.ts";
import { mptcp, mptcpCommand } from "./cli.ts";
import { test } from "./harness.ts";
import { LineProcess, missingProgram, run } from "./processes.ts";
import { TestBackend } from "./proxy.ts";
import { ProxyProcess } from "./proxy_process.ts";
import { bytesOf, delay, readToEnd, readUpTo } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

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
    [
      ["127.0.0.1:0", "127.0.0.1:9", "--proxy-protocol", "v3"],
      "--proxy-protocol takes one of v1, v2",
    ],
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
