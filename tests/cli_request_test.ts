import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { listenMptcp } from "../mod.ts";
import { digestOf, readChecksum } from "../src/cli/get/digest.ts";
import { mptcp } from "./cli.ts";
import { CliProcess } from "./cli_process.ts";
import { test } from "./harness.ts";
import { scripted } from "./scripted.ts";
import { temporaryFolder } from "./temporary.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

/** The request that a command line makes, in lower-case, with what came of it. */
async function request(
  args: readonly string[],
  answer = OK,
): Promise<{ text: string; status: number | null; stderr: string }> {
  await using server = scripted(answer, "end");
  const { status, stderr } = await mptcp(["get", ...args, server.url]);
  return { text: server.requests.join("\n---\n"), status, stderr };
}

test("get sends the host that it is told to, every header, and none to another server", async () => {
  const { text } = await request(["-H", "Host: x.example", "-H", "X-A: 1", "-H", "x-a: 2"]);
  assertMatch(text, /^host: x\.example\r$/mi);
  assert(!/^host: 127/mi.test(text), text);
  assertEquals([...text.matchAll(/^x-a: (.*)\r$/mgi)].flatMap(([, value]) => value!.split(", ")), [
    "1",
    "2",
  ]);
  await using other = scripted(OK, "end");
  const redirect = `HTTP/1.1 302 F\r\nLocation: ${other.url}\r\nContent-Length: 0\r\n\r\n`;
  await request(["-L", "-u", "a:b", "-H", "Host: x.example"], redirect);
  assertMatch(other.requests[0]!, /^host: 127\.0\.0\.1:\d+\r$/mi);
  assert(!/^authorization/mi.test(other.requests[0]!));
});

test("get logs in by -u, and by the URL", async () => {
  const { text } = await request(["-u", "näme:pass:word"]);
  const expected = Buffer.from("näme:pass:word").toString("base64");
  assertStringIncludes(text, `Basic ${expected}\r\n`);
  await using server = scripted(OK, "end");
  assertEquals((await mptcp(["get", server.url.replace("//", "//a:b%20c@")])).status, 0);
  assertStringIncludes(server.requests[0]!, `Basic ${Buffer.from("a:b c").toString("base64")}\r\n`);
});

test("--data leaves out the line ends of a file, and --data-binary keeps them", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.at("data"), "a=1\r\nb\0=2\n");
  const file = `@${folder.at("data")}`;
  assertMatch((await request(["-d", file])).text, /\r\n\r\na=1b=2$/);
  assertMatch((await request(["--data-binary", file])).text, /\r\n\r\na=1\r\nb\0=2\n$/);
  assertMatch((await request(["-d", "a\nb", "-d", file])).text, /\r\n\r\na\nb&a=1b=2$/);
});

test("-r asks for a range, and takes no other", async () => {
  const part = "HTTP/1.1 206 P\r\nContent-Range: bytes 1-2/9\r\nContent-Length: 2\r\n\r\nbc";
  const right = await request(["-r", "1-2"], part);
  assertEquals(right.status, 0);
  assertMatch(right.text, /^range: bytes=1-2\r$/mi);
  assertEquals((await request(["-r", "2-3"], part)).status, 33);
  assertEquals((await request(["-r", "1-2"])).status, 33);
  for (const range of ["x", "5-2", "-", "1-2,4-5"]) {
    assertEquals((await request(["-r", range])).status, 2);
  }
});

test("a host that does not answer is given up in time, by every command that connects", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1", mptcp: "off", tcpBacklog: 0 });
  const { port } = listener.addr;
  // The queue is full: what comes next is not answered.
  const sockets: Socket[] = Array.from({ length: 4 }, () => connect(port, "127.0.0.1"));
  for (const socket of sockets) socket.on("error", () => {});
  await once(sockets[0]!, "connect");
  const limit = ["--connect-timeout", "0.4"];
  const late = await Promise.all([
    mptcp(["get", ...limit, `http://127.0.0.1:${port}/`]),
    mptcp(["connect", ...limit, `127.0.0.1:${port}`]),
    mptcp(["bench", "client", ...limit, `127.0.0.1:${port}`]),
  ]);
  assertEquals(late.map(({ status }) => status), [28, 1, 1]);
  for (const { stderr } of late) assertMatch(stderr, /within 0\.4 s/);
  for (const socket of sockets) socket.destroy();
  await Promise.all(sockets.map((socket) => socket.closed || once(socket, "close")));
});

test("--retry tries again what may pass, and nothing else", async () => {
  let count = 0;
  const busy = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy";
  await using server = scripted(() => ++count <= 2 ? busy : OK, "end");
  const enough = await mptcp(["get", "--retry", "2", server.url]);
  assertEquals([enough.status, enough.stdout, count], [0, "abc", 3]);
  assertEquals(enough.stderr.match(/: 503.*\. Trying again in 0 s/g)?.length, 2, enough.stderr);
  count = 0;
  const little = await mptcp(["get", "-s", "--retry", "1", server.url]);
  assertEquals([little.status, little.stdout, little.stderr, count], [0, "busy", "", 2]);
  const gone = await request(["-f", "--retry", "3"], OK.replace("200 OK", "410 Gone"));
  assertEquals([gone.status, gone.text.split("---").length], [22, 1]);
});

test("--retry with -C - goes on where a connection broke", async () => {
  using folder = temporaryFolder();
  const path = folder.at("file");
  const first = 'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 6\r\n\r\nabc';
  const rest =
    'HTTP/1.1 206 P\r\nETag: "a"\r\nContent-Range: bytes 3-5/6\r\nContent-Length: 3\r\n\r\ndef';
  await using server = scripted((text) => /^range:/mi.test(text) ? rest : first, "end");
  const args = ["get", "-s", "--retry", "1", "-C", "-", "-o", path, server.url];
  assertEquals((await mptcp(args)).status, 0);
  assertEquals(readFileSync(path, "utf8"), "abcdef");
});

test("-4 and -6 fix the family, and exclude what is of the other one", async () => {
  await using server = scripted(OK, "end");
  const url = server.url.replace("127.0.0.1", "localhost");
  assertEquals((await mptcp(["get", "-4", url])).status, 0);
  // Nothing listens there, or the name has no such address.
  assert([6, 7].includes((await mptcp(["get", "-6", url])).status!));
  for (
    const [args, text] of [
      [["get", "-4", "-6", "x"], "exclude each other"],
      [["get", "-6", "http://127.0.0.1/"], "not an IPv6 address"],
      [["connect", "-4", "[::1]:1"], "not an IPv4 address"],
      [["connect", "-4", "mptcp6@localhost:1"], "the prefix of the address selects IPv6"],
    ] as const
  ) {
    const { status, stderr } = await mptcp(args);
    assertEquals(status, 2);
    assertStringIncludes(stderr, text);
  }
});

test("a port alone is where serve listens, and a wrong option suggests no other kind", async () => {
  using folder = temporaryFolder();
  await using server = new CliProcess(["serve", "-l", "0", folder.path]);
  await server.until("stderr", /at http:\/\/\S+:\d+\/ over/);
  const { stderr } = await mptcp(["serve", "--port", "1"]);
  assertStringIncludes(stderr, "unknown option --port");
  assert(!stderr.includes("did you mean"), stderr);
});

test("digests are read from every header that has them, the best one first", () => {
  const sha = (bits: number) => createHash(`sha${bits}`).update("abc").digest();
  const md5 = createHash("md5").update("abc").digest();
  const of = (headers: Record<string, string>, unpacked = false, status = 200) => {
    const found = digestOf({ status, headers: new Headers(headers) }, unpacked);
    return found && [found.algorithm, found.of, Buffer.from(found.value).toString("hex")];
  };
  const [b256, b512] = [sha(256), sha(512)].map((bytes) => bytes.toString("base64"));
  const both = `sha-256=:${b256}:, unixsum=:AAA=:, sha-512=:${b512}:`;
  assertEquals(of({ "repr-digest": both }), ["sha-512", "file", sha(512).toString("hex")]);
  assertEquals(of({ "content-digest": `sha-256=:${b256}:` })?.[1], "answer");
  assertEquals(of({ digest: `SHA-256=${b256}` })?.[0], "sha-256");
  assertEquals(of({ "content-md5": md5.toString("base64") })?.[0], "md5");
  assertEquals(of({ "content-md5": md5.toString("base64") }, false, 206), null);
  for (const wrong of ["sha-256=:AAAA:", "crc32c=:AAAA:", "nonsense", `sha-256=${b256}`]) {
    assertEquals(of({ "repr-digest": wrong }), null, wrong);
  }
  assertEquals(of({ "repr-digest": both, "content-encoding": "gzip" }, true), null);
  for (const text of [`sha-256=${b256}`, `SHA256=${sha(256).toString("hex")}`]) {
    assertEquals(Buffer.from(readChecksum(text)!.value).equals(sha(256)), true, text);
  }
  assertEquals(["sha-256=", "sha-256=00", "x=00"].map(readChecksum), [null, null, null]);
});

const DIGEST = createHash("sha256").update("abc").digest();

for (
  const [name, header, args] of [
    ["the server", `Repr-Digest: sha-256=:${DIGEST.toString("base64")}:\r\n`, []],
    ["the user", "", ["--checksum", `sha-256=${DIGEST.toString("hex")}`]],
  ] as const
) {
  test(`what has the digest that ${name} gives is verified, else it is refused with status 111`, async () => {
    using folder = temporaryFolder();
    const path = folder.at("file");
    const head = `HTTP/1.1 200 OK\r\n${header}Content-Length: 3\r\n\r\n`;
    {
      await using server = scripted(`${head}abc`, "end");
      const right = await mptcp(["get", "--json", "-v", ...args, "-o", path, server.url]);
      assertEquals([right.status, JSON.parse(right.stdout).verified[0].digest], [
        0,
        DIGEST.toString("hex"),
      ]);
      assertStringIncludes(right.stderr, "* Verified by sha-256");
    }
    await using server = scripted(`${head}abd`, "end");
    const wrong = await mptcp(["get", ...args, "-o", folder.at("other"), server.url]);
    assertEquals(wrong.status, 111);
    assertMatch(wrong.stderr, /the body is wrong: its sha-256 is [\da-f]{64}, not [\da-f]{64}/);
    assertEquals(
      ["other", "other.part", "other.part.json"].map((it) => existsSync(folder.at(it))),
      [
        false,
        false,
        false,
      ],
    );
    assertEquals(readFileSync(folder.at("other.wrong"), "utf8"), "abd");
    const printed = await mptcp(["get", ...args, server.url]);
    assertEquals([printed.status, printed.stdout], [111, "abd"]);
  });
}

test("the digest of a file is of all of it when a transfer goes on with a part", async () => {
  using folder = temporaryFolder();
  const path = folder.at("file");
  const rest = 'HTTP/1.1 206 P\r\nETag: "a"\r\nContent-Range: bytes 2-2/3\r\n' +
    `Repr-Digest: sha-256=:${DIGEST.toString("base64")}:\r\nContent-Length: 1\r\n\r\nc`;
  for (const [part, expected] of [["ab", 0], ["xb", 111]] as const) {
    writeFileSync(`${path}.part`, part);
    writeFileSync(`${path}.part.json`, '{"etag":"\\"a\\"","modified":null,"length":3}');
    await using server = scripted(rest, "end");
    assertEquals((await mptcp(["get", "-C", "-", "-o", path, server.url])).status, expected);
  }
});
