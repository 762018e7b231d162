import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { decide, type Part } from "../src/cli/get/decision.ts";
import { mptcp } from "./cli.ts";
import { test } from "./harness.ts";
import { scripted } from "./scripted.ts";
import { temporaryFolder } from "./temporary.ts";

const NOW = "Sat, 21 Nov 2026 09:30:39 GMT";
const LATER = "Sat, 21 Nov 2026 10:00:00 GMT";
const PART: Part = { size: 3, etag: '"a"', modified: NOW, length: 6 };

/** What becomes of an answer: "complete", an exit status, or where it is written and how much. */
function outcome(
  status: number,
  headers: Record<string, string>,
  range: string | null,
  part: Part | null,
): string | number | readonly unknown[] {
  const head = { status, statusText: "", headers: new Headers(headers) };
  const decision = decide(head, range, part);
  if (decision.action === "complete") return "complete";
  if (decision.action === "fail") return decision.status;
  const { offset, length, whole } = decision;
  return [offset, length, whole];
}

const ALL = [0, null, true] as const;
const REST = [3, 3, true] as const;
const TAG = { etag: '"a"' };

test("an answer to a request for the rest of a file goes on with it, begins anew, or is refused", () => {
  const only = (version: Partial<Part>): Part => ({
    size: 3,
    etag: null,
    modified: null,
    length: null,
    ...version,
  });
  const cases: [unknown, number, Record<string, string>, Part?][] = [
    [REST, 206, { "content-range": "bytes 3-5/6", ...TAG }],
    [REST, 206, { "content-range": "bytes 3-5/*", ...TAG }],
    [[3, 2, false], 206, { "content-range": "bytes 3-4/6", ...TAG }],
    [REST, 206, { "content-range": "bytes 3-5/6", "last-modified": NOW }],
    [REST, 206, { "content-range": "bytes 3-5/6", "last-modified": NOW }, only({ modified: NOW })],
    [REST, 206, { "content-range": "bytes 3-5/6" }, only({ modified: NOW, length: 6 })],
    // Of another version, or of nobody knows which.
    [33, 206, { "content-range": "bytes 3-5/6", etag: '"b"' }],
    [33, 206, { "content-range": "bytes 3-5/6", etag: 'W/"a"' }],
    [33, 206, { "content-range": "bytes 3-5/6", ...TAG, "last-modified": LATER }],
    [33, 206, { "content-range": "bytes 3-6/7", ...TAG }],
    [33, 206, { "content-range": "bytes 3-5/6" }],
    [33, 206, { "content-range": "bytes 3-5/6" }, only({ modified: NOW })],
    [33, 206, { "content-range": "bytes 3-5/6" }, only({ etag: '"a"', length: 6 })],
    // Of another place.
    [33, 206, { "content-range": "bytes 0-5/6", ...TAG }],
    [33, 206, { "content-range": "bytes 4-5/6", ...TAG }],
    [33, 206, { "content-range": "bytes 3-6/6", ...TAG }],
    [33, 206, { "content-range": "bytes 5-3/6", ...TAG }],
    [33, 206, { "content-range": "items 3-5/6", ...TAG }],
    [33, 206, { "content-type": "multipart/byteranges; boundary=x", ...TAG }],
    [33, 206, TAG],
    // Of bytes that are not those of the file.
    [33, 206, { "content-range": "bytes 3-5/6", ...TAG, "content-encoding": "gzip" }],
    [REST, 206, { "content-range": "bytes 3-5/6", ...TAG, "content-encoding": "identity" }],
    // From the start.
    [ALL, 200, {}],
    [ALL, 200, { etag: '"b"', "content-encoding": "gzip" }],
    // Nothing left, of this version and length.
    ["complete", 416, { "content-range": "bytes */3" }, only({ modified: NOW })],
    ["complete", 416, { "content-range": "bytes */3", ...TAG }, { ...PART, length: 3 }],
    [33, 416, { "content-range": "bytes */3", etag: '"b"' }, { ...PART, length: 3 }],
    [33, 416, { "content-range": "bytes */3", "last-modified": LATER }, { ...PART, length: 3 }],
    [33, 416, { "content-range": "bytes */2" }],
    [33, 416, { "content-range": "bytes */9" }],
    [33, 416, {}],
    ...[204, 301, 304, 404, 412, 429, 500, 503].map((status) => [22, status, TAG]) as never[],
  ];
  for (const [expected, status, headers, part = PART] of cases) {
    const found = outcome(status, headers, "bytes=3-", part);
    assertEquals(found, expected, `${status} ${JSON.stringify(headers)}`);
  }
});

test("an answer is the whole where the whole was asked for, and the range where one was", () => {
  const cases: [unknown, number, string | null, string | null][] = [
    [ALL, 200, null, null],
    [ALL, 404, null, null],
    [33, 206, null, "bytes 0-5/6"],
    [33, 206, null, null],
    [[0, 3, true], 206, "bytes=2-4", "bytes 2-4/6"],
    [[0, 2, true], 206, "bytes=4-9", "bytes 4-5/6"],
    [[0, 2, true], 206, "bytes=-2", "bytes 4-5/6"],
    [33, 206, "bytes=2-4", "bytes 0-2/6"],
    [33, 206, "bytes=2-4", "bytes 2-5/6"],
    [33, 206, "bytes=-2", "bytes 0-1/6"],
    [33, 206, "bytes=2-4", null],
    [33, 200, "bytes=2-4", null],
    [33, 416, "bytes=9-", "bytes */6"],
    [ALL, 206, "bytes=0-1,3-4", null],
  ];
  for (const [expected, status, range, sent] of cases) {
    const headers: Record<string, string> = sent === null ? {} : { "content-range": sent };
    assertEquals(outcome(status, headers, range, null), expected, `${status} ${range} ${sent}`);
  }
});

function answer(status: string, ...lines: string[]): string {
  return `${[`HTTP/1.1 ${status}`, ...lines, "Connection: close"].join("\r\n")}\r\n\r\n`;
}

for (
  const [name, line, sent, status] of [
    ["an error page", answer("404 Not Found", "Content-Length: 4"), "oops", 22],
    ["an error of the server", answer("500 No", "Content-Length: 4"), "oops", 22],
    [
      "the rest of another version",
      answer("206 Partial", "Content-Range: bytes 3-5/6", 'ETag: "b"', "Content-Length: 3"),
      "def",
      33,
    ],
    [
      "a 416 that names another size",
      answer("416 No", "Content-Range: bytes */99", "Content-Length: 0"),
      "",
      33,
    ],
    [
      "a compressed rest",
      answer("206 Partial", "Content-Range: bytes 3-5/6", 'ETag: "a"', "Content-Encoding: gzip"),
      "def",
      33,
    ],
  ] as const
) {
  test(`${name} leaves what there is of a file, with status ${status}`, async () => {
    using folder = temporaryFolder();
    const path = folder.at("file");
    writeFileSync(`${path}.part`, "abc");
    const version = JSON.stringify({ etag: '"a"', modified: null, length: 6 });
    writeFileSync(`${path}.part.json`, version);
    await using server = scripted(line + sent, "end");
    const result = await mptcp(["get", "-C", "-", "-o", path, server.url]);
    assertEquals(result.status, status);
    assertStringIncludes(result.stderr, "The partial file is kept (3 bytes)");
    assertStringIncludes(server.requests[0]!.toLowerCase(), 'if-range: "a"\r\n');
    assertEquals(readFileSync(`${path}.part`, "utf8"), "abc");
    assertEquals(readFileSync(`${path}.part.json`, "utf8"), version);
    assert(!existsSync(path));
  });
}

test("the version of a part is kept beside it, and gone with it", async () => {
  using folder = temporaryFolder();
  const path = folder.at("file");
  const first = answer("200 OK", 'ETag: "v1"', `Last-Modified: ${NOW}`, "Content-Length: 6");
  {
    await using server = scripted(`${first}abc`, "end");
    assertEquals((await mptcp(["get", "-o", path, server.url])).status, 18);
  }
  const note = { etag: '"v1"', modified: NOW, length: 6 };
  assertEquals(JSON.parse(readFileSync(`${path}.part.json`, "utf8")), note);
  const rest = answer("206 P", 'ETag: "v1"', "Content-Range: bytes 3-5/6", "Content-Length: 3");
  await using server = scripted(`${rest}def`, "end");
  assertEquals((await mptcp(["get", "-C", "-", "-o", path, server.url])).status, 0);
  assertEquals(readFileSync(path, "utf8"), "abcdef");
  assertEquals([`${path}.part`, `${path}.part.json`].map((name) => existsSync(name)), [
    false,
    false,
  ]);
});

test("what comes compressed is written as it is sent, unpacked where that is asked for", async () => {
  using folder = temporaryFolder();
  const path = folder.at("file");
  const body = gzipSync("hello ".repeat(100));
  const line = answer("200 OK", "Content-Encoding: gzip", `Content-Length: ${body.byteLength}`);
  await using server = scripted(line, "end", body);
  assertEquals((await mptcp(["get", "-o", path, server.url])).status, 0);
  assert(body.equals(readFileSync(path)));
  assertEquals((await mptcp(["get", "--compressed", "-o", path, server.url])).status, 0);
  assertEquals(readFileSync(path, "utf8"), "hello ".repeat(100));
  assertStringIncludes(server.requests[1]!.toLowerCase(), "accept-encoding: gzip, deflate, br\r\n");
});
