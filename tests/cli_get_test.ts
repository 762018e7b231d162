import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { mptcpSupport } from "../mod.ts";
import { serveMptcp, type ServeMptcpHandler } from "../src/http/mod.ts";
import { createSigned, noCertificate } from "./certificate.ts";
import { type CliOptions, mptcp, mptcpCommand, noTerminal, TerminalSession } from "./cli.ts";
import { CliProcess } from "./cli_process.ts";
import { test } from "./harness.ts";
import { urlOf } from "./http.ts";
import type { Finished } from "./processes.ts";
import { scripted } from "./scripted.ts";
import { delay } from "./sockets.ts";
import { temporaryFolder } from "./temporary.ts";

const noMptcp = mptcpSupport().fallback?.detail ?? null;
const BYTES = new Uint8Array(3_000_000).map((_, i) => i * 7 + (i >> 8));
const CHANGED = "Sat, 21 Nov 2026 09:30:39 GMT";

function get(args: readonly string[], options?: CliOptions): Promise<Finished> {
  return mptcp(["get", ...args], options);
}

/** Tells what was asked, or what the path names. */
const HANDLER: ServeMptcpHandler = async (request, info) => {
  const { pathname, search } = new URL(request.url);
  if (pathname === "/bytes") return new Response(BYTES);
  if (pathname === "/gone") return new Response("gone\n", { status: 410, statusText: "Gone" });
  if (pathname === "/loop") {
    return new Response(null, { status: 302, headers: { location: "/loop" } });
  }
  if (pathname === "/from") {
    return new Response("moved\n", { status: 303, headers: { location: "/to" } });
  }
  const { method, headers } = request;
  const body = await request.text();
  const told = { method, path: pathname + search, body, protocol: info.protocol };
  return Response.json({ ...told, headers: Object.fromEntries(headers) });
};

function serve(): ReturnType<typeof serveMptcp> {
  return serveMptcp({ hostname: "127.0.0.1", port: 0, engine: "node", onListen() {} }, HANDLER);
}

function head(...lines: string[]): string {
  return `${["HTTP/1.1 200 OK", `Last-Modified: ${CHANGED}`, ...lines].join("\r\n")}\r\n\r\n`;
}

test("get prints the body, and nothing else on standard output", async () => {
  await using server = serve();
  const { status, stdout, stderr } = await get([urlOf(server, "/a?b")]);
  assertEquals([status, stderr], [0, ""]);
  const { method, path, body, headers } = JSON.parse(stdout);
  assertEquals([method, path, body, headers["accept-encoding"]], ["GET", "/a?b", "", "identity"]);
  const { port } = server.addr;
  assertEquals((await get(["-s", `127.0.0.1:${port}/gone`])).stdout, "gone\n");
});

test("get sends the method, the headers and the data that it is told to", async () => {
  await using server = serve();
  using folder = temporaryFolder();
  writeFileSync(folder.at("data"), "c=3");
  const url = urlOf(server, "/");
  const ask = async (...args: string[]) => JSON.parse((await get([...args, url])).stdout);
  const post = await ask("-d", "a=1", "-d", "b=2", "-d", `@${folder.at("data")}`);
  assertEquals([post.method, post.body], ["POST", "a=1&b=2&c=3"]);
  assertEquals(post.headers["content-type"], "application/x-www-form-urlencoded");
  const put = await ask("-X", "PUT", "-d", "x", "-H", "X-One: 1", "-H", "Content-Type: text/x");
  assertEquals([put.method, put.body], ["PUT", "x"]);
  assertEquals([put.headers["x-one"], put.headers["content-type"]], ["1", "text/x"]);
});

test("get shows heads, follows redirects, and fails where it is told to", async () => {
  await using server = serve();
  const headed = await get(["-i", urlOf(server, "/gone")]);
  assertMatch(headed.stdout, /^HTTP\/1\.1 410 Gone\r\n(.*\r\n)+\r\ngone\n$/);
  const only = await get(["-I", urlOf(server, "/bytes")]);
  assertMatch(only.stdout, /^HTTP\/1\.1 200 OK\r\n(.*\r\n)+\r\n$/);
  assertEquals([headed.status, only.status], [0, 0]);

  assertEquals((await get([urlOf(server, "/from")])).stdout, "moved\n");
  const followed = await get(["-L", "-d", "x", urlOf(server, "/from")]);
  const { method, path, body } = JSON.parse(followed.stdout);
  assertEquals([method, path, body], ["GET", "/to", ""]);

  const failed = await get(["-f", urlOf(server, "/gone")]);
  assertEquals([failed.status, failed.stdout], [22, ""]);
  assertEquals(failed.stderr, `mptcp get: ${urlOf(server, "/gone")}: 410 Gone\n`);
  const silent = await get(["-sf", urlOf(server, "/gone")]);
  assertEquals([silent.status, silent.stdout, silent.stderr], [22, "", ""]);
  const secret = urlOf(server, "/gone").replace("//", "//user:password@");
  assert(!(await get(["-f", secret])).stderr.includes("password"));
  const looped = await get(["-L", urlOf(server, "/loop")]);
  assertEquals([looped.status, looped.stdout], [47, ""]);
});

test("get writes all bytes to a file, to the name of the URL, and to standard output", async () => {
  await using server = serve();
  using folder = temporaryFolder();
  const url = urlOf(server, "/bytes");
  const { status, stdout, stderr } = await get(["-o", folder.at("a"), url]);
  assertEquals([status, stdout, stderr], [0, "", ""]);
  assert(Buffer.from(BYTES).equals(readFileSync(folder.at("a"))));
  assert(!existsSync(folder.at("a.part")));
  const prefix = ["env", "-C", folder.path];
  assertEquals((await get(["-O", `${url}?x#y`], { prefix })).status, 0);
  assertEquals(statSync(folder.at("bytes")).size, BYTES.byteLength);
  const script = ["sh", "-c", `"$@" > ${folder.at("out")}`, "sh"];
  assertEquals((await get([url], { prefix: script })).status, 0);
  assert(Buffer.from(BYTES).equals(readFileSync(folder.at("out"))));
});

test("get tells by -v and --json what a connection was, and why it is TCP", {
  skip: noMptcp,
}, async () => {
  await using server = serve();
  const url = urlOf(server, "/");
  const used = await get(["-v", url]);
  assertMatch(used.stderr, /^> GET \/ HTTP\/1\.1\n(> .*\n)+>\n\* Connected to .* over MPTCP\n</);
  assertMatch(
    used.stderr,
    /\* .* over MPTCP, 1 subflow\n\* {3}127\.0\.0\.1:\d+ > 127\.0\.0\.1:\d+ /,
  );
  const off = await get(["-v", "--no-mptcp", url]);
  assertMatch(off.stderr, /over TCP: .*\n/);
  assertEquals(JSON.parse(off.stdout).protocol, "tcp");
  const json = await get(["--json", "-o", "/dev/null", urlOf(server, "/bytes")]);
  const { status, bytes, protocol, fallback, subflows } = JSON.parse(json.stdout);
  assertEquals([status, bytes, protocol, fallback], [200, BYTES.byteLength, "mptcp", null]);
  assert(subflows.length === 1 && subflows[0].bytesReceived >= BYTES.byteLength);

  const options = { hostname: "127.0.0.1", port: 0, engine: "node", mptcp: "off" } as const;
  await using plain = serveMptcp({ ...options, onListen() {} }, HANDLER);
  const modes = ["prefer", "require", "off", "require-peer"];
  const statuses = modes.map(async (mode) =>
    (await get(["-s", "--mptcp", mode, `http://127.0.0.1:${plain.addr.port}/`])).status
  );
  assertEquals(await Promise.all(statuses), [0, 0, 0, 110]);
  const required = await get(["--require-mptcp", `http://127.0.0.1:${plain.addr.port}/`]);
  assertEquals([required.status, required.stdout], [110, ""]);
  assertMatch(required.stderr, /^mptcp get: .*127\.0\.0\.1:\d+: MPTCP is required but .*\n$/);
});

for (
  const [name, answer, then, came] of [
    ["ends short of its length", `${head("Content-Length: 100")}abc`, "end", "3 B of 100 B"],
    ["breaks off in a chunk", `${head("Transfer-Encoding: chunked")}5\r\nabc`, "end", "3 B"],
    ["is reset", `${head("Content-Length: 100")}abc`, "reset", "3 B of 100 B"],
    ["has no length and is reset", `${head("Connection: close")}abc`, "reset", "3 B"],
  ] as const
) {
  test(`an answer that ${name} is a failure with status 18, and no file`, async () => {
    using folder = temporaryFolder();
    await using server = scripted(answer, then);
    const { status, stdout, stderr } = await get(["-o", folder.at("file"), server.url]);
    assertEquals([status, stdout], [18, ""]);
    assertStringIncludes(stderr, came);
    assertMatch(stderr, /^3 B kept in .*file\.part: .* -C - .*\nmptcp get: [^\n]*\n$/);
    assert(!existsSync(folder.at("file")));
    assertEquals(readFileSync(folder.at("file.part"), "utf8"), "abc");
  });
}

test("an answer is whole whose connection ends, or is reset behind its last chunk", async () => {
  for (
    const [answer, then] of [
      [`${head("Connection: close")}abc`, "end"],
      [`${head("Transfer-Encoding: chunked")}3\r\nabc\r\n0\r\n\r\n`, "reset"],
    ] as const
  ) {
    await using server = scripted(answer, then);
    const { status, stdout } = await get([server.url]);
    assertEquals([status, stdout], [0, "abc"]);
  }
});

test("get goes on with a file that is still the same, and begins anew with another", async () => {
  using folder = temporaryFolder();
  const path = folder.at("file");
  {
    await using server = scripted(`${head("Content-Length: 6")}abc`, "end");
    assertEquals((await get(["-o", path, server.url])).status, 18);
  }
  const part = head("Content-Range: bytes 3-5/6", "Content-Length: 3").replace(
    "200 OK",
    "206 Partial",
  );
  {
    await using server = scripted(`${part}def`, "end");
    const { status, stderr } = await get(["-C", "-", "-o", path, server.url]);
    assertEquals([status, stderr, readFileSync(path, "utf8")], [0, "", "abcdef"]);
    const request = server.requests[0]!.toLowerCase();
    assertStringIncludes(request, "range: bytes=3-\r\n");
    assertStringIncludes(request, `if-range: ${CHANGED.toLowerCase()}\r\n`);
  }
  const cases = [
    [`${head("Content-Length: 2")}xy`, 0, "xy"],
    [`${part.replace("3-5", "1-3")}bcd`, 33, "abcdef"],
    ["HTTP/1.1 416 No\r\nContent-Range: bytes */3\r\nContent-Length: 0\r\n\r\n", 0, "abc"],
  ] as const;
  for (const [answer, expected, content] of cases) {
    writeFileSync(path, "abcdef");
    writeFileSync(`${path}.part`, "abc");
    await using server = scripted(answer, "end");
    assertEquals((await get(["-C", "-", "-o", path, server.url])).status, expected);
    assertEquals(readFileSync(path, "utf8"), content);
  }
});

test("get goes on with what it had of a file of mptcp serve", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.at("site"));
  writeFileSync(folder.at("site/big"), BYTES);
  const { mtime } = statSync(folder.at("site/big"));
  writeFileSync(folder.at("big.part"), BYTES.subarray(0, 1_000_000));
  utimesSync(folder.at("big.part"), mtime, mtime);
  await using server = new CliProcess(["serve", "-l", "127.0.0.1:0", folder.at("site")]);
  const [, url] = await server.until("stderr", /(http:\S+)/);
  const args = ["--json", "-C", "-", "-o", folder.at("big"), `${url}big`];
  const { status, stdout } = await get(args);
  assertEquals([status, JSON.parse(stdout).bytes], [0, 2_000_000]);
  assert(Buffer.from(BYTES).equals(readFileSync(folder.at("big"))));
});

test("get gives up in time, and leaves no file that claims to be whole", async () => {
  using folder = temporaryFolder();
  await using server = scripted(`${head("Content-Length: 100")}abc`, "wait");
  const late = await get(["--max-time", "1.5", "-o", folder.at("file"), server.url]);
  assertEquals(late.status, 28);
  assertMatch(late.stderr, /not complete after 1\.5 s \(--max-time\)\n$/);
  assert(late.milliseconds < 8000);
  await using interrupted = new CliProcess(["get", "-o", folder.at("other"), server.url]);
  const deadline = Date.now() + 10_000;
  while (!existsSync(folder.at("other.part")) || statSync(folder.at("other.part")).size < 3) {
    assert(Date.now() < deadline);
    await delay(20);
  }
  assertEquals(await interrupted.kill("SIGINT"), 130);
  assertEquals(["file", "other"].map((name) => existsSync(folder.at(name))), [false, false]);
  assertMatch(interrupted.stderr, /^3 B kept in .*other\.part/);
});

for (
  const [args, status, message] of [
    [["http://no.such.name.invalid/"], 6, "no.such.name.invalid"],
    [["http://127.0.0.1:9/"], 7, ""],
    [["ftp://127.0.0.1/"], 3, "only http:// and https:// URLs are supported"],
    [["http://[::1"], 3, "is not a URL"],
    [["-d", "@/nosuch", "http://127.0.0.1/"], 26, "cannot read /nosuch"],
    [["--cacert", "/etc/passwd", "https://127.0.0.1/"], 77, "no certificate"],
    [["--mptcp=require", "--no-mptcp", "x"], 2, "exclude each other"],
    [["-O", "http://127.0.0.1/"], 2, "use -o FILE"],
    [["-I", "-d", "x", "http://127.0.0.1/"], 2, "HEAD has no body"],
    [["--json", "http://127.0.0.1/"], 2, "add -o FILE"],
    [["-C", "-", "http://127.0.0.1/"], 2, "needs a file"],
    [["-H", "nonsense", "http://127.0.0.1/"], 2, '"Name: value"'],
    [["--max-time", "x", "http://127.0.0.1/"], 2, "--max-time takes a number"],
    [[], 2, "expected URL"],
  ] as const
) {
  test(`"get ${args.join(" ")}" fails with status ${status}`, async () => {
    const result = await get(args);
    assertEquals([result.status, result.stdout], [status, ""]);
    assertStringIncludes(result.stderr, message);
    if (!args.includes("--json" as never)) {
      assertMatch(result.stderr, /^mptcp get: [^\n]+\n(Try "mptcp get --help".\n)?$/);
    } else {
      assertEquals(JSON.parse(result.stderr).error.code, "ERR_USAGE");
    }
  });
}

test("what is no HTTP, and files that cannot be written, have statuses of their own", async () => {
  await using server = serve();
  const url = urlOf(server, "/bytes");
  const outcomes = [
    [["-o", "/dev/full", url], 23],
    [["-o", "/nosuch/file", url], 23],
    [["-o", "/tmp", url], 23],
  ] as const;
  for (const [args, status] of outcomes) assertEquals((await get(args)).status, status);
  const full = await get([url], { prefix: ["sh", "-c", '"$@" >/dev/full', "sh"] });
  assertEquals(full.status, 23);
  assertMatch(full.stderr, /^mptcp get: cannot write standard output: [^\n]+\n$/);
  await using closing = scripted("", "end");
  assertEquals((await get([closing.url])).status, 52);
  await using other = scripted("220 mail.example ESMTP\r\n", "end");
  assertEquals((await get([other.url])).status, 8);
});

test(
  "get takes certificates that are trusted, and no others",
  { skip: noCertificate },
  async () => {
    using folder = temporaryFolder();
    const { ca, cert, key } = createSigned();
    writeFileSync(folder.at("ca.pem"), ca);
    const options = { hostname: "127.0.0.1", port: 0, engine: "node", onListen() {} } as const;
    await using server = serveMptcp({ ...options, cert, key }, () => new Response("safe"));
    const url = `https://localhost:${server.addr.port}/`;
    assertEquals((await get(["--cacert", folder.at("ca.pem"), url])).stdout, "safe");
    const { status, stderr } = await get([url]);
    assertEquals(status, 60);
    assertMatch(stderr, /^mptcp get: localhost:\d+: [^\n]+\n$/);
    await using plain = serve();
    assertEquals((await get([urlOf(plain, "/", "https")])).status, 35);
  },
);

test("on a terminal get draws a bar, and Ctrl-C ends it with status 130", {
  skip: noTerminal,
}, async () => {
  using folder = temporaryFolder();
  await using server = scripted(`${head("Content-Length: 100")}${"x".repeat(50)}`, "wait");
  using session = new TerminalSession(mptcpCommand(["get", "-o", folder.at("file"), server.url]));
  await session.until(/file +▕█+ +▏ 50% +50 B of 100 B/);
  session.press("C-c");
  const screen = await session.until(/status 130/);
  assertStringIncludes(screen, "50 B kept in");
  assertEquals([...screen.matchAll(/50 B of/g)].length, 1);
  assert(!existsSync(folder.at("file")));

  await using bytes = serve();
  using binary = new TerminalSession(mptcpCommand(["get", urlOf(bytes, "/bytes")]));
  await binary.until(/the body is binary[^]*status 23/);
});
