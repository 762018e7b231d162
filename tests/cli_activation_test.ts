import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { writeFileSync } from "node:fs";
import { IPPROTO_MPTCP, IPPROTO_TCP } from "../ffi/linux/abi.ts";
import { unsupportedPlatform } from "../ffi/runtime.ts";
import { connectMptcp, listenMptcp, mptcpSupport } from "../mod.ts";
import { Arguments, UsageError } from "../src/cli/args/arguments.ts";
import { readDescriptors } from "../src/cli/args/descriptors.ts";
import { readListenOptions } from "../src/cli/netcat/options.ts";
import { activated, withVariables } from "./activator.ts";
import { mptcpCommand } from "./cli.ts";
import { test } from "./harness.ts";
import { LineProcess, missingProgram } from "./processes.ts";
import { bytesOf, readToEnd, readUpTo } from "./sockets.ts";
import { temporaryFolder } from "./temporary.ts";

const skip = missingProgram("python3") ?? mptcpSupport().fallback?.detail ?? null;
const HANDED = "LISTEN_PID=PID LISTEN_FDS=2 LISTEN_FDNAMES=web:plain PORTS=yes";
const BOTH = [IPPROTO_MPTCP, IPPROTO_TCP];

/** A command on two sockets that it is handed, MPTCP as "web" and TCP as "plain", and their ports. */
async function start(...args: string[]) {
  const program = new LineProcess(activated(BOTH, HANDED, mptcpCommand(args)));
  const [web, plain] = await program.next<[number, number]>();
  return { program, web, plain };
}

test("mptcp serve serves on the sockets that a service manager hands over", { skip }, async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.at("a.txt"), "hello");
  const { program, web, plain } = await start("serve", "--json", "-l", "fd@", folder.path);
  await using service = program;
  for (const [port, protocol] of [[web, "mptcp"], [plain, "tcp"]] as const) {
    // It waits in the backlog until the program runs.
    using conn = await connectMptcp({
      port,
      mptcp: protocol === "mptcp" ? "require-peer" : "prefer",
    });
    await conn.write(bytesOf("GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assertMatch(new TextDecoder().decode(await readToEnd(conn)), /^HTTP\/1\.1 200 [^]*hello$/);
    assertEquals((await service.next<{ protocol: string }>()).protocol, protocol);
  }
});

test("the first client starts mptcp proxy, and is served", { skip }, async () => {
  using backend = listenMptcp({ hostname: "127.0.0.1", mptcp: "off" });
  const variables = "LISTEN_PID=PID LISTEN_FDS=1 LISTEN_FDNAMES=front PORTS=yes FIRST=yes";
  const args = ["proxy", "--json", "fd@front", `tcp@127.0.0.1:${backend.addr.port}`];
  await using service = new LineProcess(activated([IPPROTO_MPTCP], variables, mptcpCommand(args)));
  const [port] = await service.next<[number]>();
  using conn = await connectMptcp({ port, mptcp: "require-peer" });
  await conn.write(bytesOf("ping"));
  using served = await backend.accept();
  assertEquals(await readUpTo(served, 4), bytesOf("ping"));
  const listening = await service.next<
    { event: string; protocol: string; addr: { port: number } }
  >();
  assertEquals([listening.event, listening.protocol, listening.addr.port], [
    "listening",
    "mptcp",
    port,
  ]);
});

test("mptcp listen takes a client of the sockets of a name", { skip }, async () => {
  const { program, web } = await start("listen", "--no-stdin", "fd@web");
  await using service = program;
  using conn = await connectMptcp({ port: web, mptcp: "require-peer" });
  await conn.write(bytesOf("hello\n"));
  await conn.closeWrite();
  assertEquals(await service.nextLine(), "hello");
});

/** Variables, an address, and what its error says. */
const REFUSED: readonly (readonly [variables: string, address: string, message: RegExp])[] = [
  ["", "fd@web", /^fd@web: no socket was passed to this process \(LISTEN_FDS is not set\)/],
  ["LISTEN_FDS=1 LISTEN_PID=1", "fd@", /^fd@: the sockets are for process 1, and this is \d+/],
  ["LISTEN_FDS=1", "fd@", /^fd@: the sockets are for process \(LISTEN_PID is not set\)/],
  ["LISTEN_FDS=0 LISTEN_PID=PID", "fd@", /^fd@: LISTEN_FDS is 0$/],
  ["LISTEN_FDS=x LISTEN_PID=PID", "fd@", /LISTEN_FDS: expected a number, got "x"/],
  // The standard streams and what comes next are open, whatever they are.
  [
    "LISTEN_FDS=1 LISTEN_PID=PID LISTEN_FDNAMES=web",
    "fd@no",
    /with that name .*; the names are "web"$/,
  ],
];

test("an address that is a socket which was not handed over is an error that says why", {
  skip: unsupportedPlatform(),
}, () => {
  for (const [variables, address, message] of REFUSED) {
    withVariables(variables, () => {
      const error = assertThrows(() => readDescriptors(address, new Arguments([], {})), Error);
      assertMatch(error.message, message);
    });
  }
});

test("an address that is a descriptor by its number, or none, is taken as it is", () => {
  const read = (address: string, values = {}) =>
    readDescriptors(address, new Arguments([], values));
  assertEquals(read("fd@7", { mptcp: "require" }), [{ fd: 7, mptcp: "require" }]);
  assertEquals(read("127.0.0.1:80"), null);
  const args = new Arguments(["fd@3"], { netns: "x" });
  assertThrows(() => readListenOptions(args), UsageError, "--netns has no effect");
});
