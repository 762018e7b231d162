import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import process from "node:process";
import { LogOutput, type WriteBytes } from "../src/cli/ui/log_output.ts";
import { printable, PrintableBytes } from "../src/cli/ui/printable.ts";
import { connectMptcp } from "../mod.ts";
import { mptcp, RunningCli } from "./cli.ts";
import { test } from "./harness.ts";
import { missingProgram, run } from "./processes.ts";
import { scripted } from "./scripted.ts";
import { bytesOf, readToEnd, writeAll } from "./sockets.ts";
import { temporaryFolder } from "./temporary.ts";

const WHOLE = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
const SHORT = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";

test("get gives a file that is there its new content, and leaves its mode and its links", async () => {
  using folder = temporaryFolder();
  const path = folder.at("file");
  writeFileSync(path, "before, and longer", { mode: 0o600 });
  linkSync(path, folder.at("hard"));
  symlinkSync("file", folder.at("soft"));
  const { ino } = statSync(path);
  await using server = scripted(WHOLE, "end");
  for (const name of ["file", "soft"]) {
    writeFileSync(path, "before, and longer");
    assertEquals((await mptcp(["get", "-o", folder.at(name), server.url])).status, 0);
    assertEquals(readFileSync(folder.at("hard"), "utf8"), "abc");
    assert(!existsSync(folder.at(`${name}.part`)));
  }
  const { mode, ino: after } = statSync(path);
  assertEquals([mode & 0o777, after], [0o600, ino]);
  assert(lstatSync(folder.at("soft")).isSymbolicLink());
});

test("a transfer that fails leaves a file that is there as it was", async () => {
  using folder = temporaryFolder();
  const path = folder.at("file");
  writeFileSync(path, "before");
  await using server = scripted(SHORT, "end");
  assertEquals((await mptcp(["get", "-o", path, server.url])).status, 18);
  assertEquals(readFileSync(path, "utf8"), "before");
});

test("get writes to devices, pipes and links to nothing, and replaces none of them", async () => {
  using folder = temporaryFolder();
  await using server = scripted(WHOLE, "end");
  run("mkfifo", [folder.at("pipe")]);
  symlinkSync("target", folder.at("dangling"));
  symlinkSync("/dev/null", folder.at("device"));
  // The reader of the pipe is there for as long as its writer.
  const read = ["sh", "-c", `cat ${folder.at("pipe")} > ${folder.at("read")} & "$@"; wait`, "sh"];
  const piped = await mptcp(["get", "-o", folder.at("pipe"), server.url], { prefix: read });
  assertEquals([piped.status, readFileSync(folder.at("read"), "utf8")], [0, "abc"]);
  assert(lstatSync(folder.at("pipe")).isFIFO());
  for (const name of ["dangling", "device"]) {
    assertEquals((await mptcp(["get", "-o", folder.at(name), server.url])).status, 0);
    assert(lstatSync(folder.at(name)).isSymbolicLink(), name);
  }
  assertEquals(readFileSync(folder.at("target"), "utf8"), "abc");
  const before = readlinkSync("/dev/stdout");
  // A pipe, whatever this runtime gives its children.
  const toPipe = ["sh", "-c", '"$@" | cat', "sh"];
  const out = await mptcp(["get", "-o", "/dev/stdout", server.url], { prefix: toPipe });
  assertEquals([out.status, out.stdout, readlinkSync("/dev/stdout")], [0, "abc", before]);
  const toFile = ["sh", "-c", `"$@" > ${folder.at("redirected")}`, "sh"];
  const redirected = await mptcp(["get", "-o", "/dev/stdout", server.url], { prefix: toFile });
  assertEquals([redirected.status, readFileSync(folder.at("redirected"), "utf8")], [0, "abc"]);
});

const noSetpriv = missingProgram("setpriv") ?? (process.getuid?.() === 0 ? null : "not root");

test("get writes a file in a folder that it may not write, and says why where it cannot", {
  skip: noSetpriv,
}, async () => {
  using folder = temporaryFolder();
  const closed = folder.at("closed");
  mkdirSync(closed);
  writeFileSync(`${closed}/file`, "before");
  chmodSync(closed, 0o555);
  await using server = scripted(WHOLE, "end");
  const prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"];
  const known = await mptcp(["get", "-o", `${closed}/file`, server.url], { prefix });
  assertEquals([known.status, readFileSync(`${closed}/file`, "utf8")], [0, "abc"]);
  const fresh = await mptcp(["get", "-o", `${closed}/new`, server.url], { prefix });
  assertEquals(fresh.status, 23);
  assertStringIncludes(fresh.stderr, "permission denied");
  chmodSync(closed, 0o755);
});

/** Asks a server by HTTP, and gives what it says. */
async function ask(port: number): Promise<string> {
  using conn = await connectMptcp({ port });
  await writeAll(conn, bytesOf("GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
  return new TextDecoder().decode(await readToEnd(conn));
}

for (const outputs of ["whose readers are gone", "on a full disk"] as const) {
  test(`serve and proxy outlive outputs ${outputs}`, async () => {
    using folder = temporaryFolder();
    writeFileSync(folder.at("a"), "abc");
    const isFull = outputs === "on a full disk";
    const prefix = isFull ? ["sh", "-c", 'exec "$@" > /dev/full', "sh"] : [];
    await using server = new RunningCli(["serve", "-l", "127.0.0.1:0", folder.path], { prefix });
    const port = Number(/:(\d+)\//.exec(await server.errorLine())![1]);
    // Of the place where a proxy listens its log tells, which is lost: its status does too.
    const place = folder.at("status");
    const status = ["--status", place];
    await using proxy = new RunningCli(["proxy", "127.0.0.1:0", `127.0.0.1:${port}`, ...status], {
      prefix,
    });
    if (!isFull) {
      for (const { child } of [server, proxy]) {
        child.stdout.destroy();
        child.stderr.destroy();
      }
    }
    const front = await frontOf(place);
    for (let i = 0; i < 3; i++) assertMatch(await ask(front), /\r\n\r\nabc$/);
    for (const { child } of [server, proxy]) {
      assertEquals([child.exitCode, child.signalCode], [null, null]);
    }
  });
}

/** Where the proxy with a status at that place listens. */
async function frontOf(place: string): Promise<number> {
  const until = Date.now() + 10_000;
  while (!existsSync(place)) {
    assert(Date.now() < until);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { connect } = await import("node:net");
  const text = await new Promise<string>((resolve, reject) => {
    let text = "";
    const socket = connect({ path: place }, () => socket.write("GET / HTTP/1.0\r\n\r\n"));
    socket.setEncoding("utf8").on("data", (chunk) => text += chunk)
      .on("end", () => resolve(text)).on("error", reject);
  });
  return JSON.parse(text.slice(text.indexOf("{"))).fronts[0].addr.port;
}

test("a log says once why lines are lost, and goes on when they can be written again", async () => {
  const written: string[] = [];
  const failures: string[] = [];
  let code: string | null = "ENOSPC";
  const write: WriteBytes = (bytes, done) => {
    if (code !== null) return done(Object.assign(new Error("No space"), { code }), 0);
    // Half of it, as pipes do.
    const count = Math.ceil(bytes.byteLength / 2);
    written.push(new TextDecoder().decode(bytes.subarray(0, count)));
    done(null, count);
  };
  const log = new LogOutput((message) => failures.push(message), write);
  log.add("one");
  await log.flush();
  log.add("two");
  await log.flush();
  code = null;
  log.add("three");
  log.add("four");
  await log.flush();
  assertEquals(failures, ["Cannot write the log: No space. Continuing without it."]);
  assertEquals(written.join(""), "(2 lines are missing here)\nthree\nfour\n");
});

test("control characters from elsewhere are shown, and none is obeyed", async () => {
  const evil = "a\x1b]0;x\x07b\x9b31mc\x7f\r\0\td\n";
  const shown = "a\\u001b]0;x\\u0007b\\u009b31mc\\u007f\\u000d\\u0000\td\n";
  assertEquals(printable(evil), shown);
  assertEquals(printable("\x1b[31mred\x1b[0m \x1b[2J", true), "\x1b[31mred\x1b[0m \\u001b[2J");
  // As bytes, which may be cut within a character.
  const bytes = new TextEncoder().encode(evil.replace("\r\0", "\0\r\n"));
  const convert = new PrintableBytes();
  const parts = [...bytes].map((byte) => convert.convert(Uint8Array.of(byte)));
  const text = parts.map((part) => new TextDecoder().decode(part)).join("");
  assertEquals(text.replaceAll("\\u000d", "\r"), shown.replace("\\u000d\\u0000", "\\u0000\r\n"));

  const head = `HTTP/1.1 200 \x1b[2J\r\nX-Evil: ${"\x1b[31m\x9b2J"}\r\nContent-Length: 0\r\n\r\n`;
  await using server = scripted(head.replaceAll("\x1b", ""), "end");
  const { stderr } = await mptcp(["get", "-v", server.url]);
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(stderr), JSON.stringify(stderr));
});
