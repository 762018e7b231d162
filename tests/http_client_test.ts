import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { pretendUnsupported } from "../ffi/runtime.ts";
import { listenMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import {
  createMptcpClient,
  type MptcpClientOptions,
  type MptcpServer,
  serveMptcp,
  type ServeMptcpHandler,
  type ServeMptcpOptions,
} from "../src/http/mod.ts";
import { createSigned, noCertificate } from "./certificate.ts";
import { assertOpenFds, runtime, settledFds, test } from "./harness.ts";
import { noNativeEngine, outputOf, tell, type Told, urlOf } from "./http.ts";
import {
  createNetns,
  missingNamespaces,
  missingProgram,
  pythonPeer,
  runProgram,
} from "./processes.ts";
import { bytesOf, delay, LOOPBACKS, readUpTo } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const signed = noCertificate === null ? createSigned() : null;
const tls = signed === null ? {} : { cert: signed.cert, key: signed.key };
const trust: MptcpClientOptions = signed === null ? {} : { caCerts: [signed.ca] };

function serve(handler: ServeMptcpHandler, options: ServeMptcpOptions = {}): MptcpServer {
  return serveMptcp({ hostname: "127.0.0.1", port: 0, ...options }, handler);
}

for (const scheme of ["http", "https"] as const) {
  const skip = noMptcp ?? (scheme === "https" ? noCertificate : null);
  const secure = scheme === "https" ? tls : {};

  for (const hostname of LOOPBACKS) {
    test(`a client knows that it spoke MPTCP to ${hostname} by ${scheme}`, { skip }, async () => {
      const before = await settledFds();
      const server = serve(tell, { hostname, ...secure });
      const client = createMptcpClient(trust);
      const response = await client.fetch(urlOf(server, "/", scheme));
      const told: Told = await response.json();
      const [connection, ...others] = client.connections();
      assertEquals(others, []);
      assertEquals([connection!.protocol, connection!.fallback, told.protocol], [
        "mptcp",
        null,
        "mptcp",
      ]);
      assertEquals([connection!.hostname, connection!.port], [hostname, server.addr.port]);
      assertEquals(connection!.remoteAddr, { transport: "tcp", ...addrOf(server) });
      assertEquals(connection!.localAddr.port, told.port);
      assertEquals([connection!.isOpen, connection!.subflows().length], [true, 1]);
      const sent = connection!.info()?.bytesSent;
      client.close();
      assertEquals([connection!.isOpen, connection!.protocol], [false, "mptcp"]);
      assertEquals([connection!.info()?.bytesSent, connection!.subflows().length], [sent, 1]);
      await server.shutdown();
      await assertOpenFds(before);
    });
  }

  test(`a client knows that the server spoke TCP by ${scheme}`, { skip }, async () => {
    await using server = serve(tell, { mptcp: "off", ...secure });
    await using client = createMptcpClient(trust);
    const told: Told = await (await client.fetch(urlOf(server, "/", scheme))).json();
    const [connection] = client.connections();
    assertEquals([connection!.protocol, connection!.fallback?.reason], ["tcp", "peer"]);
    assertEquals([told.protocol, connection!.info()], ["tcp", null]);
  });

  test(`a client keeps a connection alive by ${scheme}, and opens more if it must`, {
    skip,
  }, async () => {
    await using server = serve(async (request) => {
      if (request.url.endsWith("/slow")) await delay(100);
      return new Response("x".repeat(1000));
    }, secure);
    await using client = createMptcpClient(trust);
    for (let i = 0; i < 5; i++) {
      assertEquals((await (await client.fetch(urlOf(server, "/", scheme))).text()).length, 1000);
    }
    // The fetch of Node.js begins its second request before it knows that the first connection is free.
    assertEquals(client.connections().length, runtime === "node" ? 2 : 1);
    const url = urlOf(server, "/slow", scheme);
    const responses = await Promise.all(Array.from({ length: 10 }, () => client.fetch(url)));
    for (const response of responses) assertEquals((await response.text()).length, 1000);
    const count = client.connections().length;
    // HTTP/2 has all of them on one connection.
    if (runtime === "deno" && scheme === "https") assertEquals(count, 1);
    else assert(count >= 10, `${count}`);
  });

  test(`bodies of 64 MiB go both ways by ${scheme}`, { skip, timeout: 120_000 }, async () => {
    const block = new Uint8Array(64 * 1024).map((_, i) => i * 31 >> 3);
    const stream = () => {
      let left = 1024;
      return new ReadableStream<Uint8Array>({
        pull(controller) {
          if (left-- > 0) controller.enqueue(block);
          else controller.close();
        },
      });
    };
    const digest = async (body: ReadableStream<Uint8Array>) => {
      const hash = createHash("sha256");
      let bytes = 0;
      for await (const chunk of body) {
        hash.update(chunk);
        bytes += chunk.byteLength;
      }
      return { digest: hash.digest("hex"), bytes };
    };
    await using server = serve(
      async (request) =>
        request.method === "POST"
          ? Response.json(await digest(request.body!))
          : new Response(stream()),
      secure,
    );
    await using client = createMptcpClient(trust);
    const url = urlOf(server, "/", scheme);
    const init = { method: "POST", body: stream(), duplex: "half" };
    const [uploaded, downloaded, expected] = await Promise.all([
      client.fetch(url, init).then((response) => response.json()),
      client.fetch(url).then((response) => digest(response.body!)),
      digest(stream()),
    ]);
    assertEquals([uploaded, downloaded], [expected, expected]);
    assertEquals(expected.bytes, 64 * 2 ** 20);
    for (const { protocol } of client.connections()) assertEquals(protocol, "mptcp");
  });
}

function addrOf({ addr: { hostname, port } }: MptcpServer): { hostname: string; port: number } {
  return { hostname, port };
}

test("a client reaches Python by MPTCP and by TCP, and knows which", {
  skip: missingProgram("python3") ?? noMptcp,
}, async () => {
  for (const protocol of [262, 6]) {
    await using peer = pythonPeer("serve", "127.0.0.1", protocol);
    const { port } = await peer.next<{ port: number }>();
    await using client = createMptcpClient();
    const response = await client.fetch(`http://127.0.0.1:${port}/path?query`);
    // A server that does not know a proxy's words for a path would answer with 404.
    assertEquals([response.status, await response.text()], [200, "/path?query"]);
    const { isMptcp } = await peer.next<{ isMptcp: boolean }>();
    const [connection] = client.connections();
    assertEquals(
      [isMptcp, connection!.protocol],
      protocol === 262 ? [true, "mptcp"] : [false, "tcp"],
    );
  }
});

test("a certificate that nobody trusts is refused, and no request is made", {
  skip: noCertificate,
}, async () => {
  let calls = 0;
  await using server = serve(() => {
    calls++;
    return new Response();
  }, { ...tls, hostname: "0.0.0.0" });
  await using client = createMptcpClient();
  await assertRejects(() => client.fetch(urlOf(server, "/", "https")), Error);
  await using trusting = createMptcpClient(trust);
  const other = urlOf(server, "/", "https").replace("127.0.0.1", "127.0.0.2");
  await assertRejects(() => trusting.fetch(other), Error);
  assertEquals(calls, 0);
});

test("redirects are followed as the standard says", async () => {
  const seen: string[] = [];
  const record: ServeMptcpHandler = async (request) => {
    const { method, url, headers } = request;
    const { pathname, port } = new URL(url);
    const parts = [method, pathname, headers.get("authorization"), headers.get("content-type")];
    seen.push([...parts, await request.text()].join(" "));
    const [, status, to] = pathname.split("/");
    if (status === "final") return new Response("arrived");
    const path = to === "loop" ? pathname : "/final";
    const location = to === "other" ? urlOf(other, "/final") : path;
    return new Response(port, { status: Number(status), headers: { location } });
  };
  await using server = serve(record);
  await using other = serve(record);
  await using client = createMptcpClient();
  const headers = { authorization: "secret", "content-type": "text/plain" };

  const cases: [path: string, init: RequestInit, expected: string][] = [
    ["/302/here", {}, "GET /final   "],
    ["/301/here", { headers }, "GET /final secret text/plain "],
    ["/302/other", { headers: { authorization: "secret" } }, "GET /final   "],
    ["/302/here", { method: "POST", body: "b", headers }, "GET /final secret  "],
    ["/303/here", { method: "PUT", body: "b", headers }, "GET /final secret  "],
    ["/307/here", { method: "POST", body: "b", headers }, "POST /final secret text/plain b"],
    ["/308/other", { method: "POST", body: "b", headers }, "POST /final  text/plain b"],
  ];
  for (const [path, init, expected] of cases) {
    seen.length = 0;
    const response = await client.fetch(urlOf(server, path), init);
    assertEquals([await response.text(), response.redirected], ["arrived", true], path);
    assertEquals(new URL(response.url).pathname, "/final");
    assertEquals([seen.length, seen[1]], [2, expected], path);
  }

  const manual = await client.fetch(urlOf(server, "/302/here"), { redirect: "manual" });
  assertEquals([manual.status, manual.headers.get("location")], [302, "/final"]);
  await manual.body?.cancel();
  const failing = { redirect: "error" } as const;
  await assertRejects(() => client.fetch(urlOf(server, "/302/here"), failing), TypeError);
  await assertRejects(() => client.fetch(urlOf(server, "/302/loop")), TypeError);
  const plain = await client.fetch(urlOf(server, "/final"));
  assertEquals([await plain.text(), plain.redirected], ["arrived", false]);
});

test("a Request is fetched with its method, headers and body", async () => {
  await using server = serve(async (request) =>
    new Response(`${request.method} ${request.headers.get("x-a")} ${await request.text()}`)
  );
  await using client = createMptcpClient();
  const { fetch } = client;
  const init = { method: "PUT", headers: { "x-a": "1" }, body: "the body" };
  const response = await fetch(new Request(urlOf(server), init));
  assertEquals(await response.text(), "PUT 1 the body");
  assertEquals(await (await fetch("data:text/plain,of%20its%20own")).text(), "of its own");
  await assertRejects(() => fetch("nonsense"), TypeError);
});

/** The error of a connection that made `fetch` fail, which fails as that of the runtime does. */
async function causeOf(fetching: () => Promise<unknown>): Promise<MptcpError> {
  const error = await assertRejects(fetching, TypeError);
  assert(error.cause instanceof MptcpError, String(error));
  assertStringIncludes(error.message, error.cause.message);
  return error.cause;
}

test("who cannot be reached is named, by a TypeError as that of fetch", async () => {
  await using client = createMptcpClient();
  const listener = listenMptcp({ hostname: "127.0.0.1" });
  const { port } = listener.addr;
  listener.close();
  const refused = await causeOf(() => client.fetch(`http://127.0.0.1:${port}/`));
  assertEquals([refused.code, refused.address, refused.port], ["ECONNREFUSED", "127.0.0.1", port]);
  const unknown = await causeOf(() => client.fetch("http://nobody.invalid/"));
  assert(["ENOTFOUND", "EAI_AGAIN"].includes(unknown.code), unknown.code);
  assertEquals(unknown.address, "nobody.invalid");
  await using server = serve(() => Response.redirect(`http://127.0.0.1:${port}/`));
  const behind = await causeOf(() => client.fetch(urlOf(server)));
  assertEquals([behind.code, behind.port], ["ECONNREFUSED", port]);
});

test('mptcp "require" fails where this kernel refuses, and nothing is connected', {
  skip: missingNamespaces(),
}, async () => {
  using netns = createNetns("client", { "net.mptcp.enabled": 0 });
  await using server = serve(tell, { netns: netns.name });
  const url = urlOf(server);
  await using strict = createMptcpClient({ netns: netns.name, mptcp: "require" });
  const error = await causeOf(() => strict.fetch(url));
  assertEquals([error.code, strict.connections()], ["ENOPROTOOPT", []]);
  await using client = createMptcpClient({ netns: netns.name });
  const told: Told = await (await client.fetch(url)).json();
  assertEquals([told.protocol, client.connections()[0]!.fallback?.reason], ["tcp", "kernel"]);
});

test("require-peer fails where the server speaks TCP", { skip: noMptcp }, async () => {
  let calls = 0;
  const count = () => {
    calls++;
    return new Response("ok");
  };
  await using plain = serve(count, { mptcp: "off" });
  await using server = serve(count);
  await using client = createMptcpClient({ mptcp: "require-peer" });
  const error = await causeOf(() => client.fetch(urlOf(plain)));
  assertEquals([error.code, error.port, calls], ["ERR_MPTCP_PEER", plain.addr.port, 0]);
  assertEquals(await (await client.fetch(urlOf(server))).text(), "ok");
  assertEquals(client.connections().length, 1);
});

test("an aborted request ends at both ends, before and within the answer", async () => {
  const before = await settledFds();
  const asked = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  let cancels = 0;
  const server = serve((request) => {
    if (request.url.endsWith("/never")) {
      request.signal.addEventListener("abort", () => gone.resolve());
      asked.resolve();
      return new Promise(() => {});
    }
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
      cancel: () => void cancels++,
    });
    return new Response(body);
  }, { engine: "node" });
  const client = createMptcpClient();
  const controller = new AbortController();
  const waiting = client.fetch(urlOf(server, "/never"), { signal: controller.signal });
  asked.promise.then(() => controller.abort());
  await assertRejects(() => waiting, DOMException);
  await gone.promise;

  const reading = new AbortController();
  const response = await client.fetch(urlOf(server, "/endless"), { signal: reading.signal });
  const reader = response.body!.getReader();
  await reader.read();
  reading.abort();
  await assertRejects(async () => {
    for (;;) if ((await reader.read()).done) break;
  }, Error);
  while (cancels === 0) await delay(5);
  client.close();
  await server.shutdown();
  await assertOpenFds(before);
});

/** How a client leaves in the middle of an answer, as the end of a program. */
const DEPARTURES = {
  "aborts its request": "controller.abort()",
  "exits": "process.exit()",
  "is killed": 'process.kill(process.pid, "SIGKILL")',
};

for (const [ending, leave] of Object.entries(DEPARTURES)) {
  test(`a server is rid of a client that ${ending} in the middle of an answer over MPTCP`, {
    skip: noMptcp,
  }, async () => {
    const protocols: string[] = [];
    let cancels = 0;
    await using server = serve((_request, info) => {
      protocols.push(info.protocol);
      // Slow enough for the client to have read all there is, most of the time.
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await delay(2);
          controller.enqueue(new Uint8Array(8 * 1024));
        },
        cancel: () => void cancels++,
      });
      return new Response(body);
    }, { engine: "node", mptcp: "require" });
    for (let i = 1; i <= 3; i++) {
      await runProgram(`
        import process from "node:process";
        import { createMptcpClient } from "./src/http/mod.ts";
        const controller = new AbortController();
        const client = createMptcpClient();
        const { signal } = controller;
        const response = await client.fetch("${urlOf(server, "/")}", { signal });
        const reader = response.body.getReader();
        for (let i = 0; i < 20; i++) await reader.read();
        ${leave};`);
      for (let waited = 0; cancels < i; waited += 10) {
        assert(waited < 5000, "the server still sends");
        await delay(10);
      }
    }
    assertEquals(protocols, ["mptcp", "mptcp", "mptcp"]);
  });
}

const FRAMINGS = {
  "a length": "Content-Length: 100\r\n\r\nhalf of",
  "chunks": "Transfer-Encoding: chunked\r\n\r\n64\r\nhalf of",
  "no end but its connection's": "Connection: close\r\n\r\nhalf of",
};

for (const [framing, answer] of Object.entries(FRAMINGS)) {
  const only = framing.startsWith("no") && {
    only: {
      runtime: "deno" as const,
      reason: "its fetch is led over Unix sockets, which cannot be reset",
    },
  };
  const name = `an answer with ${framing} that the server breaks off is not taken for the whole`;
  test(name, only || {}, async () => {
    using listener = listenMptcp({ hostname: "127.0.0.1", socketOptions: { linger: 0 } });
    const answered = Promise.withResolvers<void>();
    const serving = (async () => {
      using conn = await listener.accept();
      await readUpTo(conn, 16);
      await conn.write(bytesOf(`HTTP/1.1 200 OK\r\n${answer}`));
      await answered.promise;
    })();
    await using client = createMptcpClient();
    const response = await client.fetch(`http://127.0.0.1:${listener.addr.port}/`);
    answered.resolve();
    await assertRejects(() => response.text(), Error);
    await serving;
  });
}

test("an answer that ends with its connection is the whole", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const serving = (async () => {
    using conn = await listener.accept();
    await conn.read(new Uint8Array(10_000));
    await conn.write(bytesOf("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it"));
  })();
  await using client = createMptcpClient();
  const response = await client.fetch(`http://127.0.0.1:${listener.addr.port}/`);
  assertEquals(await response.text(), "all of it");
  await serving;
});

test("a closed client fetches nothing, and what it was fetching fails", async () => {
  const before = await settledFds();
  const controller = new AbortController();
  const server = serve(() => new Promise(() => {}), { signal: controller.signal });
  const client = createMptcpClient();
  const waiting = client.fetch(urlOf(server)).then(() => null, (error) => error as Error);
  await delay(50);
  client.close();
  client.close();
  assert(await waiting instanceof Error);
  const error = await assertRejects(() => client.fetch(urlOf(server)), MptcpError);
  assertEquals(error.name, "BadResource");
  controller.abort();
  await server.finished;
  await assertOpenFds(before);
});

test("100 clients come and go without a descriptor", async () => {
  const before = await settledFds();
  const server = serve(() => new Response("ok"));
  for (let i = 0; i < 100; i++) {
    await using client = createMptcpClient();
    if (i % 2 === 0) assertEquals(await (await client.fetch(urlOf(server))).text(), "ok");
  }
  await server.shutdown();
  await assertOpenFds(before);
});

test("members of init that would lead past the client are refused by name", async () => {
  await using client = createMptcpClient();
  for (const name of ["client", "proxy", "unix", "tls", "dispatcher", "agent"]) {
    const init = { [name]: {} } as RequestInit;
    await assertRejects(() => client.fetch("http://127.0.0.1:1/", init), TypeError, `init.${name}`);
  }
});

test("a client that shuts down answers what is under way, takes no more, and cuts off in the end", async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Response>();
  await using server = serve(() => {
    asked.resolve();
    return answer.promise;
  });
  const client = createMptcpClient();
  const waiting = client.fetch(urlOf(server));
  await asked.promise;
  const ended = client.shutdown();
  await assertRejects(() => client.fetch(urlOf(server)), MptcpError, "closed");
  answer.resolve(new Response("in time"));
  assertEquals(await (await waiting).text(), "in time");
  await ended;
  await client.finished;

  await using silent = serve(() => new Promise<Response>(() => {}));
  const impatient = createMptcpClient();
  const never = assertRejects(() => impatient.fetch(urlOf(silent)), Error);
  await impatient.shutdown({ timeout: 50 });
  await never;
  silent.close();
});

test("options of the wrong type are refused by name", () => {
  const bad: [Record<string, unknown>, string][] = [
    [{ caCerts: "x" }, "caCerts"],
    [{ cert: "x" }, "cert and key"],
    [{ mptcp: "yes" }, "mptcp"],
  ];
  for (const [options, includes] of bad) {
    assertThrows(() => createMptcpClient(options), TypeError, includes);
  }
});

test("where there is no MPTCP at all the runtime's own fetch has to do", {
  place: noNativeEngine,
}, async () => {
  await using server = serve(() => new Response("ok"));
  const real = pretendUnsupported("the operating system is Plan 9, not Linux");
  try {
    await using client = createMptcpClient();
    assertEquals(await (await client.fetch(urlOf(server))).text(), "ok");
    assertEquals(client.connections(), []);
    await using strict = createMptcpClient({ mptcp: "require" });
    await assertRejects(() => strict.fetch(urlOf(server)), MptcpError, "Plan 9");
  } finally {
    pretendUnsupported(real);
  }
});

test("fetchMptcp lets the process end", async () => {
  const { stdout, stderr, status, milliseconds } = await runProgram(`
    import { fetchMptcp, serveMptcp } from "./src/http/mod.ts";
    const server = serveMptcp({ port: 0 }, (_request, info) => new Response(info.protocol));
    server.unref();
    for (let i = 0; i < 3; i++) {
      const response = await fetchMptcp("http://127.0.0.1:" + server.addr.port + "/");
      console.log(await response.text());
    }`);
  const expected = noMptcp === null ? "mptcp\n" : "tcp\n";
  assertEquals([stdout, stderr, status], [expected.repeat(3), "", 0]);
  // An idle connection of node:http keeps the process until it is closed, four seconds later.
  assert(milliseconds < (runtime === "node" ? 15_000 : 5000), `${milliseconds}`);
});

test("no variable of the environment leads fetch past the client", async () => {
  const program = `
    import { createMptcpClient, serveMptcp } from "./src/http/mod.ts";
    await using server = serveMptcp({ port: 0 }, () => new Response("ok"));
    await using client = createMptcpClient();
    const response = await client.fetch("http://127.0.0.1:" + server.addr.port + "/");
    console.log(await response.text(), client.connections().length);
    import process from "node:process";
    console.log(process.env.NO_PROXY);`;
  for (const NO_PROXY of ["*", "127.0.0.1", ""]) {
    const env = { NO_PROXY, HTTP_PROXY: "http://127.0.0.1:9", http_proxy: "http://127.0.0.1:9" };
    const { stdout, stderr } = await runProgram(program, { env });
    assertEquals([stdout, stderr], [`ok 1\n${NO_PROXY}\n`, ""]);
  }
});

test(
  "the tunnel serves nobody but its own process",
  { skip: missingProgram("python3") },
  async () => {
    await using server = serve(() => new Response("reached"));
    await using client = createMptcpClient();
    // Keeps the tunnel open, whatever it is.
    const response = await client.fetch(urlOf(server));
    await response.text();
    const connections = client.connections().length;
    const strangers = runtime === "deno"
      ? `
import socket
answers = []
for port in {ports}:
    for hello in [b"\\x05\\x01\\x00", b"\\x05\\x01\\x02\\x01\\x05mptcp\\x05wrong", b"GET / HTTP/1.1\\r\\n\\r\\n"]:
        s = socket.create_connection(("127.0.0.1", port))
        s.settimeout(2)
        answer = b""
        try:
            s.sendall(hello)
            while block := s.recv(1000): answer += block
        except OSError: pass
        answers.append(answer.hex())
print(answers)`
      : `
import re, socket
answers = []
for name in set(re.findall(r"@(mptcp-fetch-\\S+)", open("/proc/net/unix").read())):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(2)
    s.connect("\\0" + name)
    try:
        s.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        answers.append(s.recv(1000).hex())
    except OSError: answers.append("")
print(answers)`;
    const ports = listeningPorts().filter((port) => port !== server.addr.port);
    const output = await outputOf(["python3", "-"], strangers.replace("{ports}", `[${ports}]`));
    const expected = runtime === "deno" ? "['05ff', '05020101', '']" : "['']";
    assertEquals(output.trim(), expected);
    assertEquals(client.connections().length, connections);
  },
);

/** The ports that this process listens on. */
function listeningPorts(): number[] {
  const own = new Set(
    readdirSync("/proc/self/fd").map((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
      } catch {
        return undefined;
      }
    }),
  );
  const lines = readFileSync("/proc/self/net/tcp", "utf8").trim().split("\n").slice(1);
  return lines.map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === "0A" && own.has(fields[9]))
    .map((fields) => parseInt(fields[1]!.split(":")[1]!, 16));
}
