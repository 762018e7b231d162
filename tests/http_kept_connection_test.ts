import { assert, assertEquals, assertRejects } from "@std/assert";
import { libc } from "../ffi/runtime.ts";
import { listenMptcp, type MptcpConn, type MptcpListener, mptcpSupport } from "../mod.ts";
import {
  createMptcpClient,
  type MptcpClient,
  type MptcpClientConnection,
  serveMptcp,
} from "../src/http/mod.ts";
import { RequestFraming } from "../src/http/request_framing.ts";
import { resetOnClose } from "../src/poll/socket.ts";
import { createSigned, noCertificate } from "./certificate.ts";
import { stubLibc } from "./faults.ts";
import { assertOpenFds, settledFds, test } from "./harness.ts";
import { urlOf } from "./http.ts";
import { bytesOf, delay, LOOPBACKS } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const PROTOCOLS = [["mptcp", "require", noMptcp], ["tcp", "off", null]] as const;
const ANSWER = "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok";

/** Where the first request in `text` ends; 0 if it is not whole. */
function requestEnd(text: string): number {
  const head = text.indexOf("\r\n\r\n") + 4;
  if (head < 4) return 0;
  if (/\r\ntransfer-encoding: chunked/i.test(text.slice(0, head))) {
    const end = text.indexOf("\r\n0\r\n\r\n", head - 2);
    return end < 0 ? 0 : end + 7;
  }
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, head))?.[1] ?? 0);
  return text.length < head + length ? 0 : head + length;
}

/** A server whose connections a test ends. It says that it keeps them. */
class Server implements Disposable {
  /** What it has been sent, by connections. */
  readonly received: string[] = [];
  readonly protocols = new Set<string>();
  /** Called with each request that is whole; `answer` by default. */
  onRequest = (conn: MptcpConn): void => void conn.write(bytesOf(ANSWER)).catch(() => {});
  /** Called whenever bytes have come. */
  onBytes: OnBytes = () => {};
  readonly #listener: MptcpListener;
  readonly #conns = new Set<MptcpConn>();

  constructor(hostname: string, mptcp: "require" | "off") {
    this.#listener = listenMptcp({ hostname, port: 0, mptcp });
    void this.#accept();
  }

  get url(): string {
    const { hostname, port } = this.#listener.addr;
    return `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}/`;
  }

  /** Ends all connections, as a server does whose time-out is over; how many. */
  end(close: (conn: MptcpConn) => void = (conn) => conn.close()): number {
    const open = [...this.#conns].filter(({ fd }) => fd >= 0);
    for (const conn of open) close(conn);
    this.#conns.clear();
    return open.length;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    this.end();
  }

  async #accept(): Promise<void> {
    for await (const conn of this.#listener) void this.#serve(conn).catch(() => {});
  }

  async #serve(conn: MptcpConn): Promise<void> {
    this.#conns.add(conn);
    this.protocols.add(conn.protocol);
    const at = this.received.push("") - 1;
    const buf = new Uint8Array(64 * 1024);
    let text = "";
    for (let count; (count = await conn.read(buf)) !== null;) {
      const more = new TextDecoder("latin1").decode(buf.subarray(0, count));
      this.received[at] += more;
      text += more;
      this.onBytes(conn, text);
      for (let end; (end = requestEnd(text)) > 0;) {
        text = text.slice(end);
        this.onRequest(conn);
      }
    }
    conn.close();
  }
}

function streamOf(...chunks: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(bytesOf(chunk));
      controller.close();
    },
  });
}

/** Requests, none of which a client may repeat of its own accord but PUT. */
const REQUESTS: Readonly<Record<string, () => RequestInit>> = {
  "POST with a text": () => ({ method: "POST", body: "hello" }),
  "POST without a body": () => ({ method: "POST" }),
  "PATCH with bytes": () => ({ method: "PATCH", body: new Uint8Array(10) }),
  "PUT with a long body": () => ({ method: "PUT", body: "x".repeat(100_000) }),
  "POST with a streamed body": () =>
    ({ method: "POST", body: streamOf("first", "second"), duplex: "half" }) as RequestInit,
};

async function send(client: MptcpClient, url: string, init: RequestInit): Promise<void> {
  assertEquals(await (await client.fetch(url, init)).text(), "ok");
}

/**
 * Has the server end its connections and waits until the kernel of the client knows, but not the client:
 * nothing of it runs meanwhile. A worker of the kernel handles the end of an MPTCP stream.
 */
function endBehind(server: Server, client: MptcpClient): void {
  const open = client.connections().filter(({ isOpen }) => isOpen);
  const before = open.map((connection) => connection.info()?.rcvNxt);
  const count = server.end();
  const isEnded = (connection: MptcpClientConnection, i: number) =>
    before[i] === undefined
      ? connection.subflows()[0]?.tcp?.state === "CLOSE_WAIT"
      : connection.info()?.rcvNxt !== before[i];
  const began = performance.now();
  while (open.filter(isEnded).length < count) assert(performance.now() - began < 10_000);
}

const ROUNDS = 6;

type OnBytes = (conn: MptcpConn, text: string) => void;

/** Bodies of requests that a server has seen when it ends, and when it does. */
const SEEN: Readonly<Record<string, [string, OnBytes]>> = {
  "the whole of a request": ["second", (conn, text) => {
    if (text.endsWith("second")) conn.close();
  }],
  "the beginning of a request": ["x".repeat(1 << 20), (conn, text) => {
    if (text.includes("POST /second")) conn.close();
  }],
};

for (const [protocol, mptcp, skip] of PROTOCOLS) {
  for (const hostname of LOOPBACKS) {
    for (const [name, init] of Object.entries(REQUESTS)) {
      test(
        `over ${protocol} at ${hostname}: ${name} finds that the server has ended the connection, and takes another`,
        {
          skip,
        },
        async () => {
          const before = await settledFds();
          const server = new Server(hostname, mptcp);
          const client = createMptcpClient({ mptcp: mptcp === "off" ? "off" : "require-peer" });
          for (let i = 0; i < ROUNDS; i++) {
            await send(client, server.url, init());
            endBehind(server, client);
          }
          assertEquals(server.received.length, ROUNDS);
          assertEquals([...server.protocols], [protocol]);
          const used = new Set(client.connections().map(({ protocol }) => protocol));
          assertEquals([...used], [protocol]);
          await client[Symbol.asyncDispose]();
          server[Symbol.dispose]();
          await assertOpenFds(before);
        },
      );
    }
  }

  test(`over ${protocol}: several requests at once find their connections ended`, {
    skip,
  }, async () => {
    using server = new Server("127.0.0.1", mptcp);
    await using client = createMptcpClient({ mptcp });
    for (let i = 0; i < 5; i++) {
      const inits = Object.values(REQUESTS).map((init) => init());
      await Promise.all(inits.map((init) => send(client, server.url, init)));
      endBehind(server, client);
    }
    // One that is answered soon leaves its connection to another.
    const heads = server.received.join("").match(/ HTTP\/1\.1\r\n/g) ?? [];
    assertEquals(heads.length, 5 * Object.keys(REQUESTS).length);
  });

  test(
    `over ${protocol}: an end on its way when the request leaves moves the request, whole and once`,
    {
      skip,
    },
    async () => {
      using server = new Server("127.0.0.1", mptcp);
      await using client = createMptcpClient({ mptcp });
      await send(client, server.url, { method: "POST", body: "first" });
      const { send: realSend } = libc();
      let isArmed = true;
      using _ = stubLibc({
        // Between the client's look at the connection and the bytes that it sends.
        send: (fd, buf, length, flags) => {
          const text = new TextDecoder("latin1").decode(buf.subarray(0, 4));
          if (isArmed && text === "POST" && server.received.length === 1) {
            isArmed = false;
            server.end();
          }
          return realSend(fd, buf, length, flags);
        },
      });
      const outcome = await client.fetch(server.url, { method: "POST", body: "second" }).then(
        (response) => response.text(),
        () => "failed",
      );
      assert(!isArmed);

      // A closed MPTCP socket acknowledges what comes: whether anybody has read it, nobody can tell.
      if (protocol === "tcp") assertEquals(outcome, "ok");
      const second = server.received.filter((text) => text.includes("second"));
      assertEquals(second.length, outcome === "ok" ? 1 : 0);
    },
  );

  test(
    `over ${protocol}: a request that the server may have seen is sent no more often than by fetch itself`,
    {
      skip,
    },
    async () => {
      await using client = createMptcpClient({ mptcp });
      for (const [name, [body, onBytes]] of Object.entries(SEEN)) {
        const counts: number[] = [];
        for (const fetchIt of [fetch, client.fetch]) {
          using server = new Server("127.0.0.1", fetchIt === fetch ? "off" : mptcp);
          const post = (path: string, body: string) =>
            fetchIt(server.url + path, { method: "POST", body });
          await (await post("", "first")).text();
          server.onBytes = onBytes;
          await assertRejects(() => post("second", body), Error);
          counts.push(server.received.filter((text) => text.includes("POST /second")).length);
        }
        const [usual, ours] = counts;
        assert(ours! >= 1 && ours! <= usual!, `${name}: ${ours} times, by fetch itself ${usual}`);
      }
    },
  );

  test(`over ${protocol}: the rest of a body is never taken for a request`, { skip }, async () => {
    using server = new Server("127.0.0.1", mptcp);
    await using client = createMptcpClient({ mptcp });
    await send(client, server.url, { method: "POST", body: "first" });
    // It answers when it has seen a part of the body, and ends.
    server.onBytes = (conn, text) => {
      if (!text.includes("early")) return;
      void conn.write(bytesOf(ANSWER)).then(() => conn.close(), () => {});
    };
    const { promise: isAnswered, resolve } = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        controller.enqueue(bytesOf("early"));
        await isAnswered;
        await delay(10);
        try {
          controller.enqueue(bytesOf("POST /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"));
          controller.close();
        } catch {
          // It has been cancelled.
        }
      },
    }, { highWaterMark: 0 });
    const init = { method: "POST", body, duplex: "half" } as RequestInit;
    const outcome = await client.fetch(server.url, init).then(async (response) => {
      await response.body?.cancel();
      return response.status;
    }, () => 0);
    resolve();
    await delay(50);
    assert(outcome === 200 || outcome === 0);
    for (const text of server.received) assert(!text.startsWith("POST /smuggled"), text);
    assertEquals(server.received.length, 1);
  });

  test(`over ${protocol}: an answer that the end of its connection delimits is not held back`, {
    skip,
  }, async () => {
    using server = new Server("127.0.0.1", mptcp);
    server.onRequest = (conn) => {
      void conn.write(bytesOf("HTTP/1.1 200 OK\r\n\r\nok")).then(() => conn.close(), () => {});
    };
    await using client = createMptcpClient({ mptcp });
    const began = performance.now();
    for (let i = 0; i < 5; i++) await send(client, server.url, { method: "POST", body: "hello" });
    assert(performance.now() - began < 1000);
  });

  test(
    `over ${protocol}: a server that is gone when a kept connection has ended is the error's cause`,
    {
      skip,
    },
    async () => {
      const server = new Server("127.0.0.1", mptcp);
      await using client = createMptcpClient({ mptcp });
      await send(client, server.url, { method: "POST", body: "hello" });
      server[Symbol.dispose]();
      const error = await assertRejects(
        () => client.fetch(server.url, { method: "POST", body: "hello" }),
        TypeError,
      );
      assertEquals((error.cause as { code?: string } | undefined)?.code, "ECONNREFUSED");
    },
  );

  test(`over ${protocol}: HTTPS finds that the server has been replaced by another`, {
    skip: skip ?? noCertificate,
  }, async () => {
    const { ca, cert, key } = createSigned();
    const serve = (port: number) =>
      serveMptcp({ hostname: "127.0.0.1", port, mptcp, cert, key }, () => new Response("ok"));
    let server = serve(0);
    await using client = createMptcpClient({ mptcp, caCerts: [ca] });
    for (let i = 0; i < 2; i++) {
      await send(client, urlOf(server, "/", "https"), { method: "POST", body: "hello" });
      const { port } = server.addr;
      await server.shutdown();
      server = serve(port);
    }
    await server.shutdown();
  });
}

// A worker of the kernel handles a reset of MPTCP, when it may be too late to know what was seen.
test("a TCP connection that the server has reset meanwhile is no reason to fail", async () => {
  using server = new Server("127.0.0.1", "off");
  await using client = createMptcpClient({ mptcp: "off" });
  for (let i = 0; i < ROUNDS; i++) {
    await send(client, server.url, { method: "POST", body: "hello" });
    server.end((conn) => {
      resetOnClose(conn.fd);
      conn.close();
    });
  }
  assertEquals(server.received.length, ROUNDS);
});

test("the framing of requests is followed however they are cut", () => {
  const requests = [
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n\r\n\r\n",
    "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\na;x=y\r\nhello\r\n0\r\n\r\n0\r\nTrailer: z\r\n\r\n",
    `POST / HTTP/1.1\r\nX: ${"y".repeat(3000)}\r\nContent-Length: 3000\r\n\r\n${"z".repeat(3000)}`,
  ];
  const bytes = bytesOf(requests.join(""));
  const ends = new Set<number>();
  for (let at = 0, i = 0; i < requests.length; i++) ends.add(at += requests[i]!.length);
  for (const size of [1, 2, 3, 7, 1000, 5000]) {
    const framing = new RequestFraming();
    for (let at = 0; at < bytes.byteLength; at += size) {
      assertEquals(framing.isBetween, at === 0 || ends.has(at), `${at} by ${size}`);
      framing.push(bytes.subarray(at, at + size));
    }
    assertEquals([framing.isBetween, framing.isOpaque], [true, false]);
  }
  for (
    const other of [
      "\x16\x03\x01\x02",
      "CONNECT x:1 HTTP/1.1\r\n\r\n",
      "POST / HTTP/1.1\r\nUpgrade: other\r\n\r\n",
    ]
  ) {
    const framing = new RequestFraming();
    framing.push(bytesOf(other));
    assertEquals([framing.isBetween, framing.isOpaque], [false, true], other);
  }
});
