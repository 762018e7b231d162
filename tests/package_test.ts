import { assertEquals, assertStringIncludes } from "@std/assert";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { spawnSync } from "node:child_process";
import { connectMptcp } from "../mod.ts";
import { VERSION } from "../src/cli/version.ts";
import { test } from "./harness.ts";
import { LineProcess, missingProgram, ROOT } from "./processes.ts";
import { bytesOf, delay, readUpTo } from "./sockets.ts";
import { temporaryFolder } from "./temporary.ts";

const only = { runtime: "bun", reason: "it is about Bun's own tools" } as const;

/** An echo over loopback that says what it was; ends by itself. */
const ECHO = `
import { connectMptcp, listenMptcp, type MptcpConn } from "@multipath/mptcp";

const listener = listenMptcp({ hostname: "127.0.0.1" });
const accepted = listener.accept();
const conn: MptcpConn = await connectMptcp({ port: listener.addr.port });
using server = await accepted;
const echo = server.readable.pipeTo(server.writable);
await conn.write(new TextEncoder().encode("packed"));
const buf = new Uint8Array(16);
// Long enough for the waker to be needed.
await new Promise((resolve) => setTimeout(resolve, 50));
const count: number | null = await conn.read(buf);
console.log(new TextDecoder().decode(buf.subarray(0, count ?? 0)), conn.protocol === server.protocol);
conn.close();
await echo;
listener.close();
`;

/** The program, imported. */
const CLI = `
import { main } from "@multipath/mptcp/cli";

const status: number = await main(["check", "--json"]);
console.log(status === 0 || status === 3);
`;

/** What has to be right, and what has to be wrong, in every project. */
const TYPES = `
import { connectMptcp, listenMptcp, type MptcpConn } from "@multipath/mptcp";
import { createMptcpClient, fetchMptcp, serveMptcp } from "@multipath/mptcp/http";
import { MptcpPathManager } from "@multipath/mptcp/path-manager";
import { proxyMptcp } from "@multipath/mptcp/proxy";

const client = createMptcpClient();
// @ts-expect-error: a number is nothing to fetch
client.fetch(42);
// @ts-expect-error: a number is nothing to fetch
fetchMptcp(42);
// @ts-expect-error: a method is a text
fetchMptcp("http://localhost", { method: 7 });
const response: Response = await fetchMptcp(new URL("http://localhost"), { method: "POST" });
const text: string = await response.text();
const conn: MptcpConn = await connectMptcp({ port: 1, signal: AbortSignal.timeout(1) });
const stream: ReadableStream<Uint8Array> = conn.readable;
// @ts-expect-error: a signal is no number
connectMptcp({ port: 1, signal: 5 });
// @ts-expect-error: a listener cannot require that its peers speak MPTCP
listenMptcp({ mptcp: "require-peer" });
serveMptcp((request, info) => new Response((request.url satisfies string) + info.protocol));
// @ts-expect-error: a handler gives a Response
serveMptcp(() => 42);
void [MptcpPathManager, proxyMptcp, text, stream];
`;

const STRICT = {
  target: "esnext",
  strict: true,
  noEmit: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
};

/** Projects as people have them: that of `bun init`, one for Node's resolution, one for browsers. */
const PROJECTS: Readonly<Record<string, object>> = {
  "bun-init.json": {
    lib: ["ESNext"],
    module: "Preserve",
    moduleResolution: "bundler",
    moduleDetection: "force",
    allowImportingTsExtensions: true,
    verbatimModuleSyntax: true,
    types: ["bun"],
  },
  "nodenext.json": {
    lib: ["ESNext"],
    module: "NodeNext",
    moduleResolution: "NodeNext",
    types: ["bun"],
  },
  "dom.json": {
    lib: ["ESNext", "DOM", "DOM.AsyncIterable"],
    module: "ESNext",
    moduleResolution: "bundler",
    types: [],
  },
};

function run(command: string, args: string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
  assertEquals(status, 0, `${command} ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

/** A Node.js of the PATH, and whether it has what this module needs. */
function findNode(): { node: string; isOld: boolean } | null {
  const node = process.env.MPTCP_NODE ?? "node";
  const probe = ["-p", "!process.getBuiltinModule?.('node:ffi')"];
  const { stdout, status } = spawnSync(node, probe, { encoding: "utf8" });
  return status === 0 ? { node, isOld: stdout === "true\n" } : null;
}

/** On Node.js the package runs, or says what it needs, whatever is imported. */
function checkOnNode(project: string): void {
  const found = findNode();
  if (found === null) return;
  const { node, isOld } = found;
  for (const entry of ["", "/http", "/path-manager", "/proxy", "/cli"]) {
    writeFileSync(join(project, "import.mjs"), `import "@multipath/mptcp${entry}";`);
    const { status, stderr } = spawnSync(node, ["import.mjs"], { cwd: project, encoding: "utf8" });
    assertEquals(status, isOld ? 1 : 0, stderr);
    if (isOld) assertStringIncludes(stderr, "needs Node.js 26 or later");
  }
  if (!isOld) assertEquals(run(node, ["echo.ts"], project), "packed true\n");
}

test("the packed tarball installs into an empty folder, runs, and fits every project's types", {
  only,
  skip: missingProgram("npm"),
  timeout: 240_000,
}, () => {
  using folder = temporaryFolder();
  const project = folder.at("project");
  run("npm", ["pack", "--pack-destination", folder.path], ROOT);
  const tarball = readdirSync(folder.path).find((name) => name.endsWith(".tgz"))!;
  run("mkdir", [project], folder.path);
  writeFileSync(join(project, "package.json"), '{ "name": "user", "type": "module" }');
  run(process.execPath, ["add", folder.at(tarball)], project);
  writeFileSync(join(project, "echo.ts"), ECHO);
  assertEquals(run(process.execPath, ["echo.ts"], project), "packed true\n");
  checkOnNode(project);
  // Its first line names bun, which is to be found.
  const path = `PATH=${ROOT}node_modules/.bin:${process.env.PATH}`;
  const program = "node_modules/.bin/mptcp";
  assertEquals(run("env", [path, program, "--version"], project), `mptcp ${VERSION}\n`);
  writeFileSync(join(project, "cli.ts"), CLI);
  const [support, outcome] = run(process.execPath, ["cli.ts"], project).split("\n");
  assertEquals([typeof JSON.parse(support!).supported, outcome], ["boolean", "true"]);

  writeFileSync(join(project, "types.ts"), TYPES);
  for (const [name, options] of Object.entries(PROJECTS)) {
    const compilerOptions = { ...STRICT, typeRoots: [`${ROOT}node_modules/@types`], ...options };
    const files = ["echo.ts", "cli.ts", "types.ts"];
    writeFileSync(join(project, name), JSON.stringify({ compilerOptions, files }));
    run(`${ROOT}node_modules/.bin/tsc`, ["-p", name], project);
  }
  // It takes ten seconds to check its own libraries.
  const oldest = [`${ROOT}node_modules/typescript-5.7/bin/tsc`, "-p", "bun-init.json"];
  run(process.execPath, [...oldest, "--skipLibCheck"], project);
});

test("bun build --compile makes a program of the echo example", { only }, async () => {
  using folder = temporaryFolder();
  const program = folder.at("echo");
  const example = `${ROOT}examples/echo.ts`;
  run(process.execPath, ["build", "--compile", example, "--outfile", program], ROOT);
  await using echo = new LineProcess([program, "0"]);
  const port = Number(/^Port (\d+)/.exec(await echo.nextLine())![1]);
  using conn = await connectMptcp({ port });
  for (const word of ["compiled", "and", "awake"]) {
    // Long enough for the waker to be needed.
    await delay(50);
    await conn.write(bytesOf(word));
    assertEquals(await readUpTo(conn, word.length), bytesOf(word));
  }
});
