import { assertEquals } from "@std/assert";
import { connectMptcp, type MptcpConn } from "../mod.ts";
import {
  createMptcpClient,
  type MptcpServer,
  serveMptcp,
  type ServeMptcpOptions,
} from "../src/http/mod.ts";
import { formatHostPort } from "../src/show.ts";
import { createSigned, noCertificate } from "./certificate.ts";
import { test } from "./harness.ts";
import { bytesOf, readToEnd } from "./sockets.ts";

const only = {
  runtime: "deno",
  reason: "Bun gives the path alone, on its own sockets too",
} as const;

function serve(hostname: string, options: ServeMptcpOptions = {}): MptcpServer {
  return serveMptcp({ hostname, port: 0, engine: "native", ...options }, async (request) => {
    const body = await request.clone().text();
    return Response.json([request.url, request.clone().url, request.method, body]);
  });
}

async function ask({ addr }: MptcpServer, hostname: string, request: string): Promise<unknown> {
  const conn: MptcpConn = await connectMptcp({ hostname, port: addr.port });
  using _ = conn;
  await conn.write(bytesOf(request));
  const answer = new TextDecoder().decode(await readToEnd(conn));
  return JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4));
}

for (
  const [hostname, reached, shown] of [
    ["127.0.0.1", "127.0.0.1", "localhost"],
    ["127.0.0.5", "127.0.0.5", "localhost"],
    ["0.0.0.0", "127.0.0.1", "localhost"],
    ["::", "::1", "localhost"],
    ["::1", "::1", "localhost"],
  ] as const
) {
  test(`a request without a Host has the URL that Deno.serve gives it, at ${hostname}`, {
    only,
  }, async () => {
    await using server = serve(hostname);
    const origin = `http://${shown}:${server.addr.port}`;
    const cases: [string, string, string, string][] = [
      ["GET /a?b=c HTTP/1.0\r\n\r\n", `${origin}/a?b=c`, "GET", ""],
      ["GET / HTTP/1.1\r\nConnection: close\r\n\r\n", `${origin}/`, "GET", ""],
      ["GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", `${origin}/`, "GET", ""],
      [
        "POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        `${origin}/`,
        "POST",
        "hello",
      ],
      [
        "GET /x HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n",
        "http://example.org/x",
        "GET",
        "",
      ],
      ["GET http://example.org/ HTTP/1.0\r\n\r\n", "http://example.org/", "GET", ""],
    ];
    for (const [request, url, method, body] of cases) {
      assertEquals(await ask(server, reached, request), [url, url, method, body], request);
    }
  });
}

test("the URL of a request without a Host is as by Deno.serve itself", { only }, async () => {
  const { Deno } = globalThis as unknown as {
    Deno: {
      serve(
        options: object,
        handler: (request: Request) => Response,
      ): MptcpServer & { shutdown(): Promise<void> };
    };
  };
  const usual = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => Response.json(request.url),
  );
  const url = await ask(usual, "127.0.0.1", "GET /a HTTP/1.0\r\n\r\n");
  assertEquals(url, `http://localhost:${usual.addr.port}/a`);
  await usual.shutdown();
});

test("a Host that looks like a missing one stays, and the usual request is the runtime's own", {
  only,
}, async () => {
  const seen: boolean[] = [];
  await using server = serveMptcp({ hostname: "127.0.0.1", port: 0 }, (request) => {
    seen.push(Object.getPrototypeOf(request) === Request.prototype);
    return Response.json([request instanceof Request, request.url]);
  });
  const { port } = server.addr;
  const withHost = `GET / HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`;
  assertEquals(await ask(server, "127.0.0.1", withHost), [true, `http://localhost:${port}/`]);
  const without = "GET / HTTP/1.0\r\n\r\n";
  assertEquals(await ask(server, "127.0.0.1", without), [true, `http://localhost:${port}/`]);
  assertEquals(seen, [true, false]);
});

test("over HTTP/2 the URL has the authority of the request", {
  only,
  skip: noCertificate,
}, async () => {
  const { ca, cert, key } = createSigned();
  await using server = serve("127.0.0.1", { cert, key });
  await using client = createMptcpClient({ caCerts: [ca] });
  const url = `https://${formatHostPort("127.0.0.1", server.addr.port)}/a`;
  assertEquals(await (await client.fetch(url)).json(), [url, url, "GET", ""]);
});

test("without a Host a WebSocket can be had all the same", { only }, async () => {
  const { Deno } = globalThis as unknown as {
    Deno: { upgradeWebSocket(request: Request): { response: Response } };
  };
  await using server = serveMptcp(
    { hostname: "127.0.0.1", port: 0 },
    (request) => Deno.upgradeWebSocket(request).response,
  );
  using conn = await connectMptcp({ hostname: "127.0.0.1", port: server.addr.port });
  await conn.write(
    bytesOf(
      "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ),
  );
  const buf = new Uint8Array(1000);
  const count = await conn.read(buf);
  const answer = new TextDecoder().decode(buf.subarray(0, count!));
  assertEquals(answer.slice(0, 12), "HTTP/1.1 101");
});
