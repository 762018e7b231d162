import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { spawnSync } from "node:child_process";
import { absoluteLinks, withJsrNames, withRepository } from "../.ci/prepare_release.ts";
import { connectMptcp, mptcpSupport } from "../mod.ts";
import { proxyMptcp } from "../src/proxy/mod.ts";
import { VERSION } from "../src/cli/version.ts";
import { linksOf, outputsOf, pageText, snippetsOf } from "./documents.ts";
import { runtime, test } from "./harness.ts";
import { presentNode } from "./node_program.ts";
import { LineProcess, missingProgram, ROOT, runToEnd } from "./processes.ts";
import { missingService, startService } from "./services.ts";
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

/** The same where there are types of Node, which `@multipath/mptcp/node` is made of. */
const NODE_TYPES = `
import { Socket } from "node:net";
import { createConnection, createServer, HttpAgent, MptcpSocket } from "@multipath/mptcp/node";

const socket: Socket = new MptcpSocket({ mptcp: "require" });
createServer((socket) => void socket.pipe(socket)).listen(0);
// @ts-expect-error: there is no such mode
new HttpAgent({ mptcp: "always" });
// @ts-expect-error: a port is needed
createConnection({ host: "localhost" });
void socket;
`;

/** The same where there are types of Bun: what was written for `Bun.serve`. */
const BUN_TYPES = `
import { serveMptcp } from "@multipath/mptcp/http";

type Server = Bun.Server<{ name: string }>;
const websocket: Bun.WebSocketHandler<{ name: string }> = { message: (ws, text) => void ws.send(text) };
function fetch(this: Server, request: Request, server: Server): Response | undefined {
  if (server.upgrade(request, { data: { name: "x" } })) return;
  return new Response(server.requestIP(request)?.address ?? this.url.href);
}
serveMptcp({ port: process.env.PORT, fetch, websocket, idleTimeout: 30, error: ({ message }: Error) => new Response(message) });
serveMptcp({ routes: { "/": new Response("home") }, fetch: async (_request: Request, server: Server) => new Response(server.id) });
serveMptcp({ websocket, fetch: (request, info) => new Response(request.url + info.protocol) });
// @ts-expect-error: an answer is a Response, or nothing
serveMptcp({ fetch: (_request: Request, _server: Server) => 42 });
// @ts-expect-error: Bun.serve has no such option
serveMptcp({ fetch, idleTimeOut: 30 });
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

/** A Node.js, and whether it has what this module needs. */
function findNode(): { node: string; isOld: boolean } | null {
  const node = presentNode() ?? "node";
  const probe = ["-p", "!process.getBuiltinModule?.('node:ffi')"];
  const { stdout, status } = spawnSync(node, probe, { encoding: "utf8" });
  return status === 0 ? { node, isOld: stdout === "true\n" } : null;
}

/** On Node.js the package runs, or says what it needs, whatever is imported. */
function checkOnNode(project: string): void {
  const found = findNode();
  if (found === null) return;
  const { node, isOld } = found;
  for (const entry of ["", "/http", "/path-manager", "/proxy", "/node", "/cli"]) {
    writeFileSync(join(project, "import.mjs"), `import "@multipath/mptcp${entry}";`);
    const { status, stderr } = spawnSync(node, ["import.mjs"], { cwd: project, encoding: "utf8" });
    assertEquals(status, isOld ? 1 : 0, stderr);
    if (isOld) assertStringIncludes(stderr, "needs Node.js 26 or later");
  }
  if (!isOld) assertEquals(run(node, ["echo.ts"], project), "packed true\n");
}

let packed: string | null = null;

/** The path of the packed tarball; packed once, and removed when the process ends. */
function tarballPath(): string {
  if (packed !== null) return packed;
  const folder = temporaryFolder();
  process.once("exit", () => folder[Symbol.dispose]());
  run("npm", ["pack", "--pack-destination", folder.path], ROOT);
  return packed = folder.at(readdirSync(folder.path).find((name) => name.endsWith(".tgz"))!);
}

/** How the README starts its programs, on each runtime. */
const STARTS: Readonly<Record<string, (file: string) => string[]>> = {
  bun: (file) => [process.execPath, file],
  deno: (file) => {
    const net = ["http.ts", "fetch.ts"].includes(file) ? ["--allow-net"] : [];
    return ["deno", "run", "--quiet", "--allow-ffi", ...net, file];
  },
};

/** Waits until a command ends well, and gives what it printed. */
async function eventually(command: string[], cwd: string): Promise<string> {
  for (let tries = 0;; tries++) {
    const { status, stdout, stderr } = await runToEnd(command, { cwd });
    if (status === 0) return stdout;
    assert(tries < 100 && /ECONNREFUSED|refused/.test(stderr), stderr);
    await delay(50);
  }
}

test("from an empty folder, the README's programs print what it shows, on Bun and on Deno", {
  only,
  skip: missingProgram("npm") ?? missingProgram("deno") ?? mptcpSupport().fallback?.detail ?? null,
  timeout: 240_000,
}, async () => {
  const readme = pageText("README.md");
  const printed = outputsOf(readme);
  using folder = temporaryFolder();
  for (const [name, start] of Object.entries(STARTS)) {
    const project = folder.at(name);
    mkdirSync(project);
    run(
      "npm",
      ["install", "--silent", "--no-audit", "--no-fund", "--offline", tarballPath()],
      project,
    );
    for (const { file, text } of snippetsOf(readme)) {
      if (file !== null) writeFileSync(join(project, file), text);
    }
    await using server = new LineProcess(start("server.ts"), "", project);
    assertEquals(await eventually(start("client.ts"), project), printed.get("client.ts"));
    assertEquals(await server.nextLine() + "\n", printed.get("server.ts"));
    await using _http = new LineProcess(start("http.ts"), "", project);
    assertEquals(
      (await eventually(start("fetch.ts"), project)).trimEnd() + "\n",
      printed.get("fetch.ts"),
    );
    await server.kill();
  }
});

test("the tarball has the changes and the licence, and the program's code once", {
  only,
  skip: missingProgram("npm"),
  timeout: 120_000,
}, () => {
  const files = run("tar", ["tzf", tarballPath()], ROOT).trim().split("\n");
  for (const name of ["README.md", "LICENSE", "CHANGELOG.md", "dist/cli.js"]) {
    assert(files.includes(`package/${name}`), name);
  }
  assertEquals(files.filter((name) => name.includes("/src/cli/")), [
    "package/dist/src/cli/mod.d.ts",
  ]);
});

test("a release has absolute links, and says where its repository is", () => {
  const readme = absoluteLinks(pageText("README.md"), "https://example.org/owner/name", "v1.2.3");
  assertEquals(linksOf(readme).filter((link) => !/^(https:|#)/.test(link)), []);
  assertStringIncludes(readme, "(https://example.org/owner/name/raw/v1.2.3/docs/plots/cut.svg)");
  const text = readFileSync(`${ROOT}package.json`, "utf8");
  const project = JSON.parse(withRepository(text, "https://example.org/owner/name"));
  assertEquals(project.repository.url, "git+https://example.org/owner/name.git");
});

test("what is published imports @std from JSR", () => {
  const { imports } = JSON.parse(withJsrNames(readFileSync(`${ROOT}deno.json`, "utf8")));
  const names = ["mod.ts", ...sourcesOf("ffi"), ...sourcesOf("src")].flatMap((path) => {
    const text = readFileSync(`${ROOT}${path}`, "utf8");
    return [...text.matchAll(/^(?:import|export|}).* from "(@std[^"]+)";$/gm)].map(([, name]) =>
      name!
    );
  });
  assertEquals(names.sort().map((name) => imports[name]), [
    "jsr:@std/cli@^1.0.0/parse-args",
    "jsr:@std/http@^1.0.0/server-sent-event-stream",
    "jsr:@std/http@^1.0.0/status",
  ]);
});

function sourcesOf(folder: string): string[] {
  return readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts")).map((name) => `${folder}/${name}`);
}

test("deno task demo downloads the standard library alone", {
  only,
  skip: missingProgram("deno"),
}, () => {
  // `deno task` itself must not install the packages of the tests first.
  using folder = temporaryFolder();
  for (const name of ["deno.json", "package.json", "deno.lock"]) {
    writeFileSync(folder.at(name), readFileSync(`${ROOT}${name}`));
  }
  run("mkdir", [folder.at("bench")], folder.path);
  writeFileSync(folder.at("bench/demo.ts"), `import "@std/http/status";\nconsole.log("shown");`);
  assertStringIncludes(run("deno", ["task", "demo"], folder.path), "shown");
  assert(!existsSync(folder.at("node_modules")));
  const info = "deno info --json --no-lock --node-modules-dir=none bench/demo.ts".split(" ");
  const { modules } = JSON.parse(run("env", ["DENO_NO_PACKAGE_JSON=1", ...info], ROOT)) as {
    modules: { specifier: string }[];
  };
  const packages = modules.flatMap(({ specifier }) =>
    /^npm:\/?([^@/]+)/.exec(specifier)?.[1] ?? []
  );
  // `bun` names the module of the runtime, which Deno does not load.
  assertEquals(new Set(packages).difference(new Set(["bun"])), new Set(["deno-std"]));
});

test("the packed tarball installs into an empty folder, runs, and fits every project's types", {
  only,
  skip: missingProgram("npm"),
  timeout: 240_000,
}, () => {
  using folder = temporaryFolder();
  const project = folder.at("project");
  run("mkdir", [project], folder.path);
  writeFileSync(join(project, "package.json"), '{ "name": "user", "type": "module" }');
  run(process.execPath, ["add", tarballPath()], project);
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
  writeFileSync(join(project, "node_types.ts"), NODE_TYPES);
  writeFileSync(join(project, "bun_types.ts"), BUN_TYPES);
  for (const [name, options] of Object.entries(PROJECTS)) {
    const compilerOptions = { ...STRICT, typeRoots: [`${ROOT}node_modules/@types`], ...options };
    const hasBun = "types" in options && String(options.types) !== "";
    const withBun = hasBun ? ["node_types.ts", "bun_types.ts"] : [];
    const files = ["echo.ts", "cli.ts", "types.ts", ...withBun];
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

/** A Redis client over MPTCP, as a user would write it. */
const REDIS = `
import { AbstractConnector, Redis } from "ioredis";
import { createConnection } from "@multipath/mptcp/node";

const socket = createConnection(Number(process.argv[2]), "127.0.0.1");
const redis = new Redis({ Connector: class extends AbstractConnector { connect = () => Promise.resolve(this.stream = socket); } });
console.log(await redis.set("key", "value"), await redis.get("key"), socket.protocol);
redis.disconnect();
`;

const deno = process.env.MPTCP_TEST_DENO ?? "deno";

/** How a user of each runtime starts a program. */
const COMMANDS: Readonly<Record<string, string[][]>> = {
  bun: [[process.execPath], [deno, "run", "-A", "--no-check", "--quiet"]],
  node: [[process.execPath, "--disable-warning=ExperimentalWarning"]],
  deno: [],
};

/** How a user of each installs a package. */
const INSTALL: Readonly<Record<string, string[]>> = {
  bun: [process.execPath, "add"],
  node: ["npm", "install", "--silent", "--no-audit", "--no-fund", "--offline"],
};

test("with the packed tarball alone a Redis client speaks MPTCP, on each runtime", {
  place: runtime === "deno" ? "the run on Bun has Deno too" : null,
  skip: missingProgram("npm") ?? missingService("redis") ?? mptcpSupport().fallback?.detail ??
    (deno.includes("/") ? null : missingProgram(deno)),
  timeout: 120_000,
}, async () => {
  using folder = temporaryFolder();
  const project = folder.at("project");
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{ "name": "user", "type": "module" }');
  const [program, ...args] = INSTALL[runtime]!;
  run(program!, [...args, tarballPath()], project);
  // No registry can be reached from here.
  const ioredis = realpathSync(`${ROOT}node_modules/ioredis`);
  symlinkSync(ioredis, join(project, "node_modules/ioredis"));
  writeFileSync(join(project, "redis.ts"), REDIS);
  const main = "./node_modules/@multipath/mptcp/dist/src/node/mod.js";
  const imports = {
    "@multipath/mptcp/node": main,
    "ioredis": "./node_modules/ioredis/built/index.js",
  };
  writeFileSync(join(project, "deno.json"), JSON.stringify({ imports }));

  await using redis = await startService("redis");
  const seen: string[] = [];
  await using proxy = proxyMptcp({
    front: "mptcp@127.0.0.1:0",
    back: `tcp@127.0.0.1:${redis.port}`,
    onOpen: ({ front }) => seen.push(front.protocol),
  });
  const port = String(proxy.fronts[0]!.addr.port);
  const commands = COMMANDS[runtime]!;
  for (const command of commands) {
    const there = ["sh", "-c", 'cd "$0" && exec "$@"', project, ...command, "redis.ts", port];
    const { stdout, stderr, status } = await runToEnd(there);
    assertEquals([stdout, status], ["OK value mptcp\n", 0], `${command.join(" ")}: ${stderr}`);
  }
  assertEquals(seen, commands.map(() => "mptcp"));
});
