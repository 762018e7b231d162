/**
 * What an HTTP server has to put on the wire for answers that are awkward, as cases that run against
 * any server with a fetch-style handler.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { gzipSync } from "node:zlib";
import { createServer } from "node:http";
import { isDeno } from "../ffi/runtime.ts";
import { connectMptcp } from "../mod.ts";
import { bytesOf, delay, writeAll } from "./sockets.ts";

/** What handlers leave behind for checks. */
export interface Notes {
  cancelled: number;
  pulls: number;
  errors: unknown[];
  url: string;
  /** A server whose answers are compressed. */
  upstream: string;
}

/** What came back until the server ended the connection, or was silent. */
export interface Wire {
  readonly head: string;
  readonly body: string;
}

/** One request, one handler, and what has to come back. */
export interface Case {
  readonly name: string;
  readonly handler: (request: Request, notes: Notes) => Response | Promise<Response>;
  /** The request; `GET / HTTP/1.1` with `Connection: close` by default. */
  readonly send?: string;
  /** The client goes away once the answer has begun, or `"at once"`, before the handler answers. */
  readonly leaves?: "later" | "at once";
  readonly check: (wire: Wire, notes: Notes) => void;
}

function get(...headers: string[]): string {
  return ["GET /a/b HTTP/1.1", ...headers, "Connection: close", "", ""].join("\r\n");
}

function headOf(method: string): string {
  return `${method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
}

const SMUGGLED = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/** A stream of chunks, each in a turn of its own. */
function streamOf(chunks: unknown[], notes?: Notes): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      if (notes !== undefined) notes.pulls++;
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (at === chunks.length) controller.close();
      else if (chunks[at] instanceof Error) controller.error(chunks[at]);
      else controller.enqueue(chunks[at++] as Uint8Array);
    },
    cancel() {
      if (notes !== undefined) notes.cancelled++;
    },
  }, { highWaterMark: 0 });
}

/** A stream without an end. */
function endless(notes: Notes, chunk: Uint8Array | null): ReadableStream<Uint8Array> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytesOf("begun"));
    },
    async pull(controller) {
      notes.pulls++;
      if (chunk === null) return new Promise(() => {});
      await new Promise((resolve) => timer = setTimeout(resolve, 1));
      controller.enqueue(chunk);
    },
    cancel() {
      clearTimeout(timer);
      notes.cancelled++;
    },
  }, { highWaterMark: 0 });
}

function hasLength(length: number): (wire: Wire) => void {
  return ({ head }) => {
    assertMatch(head, new RegExp(`^content-length: ${length}$`, "im"));
    assert(!/^transfer-encoding:/im.test(head), head);
  };
}

/** No byte behind the length that was promised: it would be taken for another answer. */
function notSplit({ head, body }: Wire): void {
  const length = /^content-length: (\d+)\r?$/im.exec(head);
  if (length !== null) assert(body.length <= Number(length[1]), `${head}\n${body}`);
  else if (/^transfer-encoding: chunked/im.test(head)) assertMatch(body, /0\r\n\r\n$/);
}

/** An answer of status 500, through `onError`. */
function failed(message: RegExp): Case["check"] {
  return ({ head }, { errors }) => {
    assertMatch(head, /^HTTP\/1\.1 500 /);
    assertEquals(errors.length, 1);
    assertMatch(String(errors[0]), message);
  };
}

/** The cases. */
export const CASES: readonly Case[] = [
  {
    name: "a handler that says keep-alive keeps no connection that its client asks to close",
    handler: () => new Response("hello", { headers: { connection: "keep-alive" } }),
    check: ({ head }) => {
      assertMatch(head, /^connection: close\r?$/im);
      assert(!/keep-alive/i.test(head), head);
    },
  },
  {
    name: "a handler that says close has the connection closed",
    send: "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    handler: () => new Response("hello", { headers: { connection: "close" } }),
    check: ({ head }) => assertMatch(head, /^connection: close\r?$/im),
  },
  {
    name: "a stream longer than the content-length of its handler is cut off there",
    handler: () =>
      new Response(streamOf([bytesOf("12345"), bytesOf(SMUGGLED)]), {
        headers: { "content-length": "5" },
      }),
    check: notSplit,
  },
  {
    name: "a chunk longer than the content-length of its handler is cut off there",
    handler: () =>
      new Response(streamOf([bytesOf(`12345${SMUGGLED}`)]), { headers: { "content-length": "5" } }),
    check: notSplit,
  },
  {
    name: "a stream shorter than the content-length of its handler ends the connection",
    send: "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    handler: () => new Response(streamOf([bytesOf("123")]), { headers: { "content-length": "5" } }),
    check: ({ body }) => assertEquals(body, "123"),
  },
  {
    name: "a text has its own length, whatever its handler says",
    handler: () => new Response("1234567", { headers: { "content-length": "5" } }),
    check: (wire) => {
      notSplit(wire);
      hasLength(7)(wire);
    },
  },
  {
    name: "a content-length that is no number is not sent",
    handler: () => new Response("1234567", { headers: { "content-length": "5, 7" } }),
    check: hasLength(7),
  },
  {
    name: "a transfer-encoding of the handler is not sent beside a length",
    handler: () => new Response("1234567", { headers: { "transfer-encoding": "gzip, chunked" } }),
    check: hasLength(7),
  },
  {
    name: "an answer of fetch that was compressed is sent as it is now",
    handler: (_request, { upstream }) => fetch(upstream),
    check: (wire) => {
      assert(!/^content-encoding:/im.test(wire.head), wire.head);
      assertMatch(wire.body, /unpacked unpacked/);
      notSplit(wire);
    },
  },
  {
    name: "a 304 has no length",
    handler: () => new Response(null, { status: 304, headers: { "content-length": "100" } }),
    check: ({ head, body }) => {
      assert(!/^(content-length|transfer-encoding):/im.test(head), head);
      assertEquals(body, "");
    },
  },
  {
    name: "a 204 has no length",
    handler: () => new Response(null, { status: 204 }),
    check: ({ head, body }) => {
      assert(!/^(content-length|transfer-encoding):/im.test(head), head);
      assertEquals(body, "");
    },
  },
  {
    name: "an empty answer has the length 0",
    handler: () => new Response(null),
    check: hasLength(0),
  },
  {
    name: "a stream of texts is sent as UTF-8, or fails before its head",
    handler: () =>
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue("täxt" as unknown as Uint8Array);
            controller.close();
          },
        }),
      ),
    check: (wire) => {
      notSplit(wire);
      if (!/^HTTP\/1\.1 500/.test(wire.head)) {
        assertMatch(wire.body, /täxt/);
        if (/^content-length/im.test(wire.head)) hasLength(5)({ ...wire });
      }
    },
  },
  {
    name: "an empty Host stands for the server's own address",
    send: get("Host: "),
    handler: (request, notes) => new Response(notes.url = request.url),
    check: (_wire, { url }) => assertMatch(url, /^http:\/\/[\d.]+:\d+\/a\/b$/),
  },
  {
    name: "a Host that is more than a name and a port is refused, or no part of the path",
    send: get("Host: evil/x?"),
    handler: (request, notes) => new Response(notes.url = request.url),
    check: ({ head }, { url }) => {
      if (!/^HTTP\/1\.1 400 /.test(head)) assertEquals(new URL(url).pathname, "/a/b");
    },
  },
  {
    name: "a path that begins with two slashes is one",
    send: "GET //evil/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    handler: (request, notes) => new Response(notes.url = request.url),
    check: (_wire, { url }) => assertEquals(url, "http://x//evil/b"),
  },
  {
    name: "HEAD gives the length that GET would",
    send: headOf("HEAD"),
    handler: () => new Response("hello"),
    check: (wire) => {
      hasLength(5)(wire);
      assertEquals(wire.body, "");
    },
  },
  {
    name: "HEAD keeps the length that its handler says, and cancels its stream",
    send: headOf("HEAD"),
    handler: (_request, notes) =>
      new Response(streamOf([bytesOf("x"), bytesOf("x")], notes), {
        headers: { "content-length": "1000" },
      }),
    check: (wire, { cancelled }) => {
      hasLength(1000)(wire);
      assertEquals([wire.body, cancelled], ["", 1]);
    },
  },
  {
    name: "a text is sent as text",
    handler: () => new Response("hello"),
    check: ({ head }) => assertMatch(head, /^content-type: text\/plain; ?charset=utf-8$/im),
  },
  {
    name: "bytes have no content type",
    handler: () => new Response(new Uint8Array([1, 0xff, 0xfe])),
    check: ({ head }) => assert(!/^content-type:/im.test(head), head),
  },
  {
    name: "a Blob has the type that it says",
    handler: () => new Response(new Blob(["{}"], { type: "application/x-mine" })),
    check: ({ head }) => assertMatch(head, /^content-type: application\/x-mine(;|$)/im),
  },
  {
    name: "a stream that fails before its first chunk is told to onError",
    handler: () => new Response(streamOf([new Error("no first chunk")])),
    check: (_wire, { errors }) => assertEquals(errors.map(String), ["Error: no first chunk"]),
  },
  {
    name: "a stream that fails in its midst is told to onError, and seen to be cut off",
    handler: () => new Response(streamOf([bytesOf("abc"), new Error("no second chunk")])),
    check: ({ body }, { errors }) => {
      assertEquals(errors.map(String), ["Error: no second chunk"]);
      assert(!body.endsWith("0\r\n\r\n"), body);
    },
  },
  {
    name: "a stream of what is no bytes is told to onError",
    handler: () => new Response(streamOf([{ not: "bytes" }])),
    check: (_wire, { errors }) => {
      assertEquals(errors.length, 1);
      assert(errors[0] instanceof TypeError, String(errors[0]));
    },
  },
  {
    name: "a body that was read already is told to onError",
    handler: async () => {
      const response = new Response("hello");
      await response.text();
      return response;
    },
    check: failed(/TypeError/),
  },
  {
    name: "an error response is told to onError",
    handler: () => Response.error(),
    check: failed(/Error/),
  },
  ...!isDeno ? [] : [{
    name: "a 101 is told to onError",
    send: [
      "GET / HTTP/1.1",
      "Host: x",
      "Connection: close, Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      "",
      "",
    ].join("\r\n"),
    handler: (request: Request) =>
      (globalThis as unknown as {
        Deno: { upgradeWebSocket(request: Request): { response: Response } };
      }).Deno.upgradeWebSocket(request).response,
    check: failed(/Error/),
  }],
  {
    name: "a stream that is pulled is cancelled when the client leaves",
    leaves: "later",
    handler: (_request, notes) => new Response(endless(notes, new Uint8Array(1000))),
    check: (_wire, { cancelled }) => assertEquals(cancelled, 1),
  },
  {
    name: "a stream that waits is cancelled when the client leaves",
    leaves: "later",
    handler: (_request, notes) => new Response(endless(notes, null)),
    check: (_wire, { cancelled }) => assertEquals(cancelled, 1),
  },
  {
    name: "a stream for a client that has left is cancelled, and not pulled",
    leaves: "at once",
    handler: async (request, notes) => {
      await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
      return new Response(endless(notes, new Uint8Array(1000)));
    },
    check: (_wire, { cancelled, pulls }) => {
      assertEquals(cancelled, 1);
      assert(pulls < 3, `${pulls} pulls`);
    },
  },
];

/** A server whose answers are compressed. */
export async function startUpstream(): Promise<{ url: string } & Disposable> {
  const packed = gzipSync("unpacked ".repeat(100));
  const server = createServer((_request, response) => {
    response.writeHead(200, {
      "content-encoding": "gzip",
      "content-length": packed.byteLength,
      connection: "close",
    }).end(packed);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return { url: `http://127.0.0.1:${port}/`, [Symbol.dispose]: () => void server.close() };
}

/** Nothing has happened yet. */
export function newNotes(upstream: string): Notes {
  return { cancelled: 0, pulls: 0, errors: [], url: "", upstream };
}

/** How long a check may take to become true, in milliseconds. */
const PATIENCE = 3000;

/** Makes the request, and checks what comes back. */
export async function runCase(
  { send = get("Host: x"), leaves, check }: Case,
  port: number,
  notes: Notes,
): Promise<void> {
  const wire = await exchange(port, send, leaves);
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    try {
      return check(wire, notes);
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await delay(10);
  }
}

async function exchange(port: number, send: string, leaves: Case["leaves"]): Promise<Wire> {
  // An MPTCP connection that is closed with data in it would end a minute later.
  const linger = leaves === undefined ? {} : { socketOptions: { linger: 0 } };
  using conn = await connectMptcp({ hostname: "127.0.0.1", port, ...linger });
  await writeAll(conn, bytesOf(send));
  if (leaves === "at once") await delay(50);
  else if (leaves === "later") await conn.read(new Uint8Array(1024));
  if (leaves !== undefined) return { head: "", body: "" };
  const timer = setTimeout(() => conn.close(), PATIENCE);
  let text = "";
  const decoder = new TextDecoder();
  const buf = new Uint8Array(65_536);
  try {
    for (let count; (count = await conn.read(buf)) !== null;) {
      text += decoder.decode(buf.subarray(0, count), { stream: true });
    }
  } catch (error) {
    // A reset is an end too; one of our own is not.
    if (conn.fd < 0) {
      throw new Error(`the server does not end the connection: ${text}`, { cause: error });
    }
  } finally {
    clearTimeout(timer);
  }
  const end = text.indexOf("\r\n\r\n");
  return { head: text.slice(0, end), body: text.slice(end + 4) };
}
