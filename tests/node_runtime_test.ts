import { assertEquals, assertStringIncludes } from "@std/assert";
import { mptcpSupport } from "../mod.ts";
import { createMptcpClient, serveMptcp } from "../src/http/mod.ts";
import { createCertificate, noCertificate } from "./certificate.ts";
import { test } from "./harness.ts";
import { rawRequest } from "./http.ts";

const only = { runtime: "node", reason: "it is about Node.js" } as const;
const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

for (const hostname of ["127.0.0.1", "::1"]) {
  test(`on Node.js a server on ${hostname} and a client speak MPTCP by node:http and fetch`, {
    only,
    skip: noMptcp,
  }, async () => {
    await using server = serveMptcp({ hostname, port: 0 }, async (request, info) => {
      return new Response(`${info.protocol} ${await request.text()}`);
    });
    assertEquals(server.engine.name, "node");
    assertStringIncludes(server.engine.detail!, "Node.js");
    assertStringIncludes(await rawRequest(server.addr.port, "/", hostname), "mptcp");
    await using client = createMptcpClient();
    const host = hostname === "::1" ? "[::1]" : hostname;
    for (let i = 0; i < 3; i++) {
      const url = `http://${host}:${server.addr.port}/`;
      const response = await client.fetch(url, { method: "POST", body: `number ${i}` });
      assertEquals(await response.text(), `mptcp number ${i}`);
    }
    assertEquals(new Set(client.connections().map(({ protocol }) => protocol)), new Set(["mptcp"]));
  });
}

test("on Node.js HTTPS works over MPTCP", { only, skip: noCertificate ?? noMptcp }, async () => {
  const { cert, key } = createCertificate();
  const options = { hostname: "127.0.0.1", port: 0, cert, key };
  await using server = serveMptcp(options, (_request, info) => new Response(info.protocol));
  await using client = createMptcpClient({ caCerts: [cert] });
  const response = await client.fetch(`https://localhost:${server.addr.port}/`);
  assertEquals(await response.text(), "mptcp");
});

test("on Node.js an engine that it has not is refused by name", { only }, () => {
  try {
    serveMptcp({ port: 0, engine: "native" }, () => new Response());
    throw new Error("There is one");
  } catch (error) {
    assertEquals((error as { code?: string }).code, "ERR_HTTP_ENGINE");
    assertStringIncludes((error as Error).message, "Node.js");
  }
});
