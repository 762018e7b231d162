import { assertEquals, assertThrows } from "@std/assert";
import { connect } from "node:tls";
import { serveMptcp, type ServeMptcpTls } from "../src/http/mod.ts";
import { createSigned, noCertificate } from "./certificate.ts";
import { runtime, test } from "./harness.ts";
import { ENGINES } from "./http.ts";

const signed = noCertificate === null
  ? [createSigned(), createSigned(), createSigned(), createSigned()]
  : [];

/** The number of the authority whose certificate a client gets that asks for this name; -1 for none. */
async function authorityOf(port: number, servername: string): Promise<number> {
  for (const [number, { ca }] of signed.entries()) {
    const socket = connect({
      host: "127.0.0.1",
      port,
      servername,
      ca,
      checkServerIdentity: () => undefined,
    });
    const isTrusted = await new Promise<boolean>((resolve) => {
      socket.once("secureConnect", () => resolve(socket.authorized));
      socket.once("error", () => resolve(false));
      socket.once("close", () => resolve(false));
    });
    socket.destroy();
    if (isTrusted) return number;
  }
  return -1;
}

function certificatesFor(numbers: readonly number[]): ServeMptcpTls[] {
  const names = [undefined, "b.test", "*.c.test"];
  return numbers.map((number, i) => {
    const { cert, key } = signed[number]!;
    return { cert, key, ...(names[i] !== undefined && { serverName: names[i] }) };
  });
}

for (const engine of ENGINES) {
  test(`${engine}: a client gets the certificate for the name that it asks for`, {
    skip: noCertificate,
  }, async () => {
    const isRefused = runtime === "deno" && engine === "native";
    const options = { hostname: "127.0.0.1", port: 0, engine, tls: certificatesFor([0, 1, 2]) };
    const handler = () => new Response("ok");
    if (isRefused) {
      assertThrows(() => serveMptcp(options, handler), Error, "tls");
      return;
    }
    const server = serveMptcp(options, handler);
    const { port } = server.addr;
    const asked = ["b.test", "B.test", "x.c.test", "other.test"];
    const answers = [];
    for (const name of asked) answers.push(await authorityOf(port, name));
    server.reload({ tls: certificatesFor([3, 2])[0]! });
    answers.push(await authorityOf(port, "b.test"));
    server.close();
    await server.finished;
    assertEquals(answers, [1, 1, 2, 0, 3]);
  });
}

test("left to itself a server with several certificates takes the engine that has them", {
  skip: noCertificate,
}, async () => {
  await using server = serveMptcp(
    { hostname: "127.0.0.1", port: 0, tls: certificatesFor([0, 1]) },
    () => new Response("ok"),
  );
  assertEquals(server.engine.name, runtime === "deno" ? "node" : "native");
});

test("certificates that no name leads to are refused", () => {
  const serve = (tls: ServeMptcpTls[]) => serveMptcp({ port: 0, tls }, () => new Response());
  assertThrows(() => serve([]), TypeError, "at least one");
  assertThrows(
    () => serve([{ cert: "x", key: "x" }, { cert: "x", key: "x" }]),
    TypeError,
    "serverName",
  );
});
