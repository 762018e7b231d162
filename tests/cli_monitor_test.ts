import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import process from "node:process";
import { connectMptcp, listenMptcp, type MptcpConn, mptcpSupport } from "../mod.ts";
import { eventLine } from "../src/cli/monitor/event_line.ts";
import { cut } from "../src/cli/monitor/screen.ts";
import { RateMeter } from "../src/cli/monitor/traffic_table.ts";
import type { MptcpEvent } from "../src/path_manager/mod.ts";
import { type ListedConnection, listTraffic } from "../src/path_manager/traffic.ts";
import { mptcp, mptcpCommand, noTerminal, TerminalSession } from "./cli.ts";
import { test } from "./harness.ts";
import { connect, noPaths, SERVER, setUp, subflowsBecome } from "./path_lab.ts";
import { createNetns, LineProcess, missingNamespaces } from "./processes.ts";
import { connectedPair, delay, readUpTo, writeAll } from "./sockets.ts";

const skip = missingNamespaces() ?? mptcpSupport().fallback?.detail ?? null;

/** Makes connections in a namespace, one after the other, until told to stop. */
function keepConnecting(netns: string): AsyncDisposable {
  let stopped = false;
  const done = (async () => {
    using listener = listenMptcp({ hostname: "127.0.0.1", netns });
    while (!stopped) {
      const { port } = listener.addr;
      const ends = await Promise.all([connectMptcp({ port, netns }), listener.accept()]);
      for (const conn of ends) conn.close();
      await delay(20);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      stopped = true;
      await done;
    },
  };
}

test("monitor prints events as lines where there is no terminal", { skip }, async () => {
  using netns = createNetns("lines");
  await using events = new LineProcess(mptcpCommand(["monitor", "--netns", netns.name]));
  await using _ = keepConnecting(netns.name);
  const seen: string[] = [];
  while (
    !seen.some((line) => / created +127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+ as client$/.test(line))
  ) {
    seen.push(await events.nextLine());
  }
  for (const line of seen) {
    assert(/^\d\d:\d\d:\d\d\.\d{3} {2}([\da-f]{8}|- {7}) {2}[a-z]/.test(line), line);
  }
  await events.kill("SIGINT");
});

test("monitor --json prints an object for each event, with its time", { skip }, async () => {
  using netns = createNetns("json");
  await using events = new LineProcess(mptcpCommand(["monitor", "--json", "--netns", netns.name]));
  await using _ = keepConnecting(netns.name);
  let event: Record<string, unknown>;
  do event = await events.next(); while (event.type !== "created" || event.serverSide);
  assert(Math.abs(Date.parse(event.time as string) - Date.now()) < 30_000, String(event.time));
  assertEquals(typeof event.token, "number");
  assertEquals((event.localAddr as { hostname: string }).hostname, "127.0.0.1");
});

/** Sends and reads as fast as it goes, until disposed of. */
function pump({ client, server }: { client: MptcpConn; server: MptcpConn }): AsyncDisposable {
  let stopped = false;
  const chunk = new Uint8Array(1 << 16);
  const sending = (async () => {
    while (!stopped) await writeAll(client, chunk);
    await client.closeWrite();
  })();
  const reading = (async () => {
    while (await server.read(new Uint8Array(1 << 16)) !== null);
  })();
  return {
    async [Symbol.asyncDispose]() {
      stopped = true;
      await Promise.all([sending, reading]);
    },
  };
}

test("monitor shows the rates of both subflows on a terminal, of any size, and restores it", {
  skip: noTerminal ?? noPaths,
}, async () => {
  await using setup = await setUp({ rate: 100 });
  const words = ["monitor", "--interval", "0.2", "--netns", setup.lab.client.name];
  using session = new TerminalSession(mptcpCommand(words), { NO_COLOR: "1" });
  await session.until(/^MPTCP +0 connections, 0 subflows/m);
  assertEquals(session.query("#{alternate_on} #{cursor_flag}"), "1 0");
  using ends = await connect(setup, SERVER.v4[0]);
  setup.serverPaths.addEndpoint({ address: SERVER.v4[1], signal: true });
  await subflowsBecome(ends, 2);
  {
    await using _ = pump(ends);
    const path = String
      .raw`path +10\.77\.\d\.1:\d+ +10\.77\.\d\.2:\d+ +ESTABLISHED .* Mbit/s +\S+ k?bit/s`;
    const screen = await session.until(new RegExp(`├ ${path}\n└ ${path}`));
    assert(/^MPTCP +1 connection, 2 subflows, sending \S+ Mbit\/s/.test(screen), screen);
    assert(
      /subflow-established +10\.77\.2\.1:\d+ -> 10\.77\.2\.2:\d+ \(addresses/.test(screen),
      screen,
    );
    session.resize(60, 10);
    const small = await session.until(/^MPTCP[^]*^Press q or Ctrl-C to quit$/m);
    assert(small.trimEnd().split("\n").every((line) => line.length <= 60), small);
    assertStringIncludes(small, "MPTCP");
  }
  session.press("q");
  const screen = await session.until(/^status 0$/m);
  assert(!screen.includes("MPTCP"), screen);
  assertEquals(session.query("#{alternate_on} #{cursor_flag}"), "0 1");
});

test("with more connections than monitor describes it counts the lines of all of them", {
  skip: noTerminal ?? skip,
}, async () => {
  using netns = createNetns("many");
  using stack = new DisposableStack();
  for (let i = 0; i < 110; i++) {
    stack.use(await connectedPair({ netns: netns.name }, { netns: netns.name }));
  }
  const words = ["monitor", "--interval", "0.2", "--netns", netns.name];
  using session = new TerminalSession(mptcpCommand(words), { NO_COLOR: "1" });
  const screen = await session.until(/lines more/);
  assert(/^MPTCP +220 connections, 220 subflows/m.test(screen), screen);
  // A line for the end of each, and one for its path; 200 of them are described.
  const [, hidden] = /^\.\.\. and (\d+) lines more$/m.exec(screen)!;
  const shown = screen.split("\n").filter((line) => /127\.0\.0\.1/.test(line)).length;
  assertEquals(Number(hidden) + shown, 440, screen);
  session.press("q");
  await session.until(/^status 0$/m);
});

test("Ctrl-C and SIGTERM end the table of monitor and restore the terminal", {
  skip: noTerminal ?? skip,
}, async () => {
  using netns = createNetns("ends");
  for (const [way, status] of [["C-c", 130], ["SIGTERM", 143], ["stdin", 130]] as const) {
    // A shell that tells its process id and becomes the program.
    const shell = [
      "sh",
      "-c",
      `echo pid $$; exec "$@"${way === "stdin" ? " </dev/null" : ""}`,
      "sh",
    ];
    using session = new TerminalSession([
      ...shell,
      ...mptcpCommand(["monitor", "--netns", netns.name]),
    ]);
    const [, pid] = /pid (\d+)/.exec(await session.until(/pid \d+|to quit/)) ?? [];
    await session.until(/to quit/);
    if (way === "SIGTERM") process.kill(Number(pid), way);
    else session.press("C-c");
    await session.until(new RegExp(`status ${status}$`, "m"));
    assertEquals(session.query("#{alternate_on} #{cursor_flag}"), "0 1");
  }
});

test("a line is cut to the columns that there are, whatever its colours", () => {
  assertEquals(cut("abcdef", 3), "abc");
  assertEquals(cut("\x1b[1mabc\x1b[0mdef", 4), "\x1b[1mabc\x1b[0md");
  assertEquals(cut("\x1b[1mabcdef\x1b[0m", 2), "\x1b[1mab\x1b[0m");
  assertEquals(cut("├ é", 9), "├ é");
});

test("every event has a line", () => {
  const ends = {
    localAddr: { hostname: "10.0.0.1", port: 5 },
    remoteAddr: { hostname: "fd00::2", port: 80 },
  };
  const token = 0xabc;
  const ids = { localId: 0, remoteId: 2 };
  const events: [MptcpEvent, string][] = [
    [
      { type: "created", token, ...ends, serverSide: true, denyJoinInitialAddr: false },
      "10.0.0.1:5 -> [fd00::2]:80 as server",
    ],
    [{ type: "closed", token }, "closed"],
    [
      { type: "announced", token, remoteId: 3, remoteAddr: ends.remoteAddr },
      "[fd00::2]:80 as address 3 of the peer",
    ],
    [{ type: "removed", token, remoteId: 3 }, "address 3 of the peer"],
    [{
      type: "subflow-closed",
      token,
      ...ends,
      ...ids,
      backup: true,
      error: "ECONNRESET",
      resetReason: 4,
    }, "(addresses 0 and 2, backup, ECONNRESET, reset, reason 4)"],
    [{ type: "listener-created", localAddr: { hostname: "::", port: 80 } }, "[::]:80"],
    [{ type: "lost" }, "events came faster than they were read"],
    [
      {
        type: "state",
        connections: [],
        endpoints: [],
        limits: { subflows: 2, addAddrAccepted: 0 },
      },
      "0 connections, 0 endpoints",
    ],
    [{ type: "unknown", number: 77 }, "number 77"],
  ];
  for (const [event, end] of events) {
    const line = eventLine(event, new Date(2026, 0, 1, 9, 8, 7, 65));
    const name = "token" in event ? "00000abc" : "-       ";
    assert(line.startsWith(`09:08:07.065  ${name}  ${event.type}`) && line.endsWith(end), line);
  }
});

test("rates are bytes by time, 0 for what is new, and retransmissions do not count", () => {
  const describe = () => assert(false, "nothing is described") as never;
  const at = (sent: number): ListedConnection[] => [
    { token: 1, describe, subflows: [{ key: 7, sent, received: 0, describe }] },
  ];
  const meter = new RateMeter();
  const rate = (listed: ListedConnection[], time: number) => meter.measure(listed, time)[0]?.rates;
  assertEquals(rate(at(1000), 0), { sent: 0, received: 0 });
  assertEquals(rate(at(2500), 500), { sent: 3000, received: 0 });
  assertEquals(rate([], 1000), undefined);
  assertEquals(rate(at(9000), 1500), { sent: 0, received: 0 });
});

test("the traffic of a namespace is that which its connections tell themselves", {
  skip: noPaths,
}, async () => {
  await using setup = await setUp();
  setup.serverPaths.addEndpoint({ address: SERVER.v4[1], signal: true, backup: true });
  using ends = await connect(setup, SERVER.v4[0]);
  await subflowsBecome(ends, 2);
  await writeAll(ends.client, new Uint8Array(100_000));
  await readUpTo(ends.server, 100_000);
  for (
    const [conn, host] of [[ends.client, setup.lab.client], [
      ends.server,
      setup.lab.server,
    ]] as const
  ) {
    const [traffic, ...others] = listTraffic(host.name);
    assertEquals(others, []);
    assertEquals(traffic!.token, conn.info()!.token);
    const key = ({ localAddr, remoteAddr }: { localAddr: object; remoteAddr: object }) =>
      JSON.stringify([localAddr, remoteAddr]);
    const subflows = traffic!.subflows.map((subflow) => subflow.describe());
    assertEquals(subflows.map(key).sort(), conn.subflows().map(key).sort());
    const total = traffic!.subflows.reduce((sum, { received }) => sum + received, 0);
    assert(total >= (conn === ends.server ? 100_000 : 4), String(total));
    assertEquals(subflows.map(({ backup }) => backup).filter(Boolean).length, 1);
  }
});

test("monitor of a namespace that does not exist is an error", async () => {
  const { status, stderr } = await mptcp(["monitor", "--netns", "mp-test-none"]);
  assertEquals(status, 1);
  assertStringIncludes(stderr, 'mptcp monitor: network namespace "mp-test-none"');
});
