import { assertEquals, assertMatch } from "@std/assert";
import { initTRPC } from "@trpc/server";
import { fetchRequestHandler } from "@trpc/server/adapters/fetch";
import { Application } from "@oakserver/oak";
import express from "express";
import fastify from "fastify";
import { createSchema, createYoga } from "graphql-yoga";
import { H3 } from "h3";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { streamSSE } from "hono/streaming";
import type { RequestListener } from "node:http";
import { connectMptcp, mptcpSupport } from "../mod.ts";
import { serveMptcp, type ServeMptcpHandler, type ServeMptcpInfo } from "../src/http/mod.ts";
import { createServer } from "../src/node/mod.ts";
import { createServer as createHttpServer } from "node:http";
import { runtime, test } from "./harness.ts";
import { ENGINES } from "./http.ts";
import { bytesOf, readToEnd, writeAll } from "./sockets.ts";
import { askForWebSocket, clientFrame, readFrame } from "./web_sockets.ts";

const skip = mptcpSupport().fallback?.detail ?? null;

/** What is used of Elysia here: its own types bring those of Bun along, which Deno has others for. */
interface ElysiaApp {
  get(path: string, handler: (context: { request: Request }) => string): ElysiaApp;
  post(path: string, handler: (context: { body: unknown }) => unknown): ElysiaApp;
  handle(request: Request): Promise<Response>;
}
const elysia = "elysia";
const { Elysia } = await import(elysia) as { Elysia: new (options: object) => ElysiaApp };

/** What a client that speaks MPTCP for certain gets: the head and the body. */
async function ask(port: number, path: string, headers: string[] = [], body = ""): Promise<string> {
  using conn = await connectMptcp({ hostname: "127.0.0.1", port, mptcp: "require-peer" });
  const head = [
    `${body === "" ? "GET" : "POST"} ${path} HTTP/1.1`,
    "Host: frameworks.test",
    "Connection: close",
    ...headers,
    ...body === "" ? [] : [`Content-Length: ${body.length}`],
  ];
  await writeAll(conn, bytesOf(`${head.join("\r\n")}\r\n\r\n${body}`));
  const answer = new TextDecoder().decode(await readToEnd(conn));
  assertEquals(conn.protocol, "mptcp");
  return answer;
}

interface Framework {
  readonly name: string;
  /** Whether it makes a Response of its own on Node.js, which is refused there. */
  readonly isForeignOnNode?: boolean;
  readonly handler: () => ServeMptcpHandler;
  readonly asks: readonly { path: string; headers?: string[]; body?: string; answer: RegExp }[];
}

const JSON_TYPE = ["Content-Type: application/json"];

const FRAMEWORKS: readonly Framework[] = [
  {
    name: "Hono",
    handler() {
      const app = new Hono<{ Bindings: ServeMptcpInfo }>();
      app.get("/", (c) => c.text(`${c.env.protocol} from ${c.env.remoteAddr.hostname}`));
      app.post("/echo", async (c) => c.json(await c.req.json()));
      app.get("/events", (c) =>
        streamSSE(c, async (stream) => {
          for (const data of ["one", "two"]) await stream.writeSSE({ data });
        }));
      return app.fetch as ServeMptcpHandler;
    },
    asks: [
      { path: "/", answer: /mptcp from 127\.0\.0\.1/ },
      { path: "/echo", headers: JSON_TYPE, body: '{"a":1}', answer: /\{"a":1\}/ },
      { path: "/events", answer: /text\/event-stream[^]*data: one[^]*data: two/ },
      { path: "/none", answer: /^HTTP\/1\.1 404/ },
    ],
  },
  {
    name: "Elysia",
    handler() {
      const infos = new WeakMap<Request, ServeMptcpInfo>();
      const app: ElysiaApp = new Elysia({ sucrose: { gcTime: null } })
        .get("/", ({ request }) => String(infos.get(request)?.protocol))
        .post("/echo", ({ body }) => body as object);
      return (request, info) => {
        infos.set(request, info);
        return app.handle(request);
      };
    },
    asks: [
      { path: "/", answer: /mptcp/ },
      { path: "/echo", headers: JSON_TYPE, body: '{"a":1}', answer: /\{"a":1\}/ },
    ],
  },
  {
    name: "h3",
    handler() {
      const infos = new WeakMap<Request, ServeMptcpInfo>();
      const app = new H3()
        .get("/", (event) => String(infos.get(event.req as Request)?.protocol))
        .post("/echo", async (event) => await event.req.json());
      return (request, info) => {
        infos.set(request, info);
        return app.fetch(request);
      };
    },
    asks: [
      { path: "/", answer: /mptcp/ },
      { path: "/echo", headers: JSON_TYPE, body: '{"a":1}', answer: /"a": ?1/ },
    ],
  },
  {
    name: "oak",
    handler: () => async (request, info) => {
      const response = await oak(String(info.protocol), request);
      return new Response(response.body, response);
    },
    asks: [{ path: "/", answer: /mptcp/ }],
  },
  {
    name: "tRPC",
    handler() {
      const t = initTRPC.context<{ info: ServeMptcpInfo }>().create();
      const router = t.router({ protocol: t.procedure.query(({ ctx }) => ctx.info.protocol) });
      return (req, info) =>
        fetchRequestHandler({ endpoint: "/trpc", req, router, createContext: () => ({ info }) });
    },
    asks: [{ path: "/trpc/protocol", answer: /\{"result":\{"data":"mptcp"\}\}/ }],
  },
  {
    name: "GraphQL Yoga",
    isForeignOnNode: true,
    handler() {
      const yoga = createYoga<ServeMptcpInfo>({
        logging: false,
        schema: createSchema<ServeMptcpInfo>({
          typeDefs: "type Query { protocol: String }",
          resolvers: { Query: { protocol: (_parent, _args, { protocol }) => protocol } },
        }),
      });
      return (request, info) => yoga.fetch(request, info);
    },
    asks: [{
      path: "/graphql",
      headers: JSON_TYPE,
      body: '{"query":"{ protocol }"}',
      answer: /\{"data":\{"protocol":"mptcp"\}\}/,
    }],
  },
];

/** What oak makes of a request: on Deno and Node.js no `Response` of the runtime, but one of `undici`. */
async function oak(text: string, request: Request): Promise<Response> {
  const app = new Application();
  app.use(({ response }) => {
    response.body = text;
  });
  return await app.handle(request as never) as unknown as Response;
}

for (const { name, isForeignOnNode, handler, asks } of FRAMEWORKS) {
  const place = isForeignOnNode && runtime === "node" ? "its Response is none of Node's" : null;
  for (const engine of ENGINES) {
    test(
      `${name} runs unchanged on the ${engine} engine and knows that its request came over MPTCP`,
      { skip, place },
      async () => {
        await using server = serveMptcp({ hostname: "127.0.0.1", port: 0, engine }, handler());
        for (const { path, headers, body, answer } of asks) {
          assertMatch(await ask(server.addr.port, path, headers, body), answer);
        }
      },
    );
  }
}

test("the Response of oak's npm build is none that Deno.serve takes either", {
  only: { runtime: "deno", reason: "Bun puts its own Response in the place of that of undici" },
}, async () => {
  const { Deno } = globalThis as unknown as { Deno: { serve: DenoServe } };
  const errors: unknown[] = [];
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen() {},
    onError(error) {
      errors.push(error);
      return new Response(null, { status: 500 });
    },
  }, (request) => oak("hello", request));
  const response = await fetch(`http://127.0.0.1:${server.addr.port}/`);
  await response.body?.cancel();
  await server.shutdown();
  assertEquals([response.status, errors.length], [500, 1]);
  assertMatch(String(errors[0]), /must be a response/);
});

test("the node engine says what to do about a Response of a library", {
  place: runtime === "bun" ? "Bun puts its own Response in the place of that of undici" : null,
}, async () => {
  const errors: unknown[] = [];
  await using server = serveMptcp({
    hostname: "127.0.0.1",
    port: 0,
    engine: "node",
    onError(error) {
      errors.push(error);
      return new Response(null, { status: 500 });
    },
  }, (request) => oak("hello", request));
  assertMatch(await ask(server.addr.port, "/"), /^HTTP\/1\.1 500 /);
  assertMatch(String(errors), /return new Response\(response\.body, response\)$/);
});

interface DenoServe {
  (
    options: {
      hostname: string;
      port: number;
      onListen(): void;
      onError(error: unknown): Response;
    },
    handler: (request: Request) => Promise<Response>,
  ): { addr: { port: number }; shutdown(): Promise<void> };
}

/** What Hono has for each runtime. */
interface HonoAdapter {
  getConnInfo(context: Context): { remote: { address?: string; port?: number } };
  upgradeWebSocket(
    events: (context: Context) => {
      onMessage(event: { data: unknown }, socket: { send(text: string): void }): void;
      onClose?(): void;
    },
  ): MiddlewareHandler;
  /** What `Bun.serve` is to be told. */
  readonly websocket?: object;
}

const noAdapter = runtime === "node" ? "Hono has none for Node.js but in another package" : null;
const adapter = noAdapter === null ? await import(`hono/${runtime}`) as HonoAdapter : null;

for (const engine of ENGINES) {
  test(`getConnInfo of Hono tells who the client is on the ${engine} engine`, {
    skip,
    place: noAdapter,
    ...engine === "node" && runtime === "bun" && {
      only: { runtime: "deno", reason: "that of hono/bun asks the server of Bun.serve" },
    },
  }, async () => {
    const app = new Hono();
    app.get("/", (c) => {
      const { remote: { address, port } } = adapter!.getConnInfo(c);
      return c.text(`${address} ${port}`);
    });
    const fetch = app.fetch as ServeMptcpHandler;
    await using server = serveMptcp({ hostname: "127.0.0.1", port: 0, engine, fetch });
    using conn = await connectMptcp({ port: server.addr.port, mptcp: "require-peer" });
    await writeAll(conn, bytesOf("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    const answer = new TextDecoder().decode(await readToEnd(conn));
    assertMatch(answer, new RegExp(`127\\.0\\.0\\.1 ${conn.localAddr.port}`));
  });
}

test("upgradeWebSocket of Hono makes a WebSocket of an MPTCP connection", {
  skip,
  place: noAdapter,
}, async () => {
  const app = new Hono<{ Bindings: ServeMptcpInfo }>();
  const closed = Promise.withResolvers<void>();
  app.get(
    "/",
    adapter!.upgradeWebSocket((c) => {
      // Asked for while there is a request.
      const { protocol } = c.env as ServeMptcpInfo;
      return {
        onMessage: ({ data }, socket) => socket.send(`${protocol}: ${data}`),
        onClose: () => closed.resolve(),
      };
    }),
  );
  const fetch = app.fetch as ServeMptcpHandler;
  const { websocket } = adapter!;
  const options = { hostname: "127.0.0.1", port: 0, engine: "native", fetch } as const;
  await using server = serveMptcp({ ...options, ...websocket !== undefined && { websocket } });
  using conn = await connectMptcp({ port: server.addr.port, mptcp: "require-peer" });
  await askForWebSocket(conn);
  await conn.write(clientFrame(1, bytesOf("hello")));
  assertEquals(await readFrame(conn), "mptcp: hello");
  assertEquals(conn.protocol, "mptcp");
  await conn.write(clientFrame(8, new Uint8Array([0x03, 0xe8])));
  await readToEnd(conn);
  await closed.promise;
});

/** Those that are made for `node:http`, on connections of `createServer` of `./node`. */
const LISTENERS: Readonly<Record<string, () => Promise<RequestListener>>> = {
  async Express() {
    const app = (express as () => { get(path: string, handler: RequestListener): void })();
    app.get("/", (request, response) => {
      response.end(`protocol ${(request.socket as unknown as { protocol: string }).protocol}`);
    });
    return await Promise.resolve(app as unknown as RequestListener);
  },
  async Fastify() {
    const app = fastify();
    app.get("/", (request) => {
      return `protocol ${(request.socket as unknown as { protocol: string }).protocol}`;
    });
    await app.ready();
    return app.routing as RequestListener;
  },
};

for (const [name, listener] of Object.entries(LISTENERS)) {
  test(`${name} runs unchanged on connections of createServer and knows that they are MPTCP`, {
    skip,
  }, async () => {
    const http = createHttpServer(await listener());
    const server = createServer().serve(http);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    assertMatch(await ask(port, "/"), /^HTTP\/1\.1 200[^]*protocol mptcp/);
    await new Promise((resolve) => server.close(resolve));
  });
}
