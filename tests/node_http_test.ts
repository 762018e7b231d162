import { assert, assertEquals } from "@std/assert";
import { once } from "node:events";
import * as http from "node:http";
import * as https from "node:https";
import type { AddressInfo } from "node:net";
import * as tls from "node:tls";
import { mptcpSupport } from "../mod.ts";
import {
  connectTls,
  createConnection,
  createServer,
  HttpAgent,
  HttpsAgent,
  type MptcpSocket,
  type MptcpTlsSocket,
} from "../src/node/mod.ts";
import { createSigned, noCertificate } from "./certificate.ts";
import { test } from "./harness.ts";
import { textOf } from "./node.ts";
import { delay, LOOPBACKS } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

/** A server of node:http whose connections are those of a server of this module. */
async function httpServer(handler: http.RequestListener, host = "127.0.0.1") {
  let connections = 0;
  const requests = http.createServer(handler);
  const server = createServer(() => connections++).serve(requests).listen(0, host);
  await once(server, "listening");
  return {
    port: server.address()!.port,
    connections: () => connections,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function get(options: http.RequestOptions, body?: string) {
  const request = http.request({ method: body === undefined ? "GET" : "POST", ...options });
  request.end(body);
  const [response] = await once(request, "response");
  const text = await textOf(response);
  // The agent takes the socket back in a later tick.
  await delay(10);
  return { text, status: response.statusCode, request };
}

for (const host of LOOPBACKS) {
  test(`HttpAgent keeps MPTCP connections to ${host} alive, and both ends say MPTCP`, {
    skip: noMptcp,
  }, async () => {
    await using server = await httpServer(
      (request, response) => {
        const { protocol } = request.socket as unknown as MptcpSocket;
        response.end(`${protocol} ${request.socket.remoteAddress}`);
      },
      host,
    );
    const agent = new HttpAgent({ keepAlive: true });
    for (let i = 0; i < 4; i++) {
      const { text, request } = await get({ host, port: server.port, agent });
      assertEquals(text, `mptcp ${host}`);
      assertEquals((request.socket as unknown as MptcpSocket).protocol, "mptcp");
      assertEquals(request.reusedSocket, i > 0);
    }
    assertEquals(server.connections(), 1);
    agent.destroy();
  });
}

test("HttpAgent without keepAlive closes each connection, and mptcp off is TCP", async () => {
  await using server = await httpServer((request, response) => {
    response.end((request.socket as unknown as MptcpSocket).protocol);
  });
  const agent = new HttpAgent({ keepAlive: false, mptcp: "off" });
  for (let i = 0; i < 2; i++) {
    assertEquals((await get({ host: "127.0.0.1", port: server.port, agent })).text, "tcp");
  }
  assertEquals(server.connections(), 2);
  agent.destroy();
});

test("HttpAgent obeys maxSockets, and large bodies go both ways", async () => {
  await using server = await httpServer((request, response) => void request.pipe(response));
  const agent = new HttpAgent({ keepAlive: true, maxSockets: 3 });
  const bodies = Array.from({ length: 12 }, (_, i) => String(i).repeat(100_000));
  const answers = await Promise.all(
    bodies.map((body) => get({ host: "127.0.0.1", port: server.port, agent }, body)),
  );
  assertEquals(answers.map(({ text }) => text.length), bodies.map(({ length }) => length));
  assert(answers.every(({ text }, i) => text === bodies[i]));
  assertEquals(server.connections(), 3);
  agent.destroy();
});

test("HttpAgent reports a refused connection as node:http does", async () => {
  const agent = new HttpAgent();
  const request = http.get({ host: "127.0.0.1", port: 1, agent });
  const [error] = await once(request, "error");
  assertEquals([error.code, error.syscall, error.port], ["ECONNREFUSED", "connect", 1]);
  agent.destroy();
});

test("requests that are pipelined are answered in order", async () => {
  await using server = await httpServer((request, response) => response.end(request.url));
  const socket = createConnection(server.port, "127.0.0.1");
  const urls = Array.from({ length: 20 }, (_, i) => `/${i}`);
  const last = urls.length - 1;
  for (const [i, url] of urls.entries()) {
    const connection = i === last ? "close" : "keep-alive";
    socket.write(`GET ${url} HTTP/1.1\r\nhost: x\r\nconnection: ${connection}\r\n\r\n`);
  }
  const text = await textOf(socket);
  assertEquals([...text.matchAll(/^\/\d+/gm)].map(([url]) => url), urls);
});

const signed = noCertificate === null ? createSigned() : null;

test("connectTls speaks TLS over MPTCP, checks the certificate, and says what it runs over", {
  skip: noCertificate ?? noMptcp,
}, async () => {
  const { ca, cert, key } = signed!;
  const secure = tls.createServer({ cert, key }, (socket) => void socket.pipe(socket));
  const below: string[] = [];
  const server = createServer((socket) => below.push(socket.protocol)).serve(secure)
    .listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address()!;
  const socket = connectTls({ port, host: "localhost", ca });
  assertEquals(socket.protocol, "unknown");
  await once(socket, "secureConnect");
  assertEquals([socket.authorized, socket.encrypted], [true, true]);
  assertEquals([socket.protocol, socket.fallback, socket.subflows().length], ["mptcp", null, 1]);
  assertEquals([socket.remoteAddress, socket.remotePort], ["127.0.0.1", port]);
  assert(socket.info() !== null);
  assertEquals(below, ["mptcp"]);
  const block = "secret".repeat(50_000);
  socket.write(block);
  let heard = "";
  for await (const chunk of socket) {
    heard += chunk;
    // Runtimes lose what is on its way when a TLS socket of a stream is ended before.
    if (heard.length === block.length) socket.end();
  }
  assert(heard === block, String(heard.length));

  const stranger = connectTls({ port, host: "localhost" });
  secure.on("tlsClientError", () => {});
  const [error] = await once(stranger, "error");
  assert(/SELF_SIGNED|UNABLE|UNKNOWN/i.test(error.code), error.code);
  stranger.destroy();
  await server[Symbol.asyncDispose]();
});

test(
  "HttpsAgent keeps TLS connections over MPTCP alive",
  { skip: noCertificate ?? noMptcp },
  async () => {
    const { ca, cert, key } = signed!;
    const requests = http.createServer((request, response) => {
      response.end(`${request.method} ${(request.socket as tls.TLSSocket).encrypted}`);
    });
    const secure = tls.createServer({ cert, key }, (socket) => requests.emit("connection", socket));
    const below: string[] = [];
    const server = createServer((socket) => below.push(socket.protocol));
    server.serve(requests).removeAllListeners("connection");
    server.on("connection", (socket: MptcpSocket) => below.push(socket.protocol));
    server.serve(secure).listen(0, "127.0.0.1");
    await once(server, "listening");
    const agent = new HttpsAgent({ keepAlive: true, ca });
    for (let i = 0; i < 3; i++) {
      const request = https.get({ host: "localhost", port: server.address()!.port, agent });
      const [response] = await once(request, "response");
      assertEquals(await textOf(response), "GET true");
      assertEquals((request.socket as unknown as MptcpTlsSocket).protocol, "mptcp");
      assertEquals(request.reusedSocket, i > 0);
      await delay(10);
    }
    assertEquals(below, ["mptcp"]);
    agent.destroy();
    await server[Symbol.asyncDispose]();
  },
);

test("HttpsAgent talks to the runtime's own HTTPS server, by TCP, and says so", {
  skip: noCertificate,
}, async () => {
  const { ca, cert, key } = signed!;
  const server = https.createServer({ cert, key }, (_request, response) => response.end("hello"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const agent = new HttpsAgent({ ca });
  const request = https.get({ host: "localhost", port, agent });
  const [response] = await once(request, "response");
  assertEquals(await textOf(response), "hello");
  const { protocol, fallback } = request.socket as unknown as MptcpTlsSocket;
  assertEquals([protocol, fallback?.reason], ["tcp", noMptcp === null ? "peer" : fallback?.reason]);
  agent.destroy();
  server.close();
  await once(server, "close");
});
