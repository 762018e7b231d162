import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createLab, labUnavailable } from "../bench/lab/lab.ts";
import { connectMptcp, listenMptcp, mptcpSupport } from "../mod.ts";
import { mptcp, mptcpCommand, noTerminal, TerminalSession } from "./cli.ts";
import { CliProcess } from "./cli_process.ts";
import { test } from "./harness.ts";
import { noPaths } from "./path_lab.ts";
import type { Finished } from "./processes.ts";
import { bytesOf, delay, LOOPBACKS, readToEnd, writeAll } from "./sockets.ts";

const noMptcp = mptcpSupport().fallback?.detail ?? null;

/** Starts a server on a free port, and gives its address. */
async function start(
  hostname: string = LOOPBACKS[0],
  ...args: string[]
): Promise<{ server: CliProcess; address: string; port: number }> {
  const place = hostname.includes(":") ? `[${hostname}]:0` : `${hostname}:0`;
  const server = new CliProcess(["bench", "server", place, ...args]);
  const [, address, port] = await server.until("stderr", /at (\S+:(\d+)) over/);
  return { server, address: address!, port: Number(port) };
}

function client(...args: string[]): Promise<Finished> {
  return mptcp(["bench", "client", ...args]);
}

for (const hostname of LOOPBACKS) {
  test(`bench measures one way, the other and both over ${hostname}`, {
    skip: noMptcp,
  }, async () => {
    const { server, address } = await start(hostname);
    await using _ = server;
    const cases = [
      { args: [], streams: 1, sends: true, receives: false },
      { args: ["--reverse", "-P", "3"], streams: 3, sends: false, receives: true },
      { args: ["--bidirectional"], streams: 1, sends: true, receives: true },
    ];
    for (const { args, streams, sends, receives } of cases) {
      const json = ["--json", "-t", "0.7", "-i", "0.2"];
      const { status, stdout, stderr } = await client(...json, ...args, address);
      assertEquals([status, stderr], [0, ""]);
      const { test, protocol, fallback, sent, received, cpu, intervals } = JSON.parse(stdout);
      assertEquals([test.streams, test.seconds, protocol, fallback], [streams, 0.7, "mptcp", null]);
      assertEquals([sent.bytes > 1e6, received.bytes > 1e6], [sends, receives]);
      for (const { bytes, seconds, bytesPerSecond } of [sent, received]) {
        assert(seconds > 0.5 && seconds < 10, stdout);
        assertEquals(bytesPerSecond, bytes / seconds);
      }
      assert(cpu.local.user + cpu.local.system > 0 && cpu.remote.user + cpu.remote.system > 0);
      assert(intervals.length >= 2 && intervals[0].paths.length === 1, stdout);
    }
    assertEquals(server.stdout.trim().split("\n").length, cases.length);
  });
}

test("bench sends exactly the bytes that it is told to", async () => {
  const { server, address } = await start(LOOPBACKS[0], "--once", "--json");
  await using _ = server;
  const args = ["-n", "10M", "-P", "4", "-b", "--json", `tcp@${address}`];
  const { sent, received, protocol } = JSON.parse((await client(...args)).stdout);
  assertEquals([sent.bytes, received.bytes, protocol], [10 * 1024 ** 2, 10 * 1024 ** 2, "tcp"]);
  assertEquals(await server.status(), 0);
  const told = JSON.parse(server.stdout);
  assertEquals([told.sent, told.received, told.protocol], [10 * 1024 ** 2, 10 * 1024 ** 2, "tcp"]);
});

test("bench has a line for each interval and a summary with the CPU of both ends", async () => {
  const { server, address } = await start();
  await using _ = server;
  const { status, stdout, stderr } = await client("-t", "0.8", "-i", "0.2", `tcp@${address}`);
  assertEquals([status, stderr], [0, ""]);
  assert(
    [...stdout.matchAll(/^ +\d\.\d-\d\.\d +s +[\d.]+ [GM]bit\/s sent$/gm)].length >= 2,
    stdout,
  );
  assertMatch(stdout, /^Sent +[\d.]+ [GM]iB in \d\.\d\d s {2}[\d.]+ [GM]bit\/s$/m);
  assertMatch(stdout, /^Protocol +TCP: .+$/m);
  assertMatch(stdout, /^CPU +\d+% CPU here, \d+% CPU at the server$/m);
  assert(!stdout.includes("\x1b"));
});

test("bench client says what is wrong with the other end", async () => {
  using silent = listenMptcp({ hostname: "127.0.0.1" });
  const answers = ["HTTP/1.1 400 Bad Request\r\n\r\n", "{}\n", ""];
  const serving = (async () => {
    for (const answer of answers) {
      using conn = await silent.accept();
      await conn.read(new Uint8Array(1000));
      await writeAll(conn, bytesOf(answer));
    }
  })();
  for (const _ of answers) {
    const { status, stdout, stderr } = await client(`127.0.0.1:${silent.addr.port}`);
    assertEquals([status, stdout], [1, ""]);
    assertMatch(
      stderr,
      /^mptcp bench client: 127\.0\.0\.1:\d+: .*is "mptcp bench server" running there\?\n$/,
    );
  }
  await serving;
});

test("bench tells of a server that is gone, and of one that is busy", async () => {
  const { server, address } = await start();
  await using _ = server;
  await using running = new CliProcess(["bench", "client", "-i", "0.1", "-t", "30", address]);
  await running.until("stdout", /sent/);
  const second = await client(address);
  assertEquals([second.status, second.stdout], [1, ""]);
  assertStringIncludes(second.stderr, "the server is busy with another test");
  await server.kill("SIGKILL");
  assertEquals(await running.status(), 1);
  assertMatch(
    running.stderr,
    /^mptcp bench client: \S+: the server disconnected \d+\.\d s after the start\n$/,
  );
});

test("bench server outlives clients that go, and those that speak something else", async () => {
  const { server, address, port } = await start();
  await using _ = server;
  await using running = new CliProcess(["bench", "client", "-i", "0.1", "-t", "30", address]);
  await running.until("stdout", /sent/);
  assertEquals(await running.kill("SIGINT"), 130);
  await server.until("stderr", /the client disconnected during the test/);
  for (const text of ["GET / HTTP/1.1\r\n\r\n", "{}\n", '{"protocol":"mptcp-bench-1"\n']) {
    using conn = await connectMptcp({ port });
    await writeAll(conn, bytesOf(text));
    assertEquals((await readToEnd(conn)).byteLength, 0);
  }
  assertEquals((await client("-n", "1M", address)).status, 0);
  assertEquals(await server.kill("SIGTERM"), 143);
});

test("bench client can require MPTCP of the server too", { skip: noMptcp }, async () => {
  const server = new CliProcess(["bench", "server", "tcp@127.0.0.1:0"]);
  await using _ = server;
  const [, address] = await server.until("stderr", /at (\S+) over TCP/);
  const { status, stdout, stderr } = await client("--require-mptcp", address!);
  assertEquals([status, stdout], [3, ""]);
  assertMatch(stderr, /^mptcp bench client: the connection is not MPTCP: [^\n]+\n$/);
});

for (
  const [args, status, message] of [
    [["client", "127.0.0.1:1"], 1, "Connection refused"],
    [["client", "-R", "-b", "x"], 2, "--reverse and --bidirectional exclude each other"],
    [["client", "-t", "1", "-n", "1", "x"], 2, "--time and --bytes exclude each other"],
    [["client", "-P", "129", "x"], 2, "--parallel takes a number from 1 to 128"],
    [["client", "-n", "0", "x"], 2, "--bytes must be more than 0"],
    [["client", "x:1-2"], 2, '"x:1-2" names several ports: connect to one of them'],
    [["server", ":1-2"], 2, '":1-2" names several ports: bench server takes one'],
    [["client", "x:0"], 2, "cannot connect to port 0"],
    [["client"], 2, "expected ADDRESS"],
    [["server", "[::1"], 2, "is not closed"],
    [["nosuch"], 2, 'unknown command "nosuch"'],
  ] as const
) {
  test(`"bench ${args.join(" ")}" fails with status ${status}`, async () => {
    const result = await mptcp(["bench", ...args]);
    assertEquals([result.status, result.stdout], [status, ""]);
    assertMatch(result.stderr, /^mptcp bench[^\n]*: [^\n]+\n(Try "mptcp bench.* --help".\n)?$/);
    assertStringIncludes(result.stderr, message);
  });
}

test("over two paths bench has a bar for each on a terminal, and Ctrl-C ends it", {
  skip: noPaths ?? labUnavailable(["tc"]) ?? noTerminal,
}, async () => {
  const sysctls = { "net.ipv4.tcp_congestion_control": "reno" };
  await using lab = await createLab({ paths: [{ rate: 40 }, { rate: 40 }], sysctls });
  const prefix = (name: string) => ["ip", "netns", "exec", name];
  await using server = new CliProcess(["bench", "server"], { prefix: prefix(lab.server.name) });
  await server.until("stderr", /Waiting at/);
  const inClient = { prefix: prefix(lab.client.name) };
  const args = ["bench", "client", lab.server.address()];
  {
    using session = new TerminalSession(mptcpCommand(args, inClient));
    await session.until(/10\.77\.1\.1 > 10\.77\.1\.2 +[\d.]+ Mbit\/s +█+/);
    await session.until(/10\.77\.2\.1 > 10\.77\.2\.2 +[\d.]+ Mbit\/s +█+/);
    session.press("C-c");
    await session.until(/status 130/);
  }
  await server.until("stderr", /the client disconnected/);
  await delay(100);
  for (const way of [[], ["-R"]]) {
    const { stdout } = await mptcp([...args, "--json", "-t", "1.5", ...way], inClient);
    const { sent, received, paths } = JSON.parse(stdout);
    assertEquals(paths.length, 2);
    assert((sent.bytesPerSecond + received.bytesPerSecond) * 8 > 1.4 * 40e6, stdout);
  }
});
