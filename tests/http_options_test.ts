import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connectMptcp, mptcpSupport } from "../mod.ts";
import { serveMptcp, type ServeMptcpHandler, type ServeMptcpInfo } from "../src/http/mod.ts";
import { createSigned, noCertificate } from "./certificate.ts";
import { runtime, test } from "./harness.ts";
import { ENGINES, noNativeEngine, rawRequest } from "./http.ts";
import { bytesOf, delay, readToEnd, writeAll } from "./sockets.ts";

const PLACE = { hostname: "127.0.0.1", port: 0 } as const;
const noMptcp = mptcpSupport().fallback?.detail ?? null;

/** Asks by MPTCP, and gives the body of the answer. */
async function ask(port: number, path = "/"): Promise<string> {
  using conn = await connectMptcp({ port });
  await writeAll(conn, bytesOf(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`));
  const answer = new TextDecoder().decode(await readToEnd(conn));
  return answer.slice(answer.indexOf("\r\n\r\n") + 4);
}

const answer = (info: ServeMptcpInfo | undefined) => new Response(String(info?.protocol));

/** Handlers of every shape that a program or a framework may have. */
const HANDLERS: Record<string, ServeMptcpHandler> = {
  "two parameters": (_request, info) => answer(info),
  "a rest parameter": (_request, ...rest) => answer(rest[0]),
  "a default value": (_request, info = undefined as never) => answer(info),
  "arguments": function () {
    return answer(arguments[1]);
  },
  "a bound function": ((_request: Request, info: ServeMptcpInfo) => answer(info)).bind(null),
  "a promise": async (_request, info) => await Promise.resolve(answer(info)),
  "a spread of all": ((...all: unknown[]) => answer(all[1] as ServeMptcpInfo)) as never,
};

for (const engine of ENGINES) {
  for (const [shape, handler] of Object.entries(HANDLERS)) {
    test(`${engine}: a handler with ${shape} gets the info of its request`, {
      skip: noMptcp,
    }, async () => {
      await using server = serveMptcp({ ...PLACE, engine }, handler);
      const { body } = { body: await ask(server.addr.port) };
      assert(/\bmptcp\b/.test(body), body);
    });
  }

  test(`${engine}: info can be spread, derived from and serialised, and is the same in each form`, {
    skip: noMptcp,
  }, async () => {
    await using server = serveMptcp({ ...PLACE, engine }, (_request, info) => {
      const forms = [info, { ...info }, Object.create(info), Object.assign({}, info)];
      const said = forms.map((form: ServeMptcpInfo) => [
        form.protocol,
        form.remoteAddr.hostname,
        form.subflows().length,
        typeof form.info()?.token,
        form.server === info.server,
      ]);
      return Response.json({ said, json: JSON.parse(JSON.stringify({ info })) });
    });
    const body = await ask(server.addr.port);
    const { said, json } = JSON.parse(body.slice(body.indexOf("{"), body.lastIndexOf("}") + 1));
    for (const one of said) assertEquals(one, ["mptcp", "127.0.0.1", 1, said[0][3], true]);
    assertEquals(Object.keys(json.info), ["remoteAddr", "protocol", "fallback"]);
    assertEquals([json.info.protocol, json.info.fallback], ["mptcp", null]);
  });

  test(`${engine}: the object forms of Deno.serve and Bun.serve serve, and so does the plain one`, async () => {
    const ok = () => new Response("ok");
    for (
      const serve of [
        () => serveMptcp({ ...PLACE, engine, handler: ok }),
        () => serveMptcp({ ...PLACE, engine, fetch: ok }),
        () => serveMptcp({ ...PLACE, engine }, ok),
      ]
    ) {
      await using server = serve();
      const response = await fetch(`http://127.0.0.1:${server.addr.port}/`);
      assertEquals(await response.text(), "ok");
    }
  });

  test(`${engine}: info.completed resolves when the answer is sent`, async () => {
    const completed: Promise<void>[] = [];
    await using server = serveMptcp({ ...PLACE, engine }, (request, info) => {
      completed.push(info.completed);
      const text = "x".repeat(100_000);
      return request.url.endsWith("/stream")
        ? new Response(new Blob([text]).stream())
        : new Response(text);
    });
    for (const path of ["/", "/stream"]) {
      const response = await fetch(`http://127.0.0.1:${server.addr.port}${path}`);
      assertEquals((await response.text()).length, 100_000);
    }
    await Promise.all(completed);
    assertEquals(completed.length, 2);
  });

  test(`${engine}: info.completed rejects when the client leaves in the middle`, {
    ...(engine === "native" && {
      only: { runtime: "bun" as const, reason: "it is Deno's own promise, which resolves" },
    }),
  }, async () => {
    const { promise, resolve } = Promise.withResolvers<{ completed: Promise<void> }>();
    const server = serveMptcp({ ...PLACE, engine }, (_request, info) => {
      resolve({ completed: info.completed });
      const chunk = new Uint8Array(64 * 1024);
      return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(chunk) }));
    });
    using conn = await connectMptcp({ port: server.addr.port, mptcp: "off" });
    await writeAll(conn, bytesOf("GET / HTTP/1.1\r\nhost: x\r\n\r\n"));
    const { completed } = await promise;
    await conn.read(new Uint8Array(1));
    conn.close();
    await assertRejects(() => completed, Error);
    server.close();
    await server.finished;
  });

  test(`${engine}: reload replaces the handler and onError of a running server`, async () => {
    await using server = serveMptcp({ ...PLACE, engine }, () => new Response("old"));
    const url = `http://127.0.0.1:${server.addr.port}/`;
    assertEquals(await (await fetch(url)).text(), "old");
    server.reload({
      handler: () => {
        throw new Error("new");
      },
      onError: (error) => new Response((error as Error).message),
    });
    assertEquals(await (await fetch(url)).text(), "new");
  });

  test(`${engine}: close cuts off what runs, shutdown waits for it as long as it is told to`, async () => {
    for (const end of ["close", "shutdown"] as const) {
      const asked = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<Response>();
      const server = serveMptcp({ ...PLACE, engine }, () => {
        asked.resolve();
        return answer.promise;
      });
      const waiting = fetch(`http://127.0.0.1:${server.addr.port}/`).then(
        () => "answered",
        () => "cut",
      );
      await asked.promise;
      if (end === "close") server.close();
      else await server.shutdown({ timeout: 50 });
      await server.finished;
      assertEquals(await waiting, "cut");
      // Deno keeps a connection until its handler has an answer.
      answer.resolve(new Response());
    }
  });
}

test("the runtime's own server object shows the address that serveMptcp listens on", {
  place: noNativeEngine,
}, async () => {
  await using server = serveMptcp({ ...PLACE, engine: "native" }, () => new Response());
  const native = server.server as { addr?: { port: number }; port?: number };
  assertEquals(native.addr?.port ?? native.port, server.addr.port);
});

test("an option that does nothing is refused by name, whoever it belongs to", () => {
  const other = runtime === "deno" ? "idleTimeout" : "automaticCompression";
  const bad: [Record<string, unknown>, string][] = [
    [{ tls: {} }, "HTTPS needs both"],
    [{ tls: { cert: "x" } }, "HTTPS needs both"],
    [{ tls: { cert: "x", key: "y" }, key: "z" }, "Invalid tls"],
    [{ hostnme: "::" }, '"hostnme"'],
    [{ [other]: 10 }, `"${other}"`],
    [{ unix: "/tmp/x" }, "Invalid unix"],
    [{ transport: "unix" }, "Invalid transport"],
    [{ nativeOptions: { http3: true } }, "nativeOptions.http3"],
    [{ nativeOptions: { transport: "unix" } }, "nativeOptions.transport"],
    [{ nativeOptions: { unix: "/tmp/x" } }, "nativeOptions.unix"],
    [{ nativeOptions: { port: 1 } }, "nativeOptions.port"],
    [{ maxConnections: 0 }, "maxConnections"],
    [{ handler: () => new Response() }, "Invalid handler"],
    [{ error: 1 }, "Invalid error"],
  ];
  for (const [options, includes] of bad) {
    const serve = () => serveMptcp({ ...PLACE, ...options }, () => new Response());
    assertThrows(serve, TypeError, includes);
  }
  assertThrows(() => serveMptcp({ port: 0 } as never), TypeError, "Invalid handler");
});

test("options of node:tls reach the node engine: a client without a certificate is refused", {
  skip: noCertificate,
}, async () => {
  const { ca, cert, key } = createSigned();
  const tls = { cert, key, ca, requestCert: true, rejectUnauthorized: true };
  await using server = serveMptcp({ ...PLACE, engine: "node", tls }, () => new Response("in"));
  const { request } = await import("node:https");
  const outcome = (own: object) =>
    new Promise<string>((resolve) => {
      const { port } = server.addr;
      const sent = request({ host: "127.0.0.1", port, ca, agent: false, ...own }, (response) => {
        response.resume().once("end", () => resolve("answered"));
      });
      sent.once("error", () => resolve("refused"));
      sent.end();
    });
  assertEquals(await outcome({}), "refused");
  assertEquals(await outcome({ cert, key }), "answered");
});

test("the node engine refuses connections beyond maxConnections and serves again below", async () => {
  await using server = serveMptcp(
    { ...PLACE, engine: "node", maxConnections: 1 },
    () => new Response("ok"),
  );
  const { port } = server.addr;
  using first = await connectMptcp({ port });
  await writeAll(first, bytesOf("GET / HTTP/1.1\r\nhost: x\r\n\r\n"));
  await first.read(new Uint8Array(1000));
  {
    using second = await connectMptcp({ port });
    const end = await second.read(new Uint8Array(1)).catch(() => null);
    assertEquals(end, null);
  }
  first.close();
  for (let body = ""; body !== "ok"; await delay(10)) body = await ask(port).catch(() => "");
});

test("the node engine ends connections that send nothing, half a head or half a body", async () => {
  await using server = serveMptcp(
    { ...PLACE, engine: "node", headersTimeout: 200, requestTimeout: 200 },
    async (request) => new Response(await request.text()),
  );
  const { port } = server.addr;
  const head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";
  for (const beginning of ["", "GET / HTTP/1.1\r\nhost: ", `${head}half`]) {
    using conn = await connectMptcp({ port });
    await writeAll(conn, bytesOf(beginning));
    await readToEnd(conn).catch(() => {});
  }
  // One that has been answered has as long again.
  using kept = await connectMptcp({ port });
  for (let i = 0; i < 3; i++) {
    await writeAll(kept, bytesOf("GET / HTTP/1.1\r\nhost: x\r\n\r\n"));
    assert(await kept.read(new Uint8Array(1000)) !== null);
    await delay(100);
  }
  await readToEnd(kept).catch(() => {});
});

test("options of the node engine alone are never ignored: they choose it, or are an error", {
  place: noNativeEngine,
}, async () => {
  await using server = serveMptcp({ ...PLACE, maxConnections: 5 }, () => new Response());
  assertEquals(server.engine.name, "node");
  const native = () =>
    serveMptcp({ ...PLACE, engine: "native", maxConnections: 5 }, () => new Response());
  assertThrows(native, Error, "maxConnections");
});

test("a port that is digits is a port, and any other text is an error that names it", async () => {
  const fetch = () => new Response("hello");
  await using server = serveMptcp({ hostname: "127.0.0.1", port: "0", fetch });
  assert(server.addr.port > 0);
  for (const port of ["", "http", "80 ", "0x50", "-1"]) {
    assertThrows(() => serveMptcp({ hostname: "127.0.0.1", port, fetch }), TypeError, "port");
  }
  assertThrows(() => serveMptcp({ hostname: "127.0.0.1", port: "65536", fetch }), RangeError);
});

test("what only has the prototype of a Response is an error of the handler on the node engine", async () => {
  const errors: unknown[] = [];
  await using server = serveMptcp({
    hostname: "127.0.0.1",
    port: 0,
    engine: "node",
    handler: () => Object.create(Response.prototype) as Response,
    onError(error) {
      errors.push(error);
      return new Response("recovered");
    },
  });
  const answer = await rawRequest(server.addr.port);
  assertEquals(answer.slice(answer.indexOf("\r\n\r\n") + 4), "recovered");
  assert(errors.length === 1 && errors[0] instanceof TypeError);
});
