import { Buffer } from "node:buffer";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { connectMptcp, listenMptcp, mptcpSupport } from "../mod.ts";
import { serveFolder } from "../src/cli/serve/file_server.ts";
import { Folder } from "../src/cli/serve/folder.ts";
import { createMptcpClient } from "../src/http/mod.ts";
import { createSigned, noCertificate } from "./certificate.ts";
import { mptcp } from "./cli.ts";
import { CliProcess } from "./cli_process.ts";
import { test } from "./harness.ts";
import { delay, readToEnd, readUpTo, writeAll } from "./sockets.ts";
import { type TemporaryFolder, temporaryFolder } from "./temporary.ts";

const noMptcp = mptcpSupport().fallback?.detail ?? null;
const BIG = new Uint8Array(3_000_000).map((_, i) => i * 7 + (i >> 8));

/** A folder with all that can be in one. */
function createSite(): TemporaryFolder {
  const site = temporaryFolder();
  const folder = site.at("public");
  for (const name of ["", "/sub dir", "/home", "/.git"]) mkdirSync(`${folder}${name}`);
  writeFileSync(`${folder}/a.txt`, "hello\n");
  writeFileSync(`${folder}/a <b> & "c".txt`, "x");
  writeFileSync(`${folder}/empty`, "");
  writeFileSync(`${folder}/big.bin`, BIG);
  writeFileSync(`${folder}/home/index.html`, "<p>home</p>");
  writeFileSync(`${folder}/.git/config`, "secret");
  writeFileSync(site.at("outside.txt"), "secret");
  symlinkSync("a.txt", `${folder}/inside`);
  symlinkSync("../outside.txt", `${folder}/outside`);
  symlinkSync("..", `${folder}/up`);
  symlinkSync(".git/config", `${folder}/hidden`);
  return { ...site, path: folder, at: (name) => `${folder}/${name}` };
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** Makes one request on a connection of its own, of a path as it stands. */
async function ask(
  port: number,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): Promise<Answer> {
  using conn = await connectMptcp({ port });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const head = `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${lines}\r\n`;
  await writeAll(conn, new TextEncoder().encode(head));
  const answer = await readToEnd(conn);
  const end = new TextDecoder("latin1").decode(answer).indexOf("\r\n\r\n");
  const [first, ...rest] = new TextDecoder().decode(answer.subarray(0, end)).split("\r\n");
  const pairs = rest.map((line) => /^(.*?): (.*)$/.exec(line)!.slice(1) as [string, string]);
  return {
    status: Number(first!.split(" ")[1]),
    headers: new Headers(pairs),
    body: answer.subarray(end + 4),
  };
}

function textOf({ body }: Answer): string {
  return new TextDecoder().decode(body);
}

/** Starts a server on a free port of the loopback, and gives that. */
async function start(...args: string[]): Promise<{ server: CliProcess; port: number }> {
  const server = new CliProcess(["serve", "-l", "127.0.0.1:0", ...args]);
  const [, port] = await server.until("stderr", /:(\d+)\/ over/);
  return { server, port: Number(port) };
}

test("serve has files, their types and parts, and what has not changed is not sent again", async () => {
  using site = createSite();
  const { server, port } = await start(site.path);
  await using _ = server;
  const file = await ask(port, "/a.txt");
  assertEquals([file.status, textOf(file)], [200, "hello\n"]);
  assertEquals(file.headers.get("content-type"), "text/plain; charset=utf-8");
  assertEquals(file.headers.get("content-length"), "6");
  const [etag, changed] = ["etag", "last-modified"].map((name) => file.headers.get(name)!);
  assertMatch(etag!, /^"[\da-f-]+"$/);

  const statusWith = async (headers: Record<string, string>, path = "/a.txt") =>
    (await ask(port, path, headers)).status;
  assertEquals(await statusWith({ "if-none-match": etag! }), 304);
  assertEquals(await statusWith({ "if-none-match": '"other"' }), 200);
  assertEquals(await statusWith({ "if-modified-since": changed! }), 304);
  assertEquals(await statusWith({ range: "bytes=6-" }), 416);
  // The last no bytes are none; what makes no range is ignored.
  assertEquals(await statusWith({ range: "bytes=-0" }), 416);
  assertEquals(await statusWith({ range: "bytes=-0", "if-none-match": etag! }), 304);
  for (const range of ["lines=1-2", "bytes=x", "bytes=0-1,3-4", "bytes=5-2", "bytes=-"]) {
    assertEquals(await statusWith({ range }), 200);
  }
  assertEquals(await statusWith({ range: "bytes=0-" }, "/empty"), 200);

  const part = await ask(port, "/a.txt", { range: "bytes=1-2" });
  assertEquals([part.status, textOf(part)], [206, "el"]);
  assertEquals(part.headers.get("content-range"), "bytes 1-2/6");
  assertEquals(textOf(await ask(port, "/a.txt", { range: "bytes=-2" })), "o\n");
  for (const [condition, expected] of [[etag!, "el"], [changed!, "el"], ['"x"', "hello\n"]]) {
    const headers = { range: "bytes=1-2", "if-range": condition! };
    assertEquals(textOf(await ask(port, "/a.txt", headers)), expected);
  }

  const head = await ask(port, "/big.bin", {}, "HEAD");
  assertEquals([head.status, head.body.byteLength], [200, 0]);
  assertEquals(head.headers.get("content-length"), String(BIG.byteLength));
  const big = await ask(port, "/big.bin");
  assertEquals(big.headers.get("content-type"), "application/octet-stream");
  assert(Buffer.from(BIG).equals(big.body));
  const post = await ask(port, "/a.txt", { "content-length": "0" }, "POST");
  assertEquals([post.status, post.headers.get("allow")], [405, "GET, HEAD"]);
});

test("serve lists folders, prefers their index.html, and leads to them", async () => {
  using site = createSite();
  const { server, port } = await start(site.path);
  await using _ = server;
  const page = textOf(await ask(port, "/"));
  assertStringIncludes(page, '<a href="./sub%20dir/">sub dir/</a>');
  assertStringIncludes(
    page,
    '<a href="./a%20%3Cb%3E%20%26%20%22c%22.txt">a &lt;b&gt; &amp; &quot;c&quot;.txt</a>',
  );
  assertEquals([...page.matchAll(/<a href="[^"]*">([^<]*)<\/a>/g)].map(([, name]) => name), [
    "home/",
    "sub dir/",
    "a &lt;b&gt; &amp; &quot;c&quot;.txt",
    "a.txt",
    "big.bin",
    "empty",
    "inside",
  ]);
  assertEquals(textOf(await ask(port, "/a%20%3Cb%3E%20%26%20%22c%22.txt")), "x");
  assertStringIncludes(textOf(await ask(port, "/sub%20dir/")), 'href="../"');
  assertEquals(textOf(await ask(port, "/home/")), "<p>home</p>");
  for (const path of ["/home?a=1", "//home?a=1"]) {
    const redirect = await ask(port, path);
    assertEquals([redirect.status, redirect.headers.get("location")], [301, "/home/?a=1"]);
  }
});

test("nothing leads out of the folder, or to what is hidden, unless that is asked for", async () => {
  using site = createSite();
  const { server, port } = await start(site.path);
  await using _ = server;
  assertEquals(textOf(await ask(port, "/inside")), "hello\n");
  for (
    const path of [
      "/outside",
      "/up/outside.txt",
      "/up/",
      "/../outside.txt",
      "/%2e%2e/outside.txt",
      "/sub%20dir/../../outside.txt",
      "/hidden",
      "/.git/config",
      "/.git/",
      "/a.txt/",
      "/nosuch",
    ]
  ) {
    assertEquals([path, (await ask(port, path)).status], [path, 404]);
  }
  for (const path of ["/..%2foutside.txt", "/%00", "/%zz"]) {
    assertEquals([path, (await ask(port, path)).status], [path, 400]);
  }
  const open = await start("--hidden", "--no-listing", site.path);
  await using _open = open.server;
  assertEquals(textOf(await ask(open.port, "/hidden")), "secret");
  assertEquals((await ask(open.port, "/outside")).status, 404);
  assertEquals((await ask(open.port, "/sub%20dir/")).status, 404);
});

test("a folder is answered by its index.html or its list, as far as that is asked for", async () => {
  using site = createSite();
  const folder = new Folder(site.path);
  const answer = (path: string, options = {}, at = folder) =>
    serveFolder(new Request(`http://localhost${path}`), at, { listing: false, ...options });
  assertEquals(await (await answer("/a.txt")).text(), "hello\n");
  assertEquals(await (await answer("/home/")).text(), "<p>home</p>");
  assertEquals((await answer("/")).status, 404);
  assertStringIncludes(await (await answer("/", { listing: true })).text(), "a.txt");
  const listed = await answer("/home/", { listing: true, index: false });
  assertStringIncludes(await listed.text(), "index.html");
  assertEquals((await answer("/.git/config")).status, 404);
  const all = new Folder(site.path, { hidden: true });
  assertEquals(await (await answer("/.git/config", {}, all)).text(), "secret");
});

test("the access log has the protocol and the subflows of each answer", {
  skip: noMptcp,
}, async () => {
  using site = createSite();
  const { server, port } = await start(site.path);
  await using _ = server;
  await ask(port, "/a.txt?q");
  const line = /^127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] (.*)$/m;
  const [, rest] = await server.until("stdout", line);
  assertEquals(rest, '"GET /a.txt?q HTTP/1.1" 200 6 mptcp 1');

  const json = await start("--json", "--no-mptcp", site.path);
  await using _json = json.server;
  await ask(json.port, "/nosuch");
  const [text] = await json.server.until("stdout", /^\{.*\}$/m);
  const { time, seconds, ...access } = JSON.parse(text);
  assert(Math.abs(Date.parse(time) - Date.now()) < 60_000 && seconds < 10);
  assertEquals(access, {
    remote: "127.0.0.1",
    method: "GET",
    path: "/nosuch",
    status: 404,
    bytes: 10,
    complete: true,
    protocol: "tcp",
    subflows: 1,
    referrer: "",
    agent: "",
  });
  assertMatch(json.server.stderr, /over TCP \(.*\)\n$/);
});

test("clients that go early leave no file open, and the log says how much they had", async () => {
  using site = createSite();
  writeFileSync(site.at("huge"), new Uint8Array(30_000_000));
  const { server, port } = await start("--json", site.path);
  await using _ = server;
  for (let i = 0; i < 5; i++) {
    using conn = await connectMptcp({ port });
    await writeAll(conn, new TextEncoder().encode("GET /huge HTTP/1.1\r\nHost: x\r\n\r\n"));
    await readUpTo(conn, 1000);
  }
  await server.until("stdout", /(.*"complete":false.*\n){5}/);
  const filesOf = () =>
    readdirSync(`/proc/${server.pid}/fd`).filter((fd) => {
      try {
        return readlinkSync(`/proc/${server.pid}/fd/${fd}`).startsWith(site.path);
      } catch {
        return false;
      }
    });
  const late = Date.now() + 5000;
  while (filesOf().length > 0 && Date.now() < late) await delay(20);
  assertEquals(filesOf(), []);
});

test("serve speaks HTTPS with a certificate and its key", { skip: noCertificate }, async () => {
  using site = createSite();
  const { ca, cert, key } = createSigned();
  writeFileSync(site.at("cert.pem"), cert);
  writeFileSync(site.at("key.pem"), key);
  const { server, port } = await start(
    "--cert",
    site.at("cert.pem"),
    "--key",
    site.at("key.pem"),
    site.path,
  );
  await using _ = server;
  await using client = createMptcpClient({ caCerts: [ca] });
  const response = await client.fetch(`https://localhost:${port}/a.txt`);
  assertEquals(await response.text(), "hello\n");
  assertMatch(server.stderr, /https:/);
});

test("serve listens on every port of a range, or on none", async () => {
  using site = createSite();
  using taken = listenMptcp({ hostname: "127.0.0.1" });
  const { port } = taken.addr;
  const range = `127.0.0.1:${port - 1}-${port}`;
  const { status, stderr } = await mptcp(["serve", "-l", range, site.path]);
  assertEquals(status, 1);
  assertStringIncludes(stderr, "Address already in use");
  // Below the ports that the kernel hands out, where only chance takes one.
  const first = 20_000 + Math.floor(Math.random() * 10_000);
  await using server = new CliProcess([
    "serve",
    "-l",
    `127.0.0.1:${first}-${first + 2}`,
    site.path,
  ]);
  await server.until("stderr", /(Serving.*\n){3}/);
  for (const each of [first, first + 2]) {
    assertEquals(textOf(await ask(each, "/a.txt")), "hello\n");
  }
});

test("Ctrl-C ends serve at once, SIGTERM once running answers have ended", async () => {
  using site = createSite();
  const first = await start(site.path);
  await using _ = first.server;
  assertEquals(await first.server.kill("SIGINT"), 130);
  writeFileSync(site.at("huge"), new Uint8Array(30_000_000));
  const { server, port } = await start(site.path);
  await using _server = server;
  using conn = await connectMptcp({ port });
  const request = "GET /huge HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  await writeAll(conn, new TextEncoder().encode(request));
  await readUpTo(conn, 1000);
  const status = server.kill("SIGTERM");
  assert((await readToEnd(conn)).byteLength > 29_999_000);
  assertEquals(await status, 143);
});

for (
  const [args, status, message] of [
    [["/nosuch"], 1, "no such folder: /nosuch"],
    [["/etc/passwd"], 1, "/etc/passwd is not a folder"],
    [["-l", "127.0.0.1:9-7"], 2, "the last port is below the first"],
    [["--cert", "x"], 2, "--cert and --key must be given together"],
    [["--cert", "/nosuch", "--key", "x"], 1, "--cert: "],
    [["--cert", "/etc/passwd", "--key", "x"], 1, "--cert: /etc/passwd is not in PEM"],
    [["--mptcp=prefer", "--no-mptcp"], 2, "--mptcp and --no-mptcp exclude each other"],
    [["--no-mptcp", "-l", "mptcp@:0"], 2, "cannot be combined with the prefix"],
    [["a", "b"], 2, 'unexpected argument "b"'],
  ] as const
) {
  test(`"serve ${args.join(" ")}" is refused with status ${status}`, async () => {
    const result = await mptcp(["serve", ...args]);
    assertEquals([result.status, result.stdout], [status, ""]);
    assertMatch(result.stderr, /^mptcp serve: [^\n]+\n(Try "mptcp serve --help".\n)?$/);
    assertStringIncludes(result.stderr, message);
  });
}
