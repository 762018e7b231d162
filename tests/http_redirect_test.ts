import { assertEquals, assertRejects } from "@std/assert";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { createMptcpClient } from "../src/http/mod.ts";
import { test } from "./harness.ts";

/** A server that answers byte by byte as it is told, whatever fetch would make of it. */
async function serveRaw(
  answer: (message: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Redirects from /N to /0, and answers there with the method, the body and the content type. */
function countDown(status: number) {
  return async (message: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = "";
    for await (const chunk of message) body += chunk;
    const left = Number(message.url!.slice(1));
    if (left > 0) return void response.writeHead(status, { location: `/${left - 1}` }).end();
    response.end(`${message.method} ${body} ${message.headers["content-type"]}`);
  };
}

for (const status of [307, 308]) {
  test(`a Request with a body follows a ${status} with its body`, async () => {
    await using server = await serveRaw(countDown(status));
    await using client = createMptcpClient();
    const headers = { "content-type": "text/x-mine" };
    const request = new Request(`${server.url}/3`, { method: "PUT", body: "hello", headers });
    assertEquals(await (await client.fetch(request)).text(), "PUT hello text/x-mine");
  });
}

test("a Request with a body becomes a GET without one where a redirect says so", async () => {
  await using server = await serveRaw(countDown(303));
  await using client = createMptcpClient();
  const request = new Request(`${server.url}/1`, { method: "POST", body: "hello" });
  assertEquals(await (await client.fetch(request)).text(), "GET  undefined");
});

test("twenty redirects are followed, and not one more", async () => {
  await using server = await serveRaw(countDown(302));
  await using client = createMptcpClient();
  assertEquals(await (await client.fetch(`${server.url}/20`)).text(), "GET  undefined");
  await assertRejects(() => client.fetch(`${server.url}/21`), TypeError);
});

test("a Location in UTF-8 leads where it says", {
  only: { runtime: "bun", reason: "the fetch of Deno follows redirects by itself" },
}, async () => {
  const targets: string[] = [];
  // A server that sends the bytes that it is told to.
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      const target = decodeURI(String(data).split(" ")[1]!);
      targets.push(target);
      const location = target === "/" ? "Location: /grüße/日本?é\r\n" : "";
      const status = target === "/" ? "302 Found" : "200 OK";
      socket.write(`HTTP/1.1 ${status}\r\n${location}Content-Length: 0\r\n\r\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  {
    await using client = createMptcpClient();
    const { port } = server.address() as { port: number };
    const response = await client.fetch(`http://127.0.0.1:${port}/`);
    await response.text();
    assertEquals(targets, ["/", "/grüße/日本?é"]);
  }
  await new Promise((resolve) => server.close(resolve));
});

test("a clone of a response knows that it was redirected, and its clones too", async () => {
  await using server = await serveRaw(countDown(302));
  await using client = createMptcpClient();
  const response = await client.fetch(`${server.url}/1`);
  const clone = response.clone();
  const second = clone.clone();
  assertEquals([response, clone, second].map(({ redirected }) => redirected), [true, true, true]);
  const texts = await Promise.all([response, clone, second].map((each) => each.text()));
  assertEquals(new Set(texts), new Set(["GET  undefined"]));
  const direct = await client.fetch(`${server.url}/0`);
  assertEquals([direct.redirected, direct.clone().redirected], [false, false]);
  await direct.text();
});
