import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connectMptcp, mptcpSupport } from "../mod.ts";
import { type MptcpServer, serveMptcp, upgradeWebSocket } from "../src/http/mod.ts";
import { createCertificate, noCertificate } from "./certificate.ts";
import { test } from "./harness.ts";
import { outputOf, rawRequest, tell, type Told, urlOf } from "./http.ts";
import { missingProgram, runProgram } from "./processes.ts";
import { bytesOf, delay, readToEnd } from "./sockets.ts";
import { askForWebSocket, clientFrame, readFrame } from "./web_sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const noCurl = missingProgram("curl") ?? missingProgram("mptcpize") ?? noMptcp;
const certificate = noCertificate === null ? createCertificate() : undefined;

/** Serves WebSockets that say what they speak and send back what they get. */
function serveEcho(log: string[] = []): MptcpServer {
  return serveMptcp({ hostname: "127.0.0.1", port: 0, engine: "native" }, (request, info) => {
    const protocol = request.headers.has("sec-websocket-protocol") ? { protocol: "b" } : {};
    const { protocol: spoken } = info;
    const { socket, response } = upgradeWebSocket(request, info, protocol);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(spoken);
    socket.addEventListener("message", ({ data }) => socket.send(data));
    socket.onclose = ({ code, reason }) => log.push(`${code} ${reason}`);
    return response;
  });
}

test("a WebSocket over MPTCP knows that it is", { skip: noMptcp }, async () => {
  const log: string[] = [];
  await using server = serveEcho(log);
  using conn = await connectMptcp({ port: server.addr.port });
  await askForWebSocket(conn);
  assertEquals(await readFrame(conn), "mptcp");
  await conn.write(clientFrame(1, bytesOf("hello")));
  assertEquals(await readFrame(conn), "hello");
  await conn.write(clientFrame(8, new Uint8Array([0x03, 0xe8, ...bytesOf("bye")])));
  await readToEnd(conn);
  while (log.length === 0) await delay(5);
  assertEquals(log, ["1000 bye"]);
});

test("the runtime's WebSocket client talks to an upgraded one", async () => {
  await using server = serveEcho();
  const socket = new WebSocket(urlOf(server, "/", "ws"), ["a", "b"]);
  socket.binaryType = "arraybuffer";
  const messages: unknown[] = [];
  const { promise: closed, resolve } = Promise.withResolvers<CloseEvent>();
  socket.onmessage = ({ data }) => {
    messages.push(data);
    if (messages.length === 1) socket.send("text");
    else if (messages.length === 2) socket.send(new Uint8Array([1, 2, 3]));
    else socket.close(1000, "enough");
  };
  socket.onclose = resolve;
  const { code, wasClean } = await closed;
  assertEquals([socket.protocol, code, wasClean], ["b", 1000, true]);
  assertEquals(messages, ["tcp", "text", new Uint8Array([1, 2, 3]).buffer]);
});

test("a request that asks for no WebSocket gets none", async () => {
  const errors: unknown[] = [];
  const onError = (error: unknown) => {
    errors.push(error);
    return new Response("no WebSocket", { status: 400 });
  };
  for (const engine of ["native", "node"] as const) {
    await using server = serveMptcp(
      { port: 0, engine, onError },
      (request, info) => upgradeWebSocket(request, info).response,
    );
    assertStringIncludes(await rawRequest(server.addr.port), "HTTP/1.1 400 ");
  }
  assert(errors[0] instanceof TypeError, String(errors[0]));
  assertStringIncludes(String(errors[1]), "native engine");
});

test("Deno's HTTP/2 works over the graft", {
  skip: noCurl ?? noCertificate,
  only: { runtime: "deno", reason: "Bun.serve has no HTTP/2" },
}, async () => {
  await using server = serveMptcp({ port: 0, engine: "native", ...certificate }, tell);
  const url = urlOf(server, "/", "https");
  const curl = ["curl", "-ksS", "--http2", "-w", "\n%{http_version}", url];
  const [body, version] = (await outputOf(["mptcpize", "run", ...curl])).split("\n");
  assertEquals(version, "2");
  const told: Told = JSON.parse(body!);
  assertEquals([told.protocol, told.subflows], ["mptcp", 1]);
});

test("Bun's reload, routes and stop work over the graft", {
  skip: noCurl,
  only: { runtime: "bun", reason: "Deno.serve has nothing of the kind" },
}, async () => {
  const nativeOptions = { routes: { "/route": () => new Response("a route") } };
  const options = { hostname: "127.0.0.1", port: 0, engine: "native", nativeOptions } as const;
  const server = serveMptcp(options, () => new Response("before"));
  const { port } = server.addr;
  assertStringIncludes(await rawRequest(port), "before");
  assertStringIncludes(await rawRequest(port, "/route"), "a route");
  const native = server.server as {
    reload(options: object): void;
    stop(hard: boolean): Promise<void>;
  };
  native.reload({ fetch: () => new Response("after"), routes: {} });
  assertStringIncludes(await rawRequest(port), "after");
  assertStringIncludes(await rawRequest(port, "/route"), "after");
  const wrapped = await outputOf(["mptcpize", "run", "curl", "-sS", urlOf(server)]);
  assertEquals(wrapped, "after");
  await native.stop(true);
  await assertRejects(() => connectMptcp({ port }), Error);
  await server.shutdown();
});

test("Deno's own options reach Deno.serve", {
  skip: noCurl,
  only: { runtime: "deno", reason: "the option is Deno's" },
}, async () => {
  const nativeOptions = { automaticCompression: true };
  const options = { hostname: "127.0.0.1", port: 0, engine: "native", nativeOptions } as const;
  const headers = { "content-type": "text/plain" };
  await using server = serveMptcp(options, () => new Response("x".repeat(10_000), { headers }));
  const answer = await outputOf(["curl", "-sSi", "-H", "Accept-Encoding: gzip", urlOf(server)])
    .catch((error) => String(error));
  assertStringIncludes(answer.toLowerCase(), "content-encoding: gzip");
});

test("with MPTCP_NO_GUEST=1 the native engine is refused, and sockets are waited for by threads", async () => {
  const { stdout, stderr } = await runProgram(
    `
import { connectMptcp } from "./mod.ts";
import { serveMptcp } from "./src/http/mod.ts";
await using server = serveMptcp({ hostname: "127.0.0.1", port: 0 }, () => new Response("ok"));
console.log(server.engine.name, server.engine.detail);
using conn = await connectMptcp({ port: server.addr.port });
await conn.write(new TextEncoder().encode("GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n"));
console.log((await new Response(conn.readable).text()).split("\\r\\n")[0]);`,
    { env: { MPTCP_NO_GUEST: "1" } },
  );
  assertEquals([stderr, stdout.split("\n")], ["", [
    "node MPTCP_NO_GUEST is set in the environment",
    "HTTP/1.1 200 OK",
    "",
  ]]);
});
