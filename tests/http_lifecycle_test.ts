import { assert, assertEquals, assertRejects } from "@std/assert";
import { readdirSync } from "node:fs";
import { connectMptcp, MptcpError } from "../mod.ts";
import { type MptcpServer, serveMptcp, type ServeMptcpOptions } from "../src/http/mod.ts";
import { createCertificate, noCertificate } from "./certificate.ts";
import { assertOpenFds, runsLong, settledFds, test } from "./harness.ts";
import { ENGINES, noNativeEngine, outputOf, rawRequest, tell, type Told, urlOf } from "./http.ts";
import {
  LineProcess,
  missingProgram,
  run,
  runProgram,
  runtimeCommand,
  STDIN,
} from "./processes.ts";
import { bytesOf, delay, readToEnd, untilStill } from "./sockets.ts";

const RESTARTS = runsLong ? 100 : 40;
const certificate = noCertificate === null ? createCertificate() : undefined;

async function assertRefused({ addr }: MptcpServer): Promise<void> {
  const { hostname, port } = addr;
  const error = await assertRejects(() => connectMptcp({ hostname, port }), MptcpError);
  assertEquals(error.code, "ECONNREFUSED");
}

for (const engine of ENGINES) {
  const options: ServeMptcpOptions = { hostname: "127.0.0.1", port: 0, engine };

  test(`${engine}: shutdown lets running requests finish and takes no new ones`, async () => {
    const before = await settledFds();
    let running = 0;
    const server = serveMptcp(options, async () => {
      running++;
      await delay(200);
      return new Response("finished");
    });
    const requests = Array.from({ length: 20 }, (_, i) => rawRequest(server.addr.port, `/${i}`));
    while (running < 20) await delay(5);
    const shutdown = server.shutdown();
    await delay(20);
    await assertRefused(server);
    for (const response of await Promise.all(requests)) assert(response.includes("finished"));
    await Promise.all([shutdown, server.finished, server.shutdown()]);
    await assertOpenFds(before);
  });

  test(`${engine}: shutdown does not wait for idle connections`, async () => {
    const server = serveMptcp(options, () => new Response("ok"));
    using used = await connectMptcp({ port: server.addr.port });
    await used.write(bytesOf("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    await used.read(new Uint8Array(1000));
    using _fresh = await connectMptcp({ port: server.addr.port });
    await delay(20);
    const started = performance.now();
    await server.shutdown();
    assert(performance.now() - started < 2000);
    assertEquals(await readToEnd(used), new Uint8Array());
  });

  test(`${engine}: the signal closes every connection`, async () => {
    const before = await settledFds();
    const controller = new AbortController();
    const { promise: never, resolve } = Promise.withResolvers<Response>();
    const server = serveMptcp({ ...options, signal: controller.signal }, () => never);
    const request = rawRequest(server.addr.port, "/").catch((error) => error as MptcpError);
    await delay(50);
    controller.abort();
    await server.finished;
    const answer = await request;
    assert(answer === "" || answer instanceof MptcpError, String(answer));
    await assertRefused(server);
    resolve(new Response());
    await assertOpenFds(before);
  });

  test(`${engine}: close ends everything at once, and shutdown what takes longer than its timeout`, async () => {
    const before = await settledFds();
    for (const how of ["close", "timeout", "close after shutdown"]) {
      const asked = Promise.withResolvers<void>();
      const { promise: late, resolve } = Promise.withResolvers<Response>();
      const server = serveMptcp(options, () => {
        asked.resolve();
        return late;
      });
      const request = rawRequest(server.addr.port).catch((error) => error as MptcpError);
      await asked.promise;
      const started = performance.now();
      if (how !== "close") void server.shutdown(how === "timeout" ? { timeout: 100 } : {});
      if (how !== "timeout") server.close();
      await server.finished;
      assert(performance.now() - started < 3000, how);
      const answer = await request;
      assert(answer === "" || answer instanceof MptcpError, String(answer));
      await assertRefused(server);
      // They may be called again.
      server.close();
      await server.shutdown();
      await assertRejects(async () => await server.shutdown({ timeout: -1 }), RangeError);
      // Deno.serve keeps the descriptor of a connection until its handler has answered.
      resolve(new Response());
    }
    await assertOpenFds(before);
  });

  test(`${engine}: a signal that was aborted before ends the server at once`, async () => {
    const before = await settledFds();
    const server = serveMptcp({ ...options, signal: AbortSignal.abort() }, () => new Response());
    await server.finished;
    await assertRefused(server);
    await assertOpenFds(before);
  });

  test(`${engine}: await using shuts down`, async () => {
    let server: MptcpServer;
    {
      await using inner = serveMptcp(options, () => new Response("ok"));
      server = inner;
      assertEquals(await (await fetch(urlOf(server))).text(), "ok");
    }
    await assertRefused(server);
  });

  test(`${engine}: 50 servers with TLS come and go without a descriptor`, {
    skip: noCertificate,
  }, async () => {
    const before = await settledFds();
    for (let i = 0; i < 50; i++) {
      await using server = serveMptcp({ ...options, ...certificate }, () => new Response("ok"));
      if (i % 10 === 0) await outputOf(["curl", "-ksS", urlOf(server, "/", "https")]);
    }
    await assertOpenFds(before);
  });

  test(`${engine}: ${RESTARTS} graceful restarts under load lose no request that was accepted`, async () => {
    const before = await settledFds();
    const begun = new Set<string>();
    const answered = new Set<string>();
    let isOver = false;
    let unaccepted = 0;
    const serve = (port: number) =>
      serveMptcp({ ...options, port, reusePort: true }, async (request) => {
        const { pathname } = new URL(request.url);
        begun.add(pathname);
        await delay(1);
        return new Response(pathname);
      });

    let server = serve(0);
    const load = Array.from({ length: 8 }, async (_, client) => {
      for (let i = 0; !isOver; i++) {
        const path = `/${client}-${i}`;
        const response = await rawRequest(server.addr.port, path).catch(() => "");
        if (response.endsWith(path)) answered.add(path);
        else if (response.includes(`${path}\r\n0\r\n`)) answered.add(path);
        else unaccepted++;
      }
    });
    // On a busy machine few requests are made between two restarts.
    for (let i = 0; i < RESTARTS || answered.size <= 200; i++) {
      const next = serve(server.addr.port);
      const last = server;
      server = next;
      await delay(5);
      await last.shutdown();
    }
    isOver = true;
    await Promise.all(load);
    await server.shutdown();
    const lost = [...begun].filter((path) => !answered.has(path));
    assertEquals(lost, []);
    assert(answered.size > 200, `${answered.size} answered, ${unaccepted} not accepted`);
    await assertOpenFds(before);
  });

  test(`${engine}: a server that shuts down leaves the new connections of the next one alone`, async () => {
    const asked = Promise.withResolvers<void>();
    const { promise: answer, resolve } = Promise.withResolvers<Response>();
    const last = serveMptcp({ ...options, reusePort: true }, () => {
      asked.resolve();
      return answer;
    });
    const { port } = last.addr;
    // Keeps the last server from ending.
    const running = rawRequest(port);
    await asked.promise;
    await using _next = serveMptcp({ ...options, port, reusePort: true }, () => {
      return new Response("next");
    });
    const shutdown = last.shutdown();
    await delay(300);
    using client = await connectMptcp({ port });
    await delay(500);
    await client.write(bytesOf("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert(new TextDecoder().decode(await readToEnd(client)).includes("next"));
    resolve(new Response("last"));
    assert((await running).includes("last"));
    await shutdown;
  });

  test(`${engine}: four processes on one port share 200 connections`, {
    skip: missingProgram("curl"),
  }, async () => {
    const program = (port: number) => `
      import { serveMptcp } from "./src/http/mod.ts";
      import process from "node:process";
      const options = { hostname: "127.0.0.1", port: ${port}, reusePort: true, engine: "${engine}" };
      const server = serveMptcp(options, (_request, info) =>
        new Response(process.pid + " " + info.protocol));
      console.log(JSON.stringify(server.addr));`;
    const command = [...runtimeCommand(), ...STDIN];
    await using first = new LineProcess(command, program(0));
    const { port } = await first.next<{ port: number }>();
    await using second = new LineProcess(command, program(port));
    await using third = new LineProcess(command, program(port));
    await using fourth = new LineProcess(command, program(port));
    for (const process of [second, third, fourth]) await process.next();
    await delay(100);
    const shares = new Map<string, number>();
    for (let i = 0; i < 200; i++) {
      using conn = await connectMptcp({ port });
      await conn.write(bytesOf("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
      const text = new TextDecoder().decode(await readToEnd(conn));
      const [, pid] = /(\d+) mptcp/.exec(text)!;
      shares.set(pid!, (shares.get(pid!) ?? 0) + 1);
    }
    assertEquals(shares.size, 4);
    assertEquals([...shares.values()].reduce((sum, share) => sum + share), 200);
  });

  test(`${engine}: an unref'ed server lets the process end, a ref'ed one does not`, async () => {
    const program = (call: string) => `
      import { serveMptcp } from "./src/http/mod.ts";
      const server = serveMptcp({ port: 0, engine: "${engine}" }, () => new Response("ok"));
      server.${call}();
      const timer = setTimeout(() => { console.log("alive"); server.shutdown(); }, 1000);
      ${
      call === "unref"
        ? "(globalThis.Deno ?? { unrefTimer: (t) => t.unref() }).unrefTimer(timer);"
        : ""
    }`;
    const unrefed = await runProgram(program("unref"));
    assertEquals([unrefed.stdout, unrefed.stderr, unrefed.status], ["", "", 0]);
    const refed = await runProgram(program("ref"));
    assertEquals([refed.stdout, refed.stderr, refed.status], ["alive\n", "", 0]);
  });
}

test("a server of 300 connections tells each its own token", async () => {
  await using server = serveMptcp({ hostname: "127.0.0.1", port: 0 }, tell);
  const conns = await Promise.all(
    Array.from({ length: 300 }, () => connectMptcp({ port: server.addr.port })),
  );
  try {
    for (let round = 0; round < 2; round++) {
      await Promise.all(conns.map(async (conn) => {
        await conn.write(bytesOf("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        const buf = new Uint8Array(2000);
        const text = new TextDecoder().decode(buf.subarray(0, (await conn.read(buf)) ?? 0));
        const told: Told = JSON.parse(text.slice(text.indexOf("{")));
        assertEquals([told.port, told.protocol], [conn.localAddr.port, conn.protocol]);
        assertEquals(told.token !== null, conn.protocol === "mptcp");
      }));
    }
  } finally {
    for (const conn of conns) conn.close();
  }
});

const OK_SERVER = `
  import { serveMptcp } from "./src/http/mod.ts";
  const server = serveMptcp(
    { hostname: "127.0.0.1", port: 0, engine: "native" },
    () => new Response("ok"),
  );
  console.log(JSON.stringify({ port: server.addr.port }));
`;

/** Answers once a server answers, which is asked again while nobody listens. */
async function answered(port: number): Promise<void> {
  for (const late = performance.now() + 10_000;; await delay(20)) {
    const response = await rawRequest(port).catch((error) => error as MptcpError);
    if (typeof response === "string" && response.endsWith("ok")) return;
    if (performance.now() > late) throw new Error(`The server gives no answer: ${response}`);
  }
}

test("native: a server outlives three seconds without a descriptor, and serves again", {
  skip: missingProgram("prlimit"),
  place: noNativeEngine,
}, async () => {
  await using server = new LineProcess([...runtimeCommand(), ...STDIN], OK_SERVER);
  const { port } = await server.next<{ port: number }>();
  const limit = (descriptors: number) =>
    run("prlimit", ["--pid", String(server.pid), `--nofile=${descriptors}:`]);
  await answered(port);
  await untilIdle(server.pid);
  {
    using clients = new DisposableStack();
    // One descriptor can be had: that of the listener that Deno's server closes when it breaks down.
    limit(firstFree(server.pid));
    const late = performance.now() + 3000;
    while (performance.now() < late) {
      const client = await connectMptcp({ port }).catch((error) => error as MptcpError);
      if (!(client instanceof MptcpError)) clients.use(client);
      await delay(50);
    }
    limit(1024);
  }
  await answered(port);
});

/** The number that the next descriptor of a process will have. */
function firstFree(pid: number): number {
  const used = new Set(fdsOf(pid));
  let fd = 0;
  while (used.has(fd)) fd++;
  return fd;
}

function fdsOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/fd`).map(Number);
}

/** Waits until a process has opened nothing for a second: runtimes go on starting for a while. */
async function untilIdle(pid: number): Promise<void> {
  await untilStill(() => fdsOf(pid).length, 1000);
}

/** The server of Deno waits for them. */
test("node: shutdown does not wait for TLS that fails or never begins", {
  skip: noCertificate,
}, async () => {
  const where = { hostname: "127.0.0.1", port: 0, engine: "node" } as const;
  const before = await settledFds();
  const server = serveMptcp({ ...where, ...certificate }, () => new Response("ok"));
  {
    using silent = await connectMptcp({ port: server.addr.port });
    using wrong = await connectMptcp({ port: server.addr.port });
    await wrong.write(bytesOf("GET / HTTP/1.0\r\n\r\n"));
    await readToEnd(wrong).catch(() => {});
    await delay(50);
    const started = performance.now();
    await server.shutdown();
    assert(performance.now() - started < 2000);
    silent.close();
  }
  await assertOpenFds(before);
});
