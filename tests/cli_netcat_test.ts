import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { ERRNO } from "../ffi/linux/errno.ts";
import { SOL_TCP, TCP_MAXSEG } from "../ffi/linux/abi.ts";
import { libc } from "../ffi/runtime.ts";
import { connectMptcp, listenMptcp, type MptcpConn, MptcpError, mptcpSupport } from "../mod.ts";
import { Input } from "../src/cli/netcat/input.ts";
import { explainRefusal } from "../src/cli/netcat/options.ts";
import { Shuttle } from "../src/cli/netcat/shuttle.ts";
import type { Terminal } from "../src/cli/ui/terminal.ts";
import { listenRange } from "../src/net/listen_range.ts";
import { mptcp, mptcpCommand, noTerminal, RunningCli, TerminalSession } from "./cli.ts";
import { stubLibc } from "./faults.ts";
import { assertOpenFds, settledFds, test } from "./harness.ts";
import { noPaths, SERVER, setUp } from "./path_lab.ts";
import { createNetns, missingNamespaces } from "./processes.ts";
import {
  bytesOf,
  connectedPair,
  delay,
  LOOPBACKS,
  readToEnd,
  readUpTo,
  writeAll,
} from "./sockets.ts";
import { formatHostPort } from "../src/show.ts";

const noMptcp = mptcpSupport().fallback?.detail ?? null;

async function text(conn: MptcpConn, length: number): Promise<string> {
  return new TextDecoder().decode(await readUpTo(conn, length));
}

/** `mptcp listen` on a port of the kernel's choice, once it listens. */
async function startListening(
  where: string,
  ...options: string[]
): Promise<{ cli: RunningCli; port: number }> {
  const cli = new RunningCli(["listen", `${where}:0`, "--json", ...options]);
  const { localAddr } = await cli.event("listening") as { localAddr: { port: number } };
  return { cli, port: localAddr.port };
}

for (const hostname of LOOPBACKS) {
  const host = formatHostPort(hostname);
  for (const prefix of ["mptcp@", "tcp@"] as const) {
    const protocol = prefix.slice(0, -1);
    const skip = prefix === "mptcp@" ? noMptcp : null;

    test(`connect ${prefix}${host} sends its input, half-closes, and prints the answer`, {
      skip,
    }, async () => {
      using listener = listenMptcp({ hostname });
      const accepted = listener.accept();
      const finished = mptcp(["connect", `${prefix}${host}:${listener.addr.port}`, "--json"], {
        input: "question",
      });
      using conn = await accepted;
      assertEquals(await readToEnd(conn), bytesOf("question"));
      assertEquals(conn.protocol, protocol);
      await writeAll(conn, bytesOf("answer"));
      conn.close();
      const { status, stdout, stderr } = await finished;
      assertEquals([status, stdout], [0, "answer"]);
      const [connected, closed] = stderr.trim().split("\n").map((line) => JSON.parse(line));
      assertEquals([connected.event, connected.protocol], ["connected", protocol]);
      const { event, sent, received } = closed;
      assertEquals([event, closed.protocol, sent, received], ["closed", protocol, 8, 6]);
      assertEquals(closed.subflows.length, 1);
    });

    test(`listen ${prefix}${host} prints what comes, and sends its input`, { skip }, async () => {
      const { cli, port } = await startListening(`${prefix}${host}`);
      await using _ = cli;
      using conn = await connectMptcp({ hostname, port });
      assertEquals(conn.protocol, protocol);
      await writeAll(conn, bytesOf("question"));
      cli.child.stdin.end("answer");
      // The end of its input ends its direction, and not ours.
      assertEquals(await readToEnd(conn), bytesOf("answer"));
      await writeAll(conn, bytesOf(" and more"));
      await conn.closeWrite();
      const { status, text } = await cli.finish();
      assertEquals([status, text], [0, "question and more"]);
    });
  }
}

test("listen and connect carry megabytes both ways at once, unchanged", async () => {
  const [there, back] = [randomBytes(20 << 20), randomBytes(10 << 20)];
  const { cli, port } = await startListening("127.0.0.1");
  await using _ = cli;
  await using client = new RunningCli(["connect", `127.0.0.1:${port}`]);
  cli.child.stdin.end(back);
  client.child.stdin.end(there);
  const [atServer, atClient] = await Promise.all([cli.finish(), client.finish()]);
  assertEquals([atServer.status, atClient.status], [0, 0]);
  assert(
    Buffer.compare(atServer.output, there) === 0 && Buffer.compare(atClient.output, back) === 0,
  );
});

/** Moves chunks until that waits for longer than it ever should; gives how many bytes went. */
async function fill(move: (chunk: Uint8Array) => Promise<unknown>): Promise<number> {
  const chunk = new Uint8Array(1 << 16);
  for (let bytes = 0;; bytes += chunk.byteLength) {
    const moved = move(chunk);
    // Rejected when all is closed in the end.
    moved.catch(() => {});
    if (await Promise.race([moved, delay(700).then(() => "full")]) === "full") return bytes;
  }
}

/** What the kernel may hold of one direction: socket buffers and a pipe. */
const KERNEL_ROOM = 96 << 20;

function residentBytes(pid: number): number {
  return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
}

test("a reader of standard output that is slow holds the peer up, not bytes in memory", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const accepted = listener.accept();
  const address = `127.0.0.1:${listener.addr.port}`;
  await using cli = new RunningCli(["connect", address], { paused: true });
  using conn = await accepted;
  await writeAll(conn, bytesOf("x"));
  await delay(100);
  const before = residentBytes(cli.child.pid!);
  const filled = await fill((chunk) => writeAll(conn, chunk));
  assert(filled < KERNEL_ROOM, `${filled}`);
  const grown = residentBytes(cli.child.pid!) - before;
  assert(grown < 32 << 20, `${grown} bytes more`);
});

test("a peer that does not read holds standard input up", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const accepted = listener.accept();
  await using cli = new RunningCli(["connect", `127.0.0.1:${listener.addr.port}`]);
  using _conn = await accepted;
  const { stdin } = cli.child;
  const filled = await fill((chunk) => new Promise((resolve) => stdin.write(chunk, resolve)));
  assert(filled < KERNEL_ROOM, `${filled}`);
  stdin.on("error", () => {});
});

test("listen --keep-open takes one client after the other, and outlives one that is lost", async () => {
  const { cli, port } = await startListening("127.0.0.1", "-k");
  await using _ = cli;
  for (const [i, word] of ["first", "second", "third"].entries()) {
    using conn = await connectMptcp({ port, socketOptions: i === 1 ? { linger: 0 } : {} });
    await cli.event("accepted");
    cli.child.stdin.write(word);
    assertEquals(await text(conn, word.length), word);
    await writeAll(conn, bytesOf(`${i}`));
    if (i !== 1) await conn.closeWrite();
    else conn.close();
    await cli.event("closed").catch(() => {});
  }
  cli.signal("SIGINT");
  const { status, text: printed } = await cli.finish();
  assertEquals(status, 130);
  assert(/^01?2$/.test(printed), printed);
});

test("listen takes one connection alone: the next one is refused", async () => {
  const { cli, port } = await startListening("127.0.0.1", "-d");
  await using _ = cli;
  using _first = await connectMptcp({ port });
  await cli.event("accepted");
  const error = await connectMptcp({ port }).catch((error) => error);
  assertEquals(error.code, "ECONNREFUSED");
});

/** The first of some ports in a row that are free. */
function freePorts(length: number): number {
  for (;;) {
    using probe = listenMptcp({ hostname: "127.0.0.1" });
    const first = probe.addr.port + 1;
    try {
      for (const listener of listenRange(`127.0.0.1:${first}-${first + length - 1}`)) {
        listener.close();
      }
      return first;
    } catch (error) {
      if (!(error instanceof MptcpError || error instanceof SyntaxError)) throw error;
    }
  }
}

test("a range of ports is listened on as a whole", async () => {
  const first = freePorts(3);
  const where = `127.0.0.1:${first}-${first + 2}`;
  await using cli = new RunningCli(["listen", where, "-k", "-d", "--json"]);
  for (let port = first; port <= first + 2; port++) {
    const { localAddr } = await cli.event("listening") as { localAddr: { port: number } };
    assertEquals(localAddr.port, port);
  }
  for (let port = first; port <= first + 2; port++) {
    using conn = await connectMptcp({ port });
    await writeAll(conn, bytesOf(`${port} `));
  }
  for (let port = first; port <= first + 2; port++) await cli.event("closed");
  cli.signal("SIGTERM");
  const { status, text } = await cli.finish();
  assertEquals([status, text.trim().split(" ").map(Number).sort().join()], [
    143,
    [first, first + 1, first + 2].join(),
  ]);
});

test("a range with a port that is taken is not listened on at all", async () => {
  const first = freePorts(3);
  const where = `127.0.0.1:${first}-${first + 2}`;
  using _taken = listenMptcp({ hostname: "127.0.0.1", port: first + 1 });
  const { status, stderr } = await mptcp(["listen", where]);
  assertEquals(status, 1);
  assertStringIncludes(stderr, `listen 127.0.0.1:${first + 1}: bind: Address already in use`);
  const before = await settledFds();
  assertEquals(assertThrows(() => listenRange(where), MptcpError).code, "EADDRINUSE");
  await assertOpenFds(before);
  using _free = listenMptcp({ hostname: "127.0.0.1", port: first });
  assertThrows(() => listenRange("127.0.0.1:0-5"), RangeError, "a port range must begin at 1");
});

/** The largest segment that this end sends: what the other end has asked for, less the options. */
function sendMss(conn: MptcpConn): number {
  return conn.subflows()[0]!.tcp.sndMss!;
}

for (const prefix of ["mptcp@", "tcp@"] as const) {
  const skip = prefix === "mptcp@" ? noMptcp : null;
  test(
    `--mss holds on both sides, and only where it is given, on ${prefix}`,
    { skip },
    async () => {
      for (const mss of [[], ["--mss", "1000"]]) {
        const expected = (conn: MptcpConn) => (sendMss(conn) <= 1000) === (mss.length > 0);
        const { cli, port } = await startListening(`${prefix}127.0.0.1`, ...mss);
        await using _ = cli;
        using client = await connectMptcp({ port });
        assert(expected(client), `listen ${mss}: ${sendMss(client)}`);

        using listener = listenMptcp({ hostname: "127.0.0.1" });
        const accepted = listener.accept();
        const address = `${prefix}127.0.0.1:${listener.addr.port}`;
        await using connecting = new RunningCli(["connect", address, ...mss]);
        using server = await accepted;
        assert(expected(server), `connect ${mss}: ${sendMss(server)}`);
        assertEquals(server.protocol, prefix.slice(0, -1));
        connecting.child.stdin.end();
      }
    },
  );

  test(`--mss below what the kernel takes is refused in the command's own words, on ${prefix}`, {
    skip,
  }, async () => {
    using listener = listenMptcp({ hostname: "127.0.0.1" });
    for (
      const words of [["connect", `${prefix}127.0.0.1:${listener.addr.port}`], [
        "listen",
        `${prefix}*:0`,
      ]]
    ) {
      const { status, stdout, stderr } = await mptcp([...words, "--mss", "50"]);
      assertEquals([status, stdout], [1, ""]);
      const message = "the kernel refused the value of --mss (EINVAL): Linux accepts 88 to 32767";
      assertEquals(stderr, `mptcp ${words[0]}: ${message}\n`);
    }
  });
}

test("--mss on a kernel that has none on MPTCP sockets is refused with the way out", {
  skip: noMptcp,
}, () => {
  const real = libc();
  using _ = stubLibc({
    setsockopt: (fd, level, optname, value) =>
      level === SOL_TCP && optname === TCP_MAXSEG
        ? -ERRNO.EOPNOTSUPP
        : real.setsockopt(fd, level, optname, value),
  });
  const error = assertThrows(
    () => listenMptcp({ socketOptions: { maxSegment: 1000 } }),
    MptcpError,
  );
  const { message, code } = explainRefusal(error) as MptcpError;
  assertEquals(code, "EOPNOTSUPP");
  assertStringIncludes(message, "leave --mss out, or put tcp@ before the address");
});

test("input that cannot be read ends the connection with that error, though the peer goes on", async () => {
  using pair = await connectedPair();
  // deno-lint-ignore require-yield
  const input = new Input((async function* () {
    throw new Error("unreadable");
  })());
  const terminal = { signal: new AbortController().signal } as Terminal;
  const shuttle = new Shuttle(pair.client, terminal, { input, endsWithPeer: false });
  await assertRejects(() => shuttle.run(), Error, "unreadable");
});

test("a chunk that comes once a reader is released is for the next one, and the end stays", async () => {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const input = new Input((async function* () {
    yield await promise;
  })());
  const first = input.next();
  input.release();
  assertEquals(await first, "released");
  resolve(bytesOf("late"));
  assertEquals(await input.next(), bytesOf("late"));
  assertEquals([await input.next(), await input.next()], [null, null]);
});

test("-v says that a connection is TCP, and why", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1", mptcp: "off" });
  const accepted = listener.accept();
  const { port } = listener.addr;
  const finished = mptcp(["connect", "-v", `127.0.0.1:${port}`], { input: "12345" });
  using conn = await accepted;
  await readToEnd(conn);
  conn.close();
  const { status, stderr } = await finished;
  assertEquals(status, 0);
  const [first, second, headings, row] = stderr.split("\n") as [string, string, string, string];
  assertStringIncludes(first, `Connected to 127.0.0.1:${port} from 127.0.0.1:`);
  assertStringIncludes(first, ": TCP. ");
  assertStringIncludes(first, (noMptcp ?? "The server does not support MPTCP").slice(0, 20));
  assert(
    /^Closed after [\d.]+ s: TCP, sent 5 B, received 0 B, over 1 subflow$/.test(second),
    second,
  );
  assert(headings.startsWith("LOCAL") && row.startsWith("127.0.0.1:"), stderr);
});

test("-v tells of subflows as they come, over two paths", { skip: noPaths }, async () => {
  await using setup = await setUp();
  setup.serverPaths.addEndpoint({ address: SERVER.v4[1], signal: true });
  using listener = listenMptcp({ hostname: "::", netns: setup.lab.server.name });
  const accepted = listener.accept();
  const address = `mptcp@${SERVER.v4[0]}:${listener.addr.port}`;
  const words = ["connect", address, "--netns", setup.lab.client.name, "--json"];
  await using cli = new RunningCli(words);
  using conn = await accepted;
  const { localAddr, remoteAddr } = await cli.event("subflow") as Record<
    string,
    { hostname: string }
  >;
  assertEquals([localAddr!.hostname, remoteAddr!.hostname], ["10.77.2.1", "10.77.2.2"]);
  cli.child.stdin.end();
  await readToEnd(conn);
  conn.close();
  assertEquals((await cli.event("closed") as { subflows: unknown[] }).subflows.length, 2);
  assertEquals((await cli.finish()).status, 0);
});

test("--source says where a connection comes from", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const port = freePorts(1);
  for (
    const [source, hostname, from] of [
      ["127.0.0.9", "127.0.0.9", undefined],
      [`127.0.0.8:${port}`, "127.0.0.8", port],
    ] as const
  ) {
    const accepted = listener.accept();
    const finished = mptcp(["connect", `127.0.0.1:${listener.addr.port}`, "--source", source]);
    using conn = await accepted;
    assertEquals(conn.remoteAddr.hostname, hostname);
    if (from !== undefined) assertEquals(conn.remoteAddr.port, from);
    conn.close();
    assertEquals((await finished).status, 0);
  }
});

test("--netns is where connect and listen are", { skip: missingNamespaces() }, async () => {
  using netns = createNetns("netcat");
  const options = ["--netns", netns.name];
  const { cli, port } = await startListening("127.0.0.1", ...options);
  await using _ = cli;
  cli.child.stdin.end();
  const { status } = await mptcp(["connect", `127.0.0.1:${port}`, ...options], { input: "inside" });
  assertEquals([status, (await cli.finish()).text], [0, "inside"]);
});

test("--timeout ends a connection where nothing moves, on both sides", async () => {
  const { cli, port } = await startListening("127.0.0.1", "--timeout", "0.3");
  await using _ = cli;
  await using client = new RunningCli(["connect", `127.0.0.1:${port}`, "-w", "0.2"]);
  assertEquals(await client.errorLine(), "mptcp connect: no data was sent or received for 0.2 s");
  assertEquals((await client.finish()).status, 1);
  using conn = await connectMptcp({ port }).catch(() => null);
  assertEquals(conn, null);
});

test("a connection that is lost is an error with status 1", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1", socketOptions: { linger: 0 } });
  const accepted = listener.accept();
  await using cli = new RunningCli(["connect", `127.0.0.1:${listener.addr.port}`, "--json"]);
  using conn = await accepted;
  await cli.event("connected");
  conn.close();
  await cli.event("closed");
  assertEquals(JSON.parse(await cli.errorLine()).error.code, "ECONNRESET");
  assertEquals((await cli.finish()).status, 1);
});

for (
  const [words, status, message] of [
    [["connect", "127.0.0.1:1"], 1, "connect 127.0.0.1:1: Connection refused"],
    [["connect", "127.0.0.1:1", "--source", "nowhere"], 1, '"nowhere" is not an IP address'],
    [["connect", "127.0.0.1:1", "--source", "mptcp@[::1]"], 2, "--source takes ADDRESS"],
    [["connect", "127.0.0.1:0"], 2, "cannot connect to port 0"],
    [["connect"], 2, "expected ADDRESS"],
    [["listen", "127.0.0.1"], 2, '"127.0.0.1" has no port to listen on'],
    [["listen", "127.0.0.1:9-8"], 2, "the last port is below the first, at character 13"],
    [["listen", "0-5"], 2, "Invalid ports 0-5: a port range must begin at 1 or above"],
    [["listen", "192.0.2.9:0"], 1, "listen 192.0.2.9:0: bind: Cannot assign requested address"],
    [["listen", "0", "--mss", "0"], 2, "--mss takes a number from 1 to 65535"],
  ] as const
) {
  test(`"${words.join(" ")}" fails with status ${status}`, async () => {
    const finished = await mptcp(words);
    assertEquals([finished.status, finished.stdout], [status, ""]);
    assertStringIncludes(finished.stderr, message);
    assert(!/^\s+at /m.test(finished.stderr), finished.stderr);
  });
}

test("on a terminal lines go to and fro, and the server's end is the end", {
  skip: noTerminal,
}, async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const accepted = listener.accept();
  const address = `127.0.0.1:${listener.addr.port}`;
  using session = new TerminalSession(mptcpCommand(["connect", address]));
  using conn = await accepted;
  await writeAll(conn, bytesOf("hello there\n"));
  await session.until(/^hello there$/m);
  session.press("typed");
  session.press("Enter");
  assertEquals(await text(conn, 6), "typed\n");
  conn.close();
  await session.until(/^status 0$/m);
});

test("Ctrl-C ends connect and listen with status 130", { skip: noTerminal }, async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const accepted = listener.accept();
  const address = `127.0.0.1:${listener.addr.port}`;
  using connecting = new TerminalSession(mptcpCommand(["connect", address]));
  using listening = new TerminalSession(mptcpCommand(["listen", "-v", "127.0.0.1:0"]));
  using _conn = await accepted;
  await listening.until(/Listening/);
  for (const session of [connecting, listening]) {
    session.press("C-c");
    await session.until(/^.*status 130$/m);
  }
});

test("whoever reads standard output may stop, as head does", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const accepted = listener.accept();
  const address = `127.0.0.1:${listener.addr.port}`;
  await using cli = new RunningCli(["connect", address], { paused: true });
  using conn = await accepted;
  cli.child.stdout.destroy();
  const chunk = new Uint8Array(1 << 16);
  const error = await (async () => {
    for (;;) await writeAll(conn, chunk);
  })().catch((error) => error);
  assert(["ECONNRESET", "EPIPE"].includes(error.code), String(error));
  assertEquals((await cli.finish()).status, 0);
});

/** How a client leaves in the middle of what the server sends, and its status. */
const DEPARTURES: Record<string, [leave: (cli: RunningCli) => void, status: number]> = {
  "is interrupted": [(cli) => cli.signal("SIGINT"), 130],
  "has lost its reader": [({ child }) => void child.stdout.destroy(), 0],
};

for (const [what, [leave, expected]] of Object.entries(DEPARTURES)) {
  test(`a server that goes on sending is rid of a client that ${what}, over MPTCP`, {
    skip: noMptcp,
  }, async () => {
    using listener = listenMptcp({ hostname: "127.0.0.1", mptcp: "require" });
    const accepted = listener.accept();
    await using cli = new RunningCli(["connect", `127.0.0.1:${listener.addr.port}`]);
    using server = await accepted;
    assertEquals(server.protocol, "mptcp");
    let code = "";
    // A little at a time: what is unread when the client closes would have the kernel reset it.
    const until = performance.now() + 10_000;
    for (let i = 0; code === "" && performance.now() < until; i++) {
      if (i === 50) leave(cli);
      code = await server.write(new Uint8Array(1000)).then(() => "", ({ code }) => code);
      await delay(2);
    }
    assert(["ECONNRESET", "EPIPE"].includes(code), code);
    assertEquals((await cli.finish()).status, expected);
  });
}
