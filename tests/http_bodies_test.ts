import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import process from "node:process";
import { connectMptcp, mptcpSupport } from "../mod.ts";
import { serveMptcp, type ServeMptcpOptions } from "../src/http/mod.ts";
import { createCertificate, noCertificate } from "./certificate.ts";
import { assertOpenFds, runsLong, runtime, settledFds, test } from "./harness.ts";
import { ENGINES, outputOf, rawRequest, urlOf } from "./http.ts";
import { missingProgram } from "./processes.ts";
import { bytesOf, delay, readToEnd, readUpTo } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const noCurl = missingProgram("curl") ?? missingProgram("mptcpize") ?? noMptcp;
const certificate = noCertificate === null ? createCertificate() : undefined;

const GIB = 2 ** 30;

/** The length and SHA-256 of what a shell command prints. */
async function digestOfOutput(command: string): Promise<{ digest: string; bytes: number }> {
  const child = spawn("sh", ["-c", command], { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of child.stdout) {
    bytes += (chunk as Uint8Array).byteLength;
    hash.update(chunk as Uint8Array);
  }
  const [status] = await closed;
  assertEquals(status, 0);
  return { digest: hash.digest("hex"), bytes };
}

/** Bytes that do not repeat, and always the same. */
const sourceOf = (size: number) =>
  `head -c ${size} /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null`;

const digests = new Map<number, ReturnType<typeof digestOfOutput>>();

/** What has to come back; found out once for each size. */
function digestOfSource(size: number): ReturnType<typeof digestOfOutput> {
  const known = digests.get(size) ?? digestOfOutput(sourceOf(size));
  digests.set(size, known);
  return known;
}

const MALFORMED = {
  "a request that is none": "NONSENSE\r\n\r\n",
  "a header that is none": "GET / HTTP/1.1\r\nHost: x\r\nA B\r\n\r\n",
  "an endless head": `GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(500_000)}`,
};

for (const engine of ENGINES) {
  const options: ServeMptcpOptions = { hostname: "127.0.0.1", port: 0, engine };
  const isBunNative = runtime === "bun" && engine === "native";

  for (const scheme of ["http", "https"] as const) {
    const size = runsLong ? GIB : GIB / 2;
    const tls = scheme === "https" ? certificate : {};

    test(
      `${engine}: a body of ${size >> 20} MiB comes back by ${scheme} as it went, in little memory`,
      {
        skip: noCurl ?? noCertificate,
        timeout: 180_000,
        long: scheme === "https",
      },
      async () => {
        let protocol = "";
        await using server = serveMptcp({ ...options, ...tls }, (request, info) => {
          protocol = info.protocol;
          return new Response(request.body);
        });
        const before = process.memoryUsage.rss();
        let peak = 0;
        const timer = setInterval(() => peak = Math.max(peak, process.memoryUsage.rss()), 50);
        const curl = `curl -ksS -T - ${urlOf(server, "/", scheme)} -H Expect:`;
        const [sent, received] = await Promise.all([
          digestOfSource(size),
          digestOfOutput(`${sourceOf(size)} | mptcpize run ${curl}`),
        ]);
        clearInterval(timer);
        assertEquals(received, sent);
        assertEquals([received.bytes, protocol], [size, "mptcp"]);
        const growth = (peak - before) / 2 ** 20;
        assert(growth < 400, `${growth} MiB more`);
      },
    );
  }

  test(`${engine}: what a handler throws is answered with 500, and printed`, async () => {
    const printed: unknown[] = [];
    const { error } = console;
    console.error = (...args) => void printed.push(...args);
    try {
      await using server = serveMptcp(options, async (request) => {
        if (request.url.endsWith("/late")) await delay(1);
        throw new Error("secret");
      });
      for (const path of ["/soon", "/late"]) {
        const response = await rawRequest(server.addr.port, path);
        assertStringIncludes(response, "HTTP/1.1 500 ");
        assertStringIncludes(response, "Internal Server Error");
        assert(!response.includes("secret"), response);
      }
      assertEquals(printed.map((error) => (error as Error).message), ["secret", "secret"]);
    } finally {
      console.error = error;
    }
  });

  test(`${engine}: onError answers for a handler that throws, or gives no Response`, async () => {
    const errors: unknown[] = [];
    const onError = (error: unknown) => {
      errors.push(error);
      return new Response("my own answer", { status: 503 });
    };
    await using server = serveMptcp({ ...options, onError }, (request) => {
      if (request.url.endsWith("/throw")) throw "a string";
      return 5 as unknown as Response;
    });
    for (const path of isBunNative ? ["/throw"] : ["/throw", "/none"]) {
      const response = await rawRequest(server.addr.port, path);
      assertStringIncludes(response, "HTTP/1.1 503 ");
      assertStringIncludes(response, "my own answer");
    }
    assertEquals(errors[0], "a string");
    // Bun.serve answers with 204 by itself: a handler that has upgraded to a WebSocket gives nothing.
    if (!isBunNative) assert(errors[1] instanceof TypeError, String(errors[1]));
  });

  test(`${engine}: an onError that throws too leads to a 500`, async () => {
    const { error } = console;
    console.error = () => {};
    try {
      const onError = () => {
        throw new Error("again");
      };
      await using server = serveMptcp({ ...options, onError }, () => {
        throw new Error("once");
      });
      assertStringIncludes(await rawRequest(server.addr.port), "HTTP/1.1 500 ");
    } finally {
      console.error = error;
    }
  });

  test(`${engine}: a client that resets in the middle of its body ends the request`, async () => {
    const before = await settledFds();
    const { promise: ended, resolve } = Promise.withResolvers<unknown>();
    const { promise: aborted, resolve: onAbort } = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const server = serveMptcp(options, async (request) => {
      request.signal.addEventListener("abort", () => onAbort());
      asked.resolve();
      await request.text().then(resolve, resolve);
      return new Response("too late");
    });
    const socketOptions = { linger: 0 };
    const client = await connectMptcp({ port: server.addr.port, socketOptions });
    await client.write(bytesOf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"));
    await asked.promise;
    client.close();
    assert(await ended instanceof Error);
    await aborted;
    await server.shutdown();
    await assertOpenFds(before);
  });

  test(`${engine}: a client that goes away in the middle of the answer cancels its stream`, async () => {
    const before = await settledFds();
    const { promise: cancelled, resolve } = Promise.withResolvers<void>();
    const server = serveMptcp(options, () => {
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
        cancel: () => resolve(),
      });
      return new Response(body);
    });
    const client = await connectMptcp({ port: server.addr.port });
    await client.write(bytesOf("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    await readUpTo(client, 100_000);
    client.close();
    await cancelled;
    await server.shutdown();
    await assertOpenFds(before);
  });

  test(`${engine}: a slow client holds its own answer up, and nothing else`, async () => {
    let produced = 0;
    await using server = serveMptcp(options, (request) => {
      if (request.url.endsWith("/quick")) return new Response("quick");
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (produced === 64 * 2 ** 20) return controller.close();
          produced += 64 * 1024;
          controller.enqueue(new Uint8Array(64 * 1024));
        },
      });
      return new Response(body);
    });
    const { port } = server.addr;
    using slow = await connectMptcp({ port });
    await slow.write(bytesOf("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    await readUpTo(slow, 1000);
    await delay(300);
    const held = produced;
    assert(held < 32 * 2 ** 20, `${held} bytes were produced for a client that does not read`);
    for (let i = 0; i < 10; i++) assertStringIncludes(await rawRequest(port, "/quick"), "quick");
    const rest = await readToEnd(slow);
    assert(rest.byteLength > 63 * 2 ** 20, `${rest.byteLength}`);
  });

  test(`${engine}: a stream that fails cuts the answer short`, async () => {
    await using server = serveMptcp(options, () => {
      let pulls = 0;
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await delay(5);
          if (pulls++ < 3) controller.enqueue(bytesOf("part"));
          else controller.error(new Error("no more"));
        },
      });
      return new Response(body);
    });
    const response = await rawRequest(server.addr.port).catch(() => "reset");
    assert(!response.endsWith("0\r\n\r\n"), response);
    // The server goes on.
    await rawRequest(server.addr.port).catch(() => "reset");
  });

  if (engine === "node") {
    test("node: a Host that makes no URL is answered with 400", async () => {
      await using server = serveMptcp(options, () => new Response("reached"));
      using client = await connectMptcp({ port: server.addr.port });
      await client.write(bytesOf("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"));
      assertStringIncludes(new TextDecoder().decode(await readToEnd(client)), "HTTP/1.1 400 ");
    });

    test("node: a body that is read in part does not harm the next request", async () => {
      await using server = serveMptcp(options, async (request) => {
        await request.body?.getReader().read();
        return new Response(request.url);
      });
      using client = await connectMptcp({ port: server.addr.port });
      const first = "POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n";
      const second = "GET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
      const requests = bytesOf(first + "x".repeat(3_000_000) + second);
      const written = client.writable.getWriter().write(requests);
      const text = new TextDecoder().decode(await readToEnd(client));
      await written;
      assertStringIncludes(text, "http://x/first");
      assertStringIncludes(text, "http://x/second");
    });
  }

  test(`${engine}: a body that the handler leaves alone does not harm the next request`, async () => {
    await using server = serveMptcp(options, (request) => new Response(request.url));
    using client = await connectMptcp({ port: server.addr.port });
    const head = "POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n";
    const last = "GET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const writer = client.writable.getWriter();
    await writer.write(bytesOf(head + "x".repeat(300_000) + last));
    const text = new TextDecoder().decode(await readToEnd(client));
    assertStringIncludes(text, "http://x/first");
    // Deno.serve closes the connection instead of reading on.
    const isClosed = runtime === "deno" && engine === "native";
    assertEquals(text.includes("http://x/second"), !isClosed);
  });

  test(`${engine}: requests and answers keep their parts`, { skip: noCurl }, async () => {
    await using server = serveMptcp(options, async (request) => {
      const { method, url, headers } = request;
      const isReal = new Request(request.clone()) instanceof Request;
      const body = method === "GET" || method === "HEAD" ? null : await request.clone().text();
      const parts = { method, url, cookie: headers.get("cookie"), twice: headers.get("x-a"), body };
      const answer = Response.json({ ...parts, isReal }, { status: 202, statusText: "Fine" });
      answer.headers.append("set-cookie", "a=1");
      answer.headers.append("set-cookie", "b=2");
      answer.headers.set("x-latin", "\u00e9");
      return answer;
    });
    const url = urlOf(server, "/a%20b?c=d&e");
    const headers = ["-H", "Cookie: x=y; z=w", "-H", "X-A: 1", "-H", "X-A: 2"];
    const posted = await outputOf(["curl", "-sSi", "-d", "the body", ...headers, url]);
    // Both native servers have reason phrases of their own.
    const status = engine === "native" ? "HTTP/1.1 202 " : "HTTP/1.1 202 Fine\r\n";
    assertStringIncludes(posted, status);
    assertEquals(posted.match(/^set-cookie: \S+/gim), ["set-cookie: a=1", "set-cookie: b=2"]);
    const cookie = "x=y; z=w";
    const expected = { method: "POST", url, cookie, twice: "1, 2", body: "the body", isReal: true };
    assertEquals(JSON.parse(posted.slice(posted.indexOf("{"))), expected);
    const head = await outputOf(["curl", "-sSI", url]);
    assertStringIncludes(head, status);
    assertEquals(head.split("\r\n\r\n")[1], "");
  });

  for (const [what, request] of Object.entries(MALFORMED)) {
    test(`${engine}: ${what} never reaches the handler`, async () => {
      let calls = 0;
      await using server = serveMptcp(options, () => {
        calls++;
        return new Response("reached");
      });
      using client = await connectMptcp({ port: server.addr.port });
      const writer = client.writable.getWriter();
      writer.closed.catch(() => {});
      writer.write(bytesOf(request)).catch(() => {});
      const answer = readToEnd(client).catch(() => new Uint8Array());
      await delay(200);
      client.close();
      assert(!new TextDecoder().decode(await answer).includes("reached"));
      assertEquals(calls, 0);
      assertStringIncludes(await rawRequest(server.addr.port), "reached");
    });
  }
}
