import { assertEquals, assertMatch } from "@std/assert";
import { writeFileSync } from "node:fs";
import { IPPROTO_MPTCP, IPPROTO_TCP } from "../ffi/linux/abi.ts";
import { unsupportedPlatform } from "../ffi/runtime.ts";
import { connectMptcp, listenFds, MptcpError, mptcpSupport } from "../mod.ts";
import { activated, withVariables } from "./activator.ts";
import { test } from "./harness.ts";
import { LineProcess, missingProgram, ROOT, runtimeCommand } from "./processes.ts";
import { bytesOf, readUpTo } from "./sockets.ts";
import { type TemporaryFolder, temporaryFolder } from "./temporary.ts";

const skip = missingProgram("python3") ?? mptcpSupport().fallback?.detail ?? null;

/** The command that runs a program as an activated service. */
function service(protocols: readonly number[], variables: string, program: string): string[] {
  return activated(protocols, variables, [...runtimeCommand(PERMISSIONS), program]);
}

function writeProgram(folder: TemporaryFolder, text: string): string {
  const path = folder.at("service.ts");
  writeFileSync(path, text);
  return path;
}

const PERMISSIONS = ["--allow-ffi"];
const MOD = JSON.stringify(`${ROOT}mod.ts`);

test("listeners that a service manager has opened are taken by their names", {
  skip,
}, async () => {
  using folder = temporaryFolder();
  const program = writeProgram(
    folder,
    `import { listenFds, listenMptcp } from ${MOD};
     const fds = listenFds();
     for (const { fd, name } of fds) {
       const listener = listenMptcp({ fd });
       const { protocol, fallback, addr: { port } } = listener;
       console.log(JSON.stringify({ fd, name, protocol, reason: fallback?.reason ?? null, port }));
       (async () => {
         for await (const conn of listener) {
           const buf = new Uint8Array(4);
           await conn.write(buf.subarray(0, await conn.read(buf)));
           conn.close();
           listener.close();
         }
       })();
     }`,
  );
  const variables = "LISTEN_PID=PID LISTEN_FDS=2 LISTEN_FDNAMES=web:plain";
  await using running = new LineProcess(service([IPPROTO_MPTCP, IPPROTO_TCP], variables, program));
  const [web, plain] = [await running.next<Line>(), await running.next<Line>()];
  const { port: _, ...first } = web;
  assertEquals(first, { fd: 3, name: "web", protocol: "mptcp", reason: null });
  const { port: __, ...second } = plain;
  assertEquals(second, { fd: 4, name: "plain", protocol: "tcp", reason: "descriptor" });
  for (const { port, protocol } of [web, plain]) {
    using conn = await connectMptcp({ port });
    assertEquals(conn.protocol, protocol);
    await conn.write(bytesOf("ping"));
    assertEquals(await readUpTo(conn, 4), bytesOf("ping"));
  }
});

interface Line {
  readonly fd: number;
  readonly name: string;
  readonly protocol: string;
  readonly reason: string | null;
  readonly port: number;
}

/** The variables, and what comes of them. */
const CASES: readonly (readonly [variables: string, outcome: RegExp])[] = [
  ["LISTEN_PID=PID LISTEN_FDS=1", /^\[\{"fd":3,"name":"unknown"\}\]$/],
  ["LISTEN_PID=PID LISTEN_FDS=1 LISTEN_FDNAMES=", /^\[\{"fd":3,"name":""\}\]$/],
  ["LISTEN_PID=1 LISTEN_FDS=1", /^\[\]$/],
  ["LISTEN_FDS=1", /^\[\]$/],
  ["LISTEN_PID=PID", /^\[\]$/],
  ["LISTEN_PID=PID LISTEN_FDS=0 LISTEN_FDNAMES=", /^\[\]$/],
  ["LISTEN_PID=PID LISTEN_FDS=x", /^EINVAL .*LISTEN_FDS: expected a number, got "x"$/],
  ["LISTEN_PID=me LISTEN_FDS=1", /^EINVAL .*LISTEN_PID: expected a number, got "me"$/],
  ["LISTEN_PID=PID LISTEN_FDS=1 LISTEN_FDNAMES=a:b", /^EINVAL .*expected 1 names, .* got 2$/],
  ["LISTEN_PID=PID LISTEN_FDS=9000", /^EBADF descriptor \d+: fcntl/],
];

for (const [variables, expected] of CASES) {
  test(`listenFds with ${variables} gives ${expected.source}`, {
    skip: unsupportedPlatform(),
  }, () => {
    withVariables(variables, () => assertMatch(outcome(), expected));
  });
}

function outcome(): string {
  try {
    return JSON.stringify(listenFds());
  } catch (error) {
    if (!(error instanceof MptcpError)) throw error;
    return `${error.code} ${error.message}`;
  }
}
