import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { mptcpSupport } from "../mod.ts";
import { createMptcpClient, type MptcpServer, serveMptcp } from "../src/http/mod.ts";
import { createSigned, noCertificate } from "./certificate.ts";
import { assertOpenFds, settledFds, test } from "./harness.ts";
import { ENGINES, tell, type Told, urlOf } from "./http.ts";
import { delay } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const signed = noCertificate === null ? [createSigned(), createSigned(), createSigned()] : [];

/** What a new connection that trusts this authority is told. */
async function askTrusting(server: MptcpServer, ca: string): Promise<Told> {
  await using client = createMptcpClient({ caCerts: [ca] });
  return await (await client.fetch(urlOf(server, "/", "https"))).json();
}

for (const engine of ENGINES) {
  const options = { hostname: "127.0.0.1", port: 0, engine } as const;

  test(`${engine}: a certificate is replaced while a request runs, again and again`, {
    skip: noMptcp ?? noCertificate,
  }, async () => {
    const before = await settledFds();
    const { promise: answer, resolve } = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const [first, ...others] = signed;
    const server = serveMptcp(
      { ...options, cert: first!.cert, key: first!.key },
      async (request, info) => {
        if (request.url.endsWith("/slow")) {
          asked.resolve();
          await answer;
        }
        return tell(request, info);
      },
    );
    const { addr } = server;
    {
      await using early = createMptcpClient({ caCerts: [first!.ca] });
      const slow = early.fetch(urlOf(server, "/slow", "https"));
      await asked.promise;
      let last = first!;
      for (const { ca, cert, key } of others) {
        server.reload({ tls: { cert, key } });
        assertEquals((await askTrusting(server, ca)).protocol, "mptcp");
        const trustsLast = last.ca;
        await assertRejects(() => askTrusting(server, trustsLast), TypeError);
        last = { ca, cert, key };
      }
      resolve();
      const told: Told = await (await slow).json();
      assertEquals([told.protocol, told.subflows], ["mptcp", 1]);
    }
    assertEquals([server.engine.name, server.addr], [engine, addr]);
    // The new ones answer to the names of the first.
    server.reload({ handler: () => new Response("{}") });
    assertEquals(await askTrusting(server, others.at(-1)!.ca) as unknown, {});
    await server.shutdown();
    await assertOpenFds(before);
  });

  test(`${engine}: close after a new certificate ends what began before it`, {
    skip: noMptcp ?? noCertificate,
  }, async () => {
    const before = await settledFds();
    const { promise: answer, resolve } = Promise.withResolvers<Response>();
    const asked = Promise.withResolvers<void>();
    const [first, second] = signed as [typeof signed[0], typeof signed[0]];
    const server = serveMptcp({ ...options, tls: { cert: first.cert, key: first.key } }, () => {
      asked.resolve();
      return answer;
    });
    const client = createMptcpClient({ caCerts: [first.ca] });
    const slow = client.fetch(urlOf(server, "/", "https")).catch((error) => error as Error);
    await asked.promise;
    server.reload({ tls: { cert: second.cert, key: second.key } });
    await delay(50);
    server.close();
    assert(await slow instanceof Error);
    await server.finished;
    resolve(new Response());
    await client.shutdown();
    await assertOpenFds(before);
  });

  test(`${engine}: a certificate that cannot be used is refused, and the server goes on`, {
    skip: noCertificate,
  }, async () => {
    const [first, second] = signed as [typeof signed[0], typeof signed[0]];
    await using server = serveMptcp({ ...options, cert: first.cert, key: first.key }, tell);
    const before = await settledFds();
    for (
      const tls of [{ cert: "none", key: "none" }, { cert: first.cert, key: second.key }, {
        cert: first.cert,
      }]
    ) {
      assertThrows(() => server.reload({ tls: tls as { cert: string; key: string } }), Error);
    }
    await assertOpenFds(before);
    await askTrusting(server, first.ca);
    await using plain = serveMptcp(options, tell);
    assertThrows(() => plain.reload({ tls: second }), TypeError, "HTTP");
  });
}
