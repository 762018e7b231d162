import { assert, assertEquals } from "@std/assert";
import { connectMptcp, mptcpSupport } from "../mod.ts";
import { serveMptcp, type ServeMptcpHandler, type ServeMptcpInfo } from "../src/http/mod.ts";
import { runtime, test } from "./harness.ts";
import { ENGINES, rawRequest, tell } from "./http.ts";
import { bytesOf, readUpTo } from "./sockets.ts";

const spoken = mptcpSupport().supported ? "mptcp" : "tcp";

/** Handlers of every shape, all of which look at the protocol of their request. */
const SHAPES: Readonly<Record<string, unknown>> = {
  "(request, info)": (_request: Request, info: ServeMptcpInfo) => new Response(info.protocol),
  "(...args)": (...args: [Request, ServeMptcpInfo]) => new Response(args[1].protocol),
  "(request, ...rest)": (_request: Request, ...rest: [ServeMptcpInfo]) =>
    new Response(rest[0].protocol),
  "a default": (_request: Request, info?: ServeMptcpInfo, _context = {}) =>
    new Response(info!.protocol),
  "a default for info": (_request: Request, info = { protocol: "default" }) =>
    new Response(info.protocol),
  "arguments": function (_request: Request) {
    return new Response(arguments[1].protocol);
  },
  "destructuring": (_request: Request, { protocol }: ServeMptcpInfo) => new Response(protocol),
  "async": async (_request: Request, info: ServeMptcpInfo) =>
    new Response(await Promise.resolve(info.protocol)),
  "bound": (function (this: string, _request: Request, info: ServeMptcpInfo) {
    return new Response(info.protocol);
  }).bind("x"),
};

/** What may be done with the information, and what has to come out. */
const COPIES: Readonly<Record<string, (info: ServeMptcpInfo) => ServeMptcpInfo>> = {
  "itself": (info) => info,
  "spread": (info) => ({ ...info }),
  "assigned": (info) => Object.assign({ more: 1 }, info),
  "merged": (info) => Object.fromEntries([...Object.entries(info), ["more", 1]]) as ServeMptcpInfo,
  "derived": (info) => Object.create(info, { more: { value: 1 } }),
  "described": (info) => Object.create({}, Object.getOwnPropertyDescriptors(info)),
  "extended": (info) => Object.assign(info, { more: 1 }),
};

for (const engine of ENGINES) {
  const options = { hostname: "127.0.0.1", port: 0, engine } as const;

  for (const [shape, handler] of Object.entries(SHAPES)) {
    test(`${engine}: a handler gets the information in the shape of ${shape}`, async () => {
      await using server = serveMptcp(options, handler as ServeMptcpHandler);
      assert((await rawRequest(server.addr.port)).includes(spoken));
    });
  }

  test(`${engine}: the information is copied, merged, derived from and serialised`, async () => {
    const failures: unknown[] = [];
    const told: string[] = [];
    await using server = serveMptcp(options, (request, info) => {
      try {
        for (const copy of Object.values(COPIES)) {
          const { protocol, remoteAddr, server } = copy(info);
          assertEquals([protocol, server], [info.protocol, info.server]);
          told.push(tell(request, copy(info)).status + remoteAddr.hostname);
          const text = JSON.stringify(copy(info));
          // Inherited properties are no part of JSON, of anything.
          if (text === "{}") continue;
          const { more: _more, ...parsed } = JSON.parse(text);
          assertEquals(parsed, { remoteAddr, protocol, fallback: info.fallback });
        }
        const { info: ask, subflows } = info;
        assertEquals([ask()?.token, subflows().length], [info.info()?.token, 1]);
        assert("protocol" in info && !("nothing" in info));
      } catch (error) {
        failures.push(error);
      }
      return new Response("ok");
    });
    await rawRequest(server.addr.port);
    assertEquals(failures, []);
    assertEquals(told, Object.keys(COPIES).map(() => "200127.0.0.1"));
  });

  for (const body of ["text", "stream", "none"]) {
    test(`${engine}: completed resolves when an answer has been sent, of body ${body}`, async () => {
      const completed = Promise.withResolvers<void>();
      await using server = serveMptcp(options, async (_request, info) => {
        await Promise.resolve();
        info.completed.then(completed.resolve, completed.reject);
        if (body === "none") return new Response(null, { status: 204 });
        return new Response(body === "text" ? "ok" : new Blob(["ok"]).stream());
      });
      const answer = await rawRequest(server.addr.port);
      assertEquals(answer.includes("ok"), body !== "none");
      await completed.promise;
    });
  }

  test(`${engine}: completed rejects when the client leaves before that`, async () => {
    const completed = Promise.withResolvers<string>();
    await using server = serveMptcp(options, (_request, info) => {
      info.completed.then(() => "resolved", () => "rejected").then(completed.resolve);
      return new Response(
        new ReadableStream<Uint8Array>({
          pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
        }),
      );
    });
    const client = await connectMptcp({ port: server.addr.port });
    await client.write(bytesOf("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    await readUpTo(client, 100_000);
    client.close();
    // Deno.serve makes no difference.
    const isDenoServe = runtime === "deno" && engine === "native";
    assertEquals(await completed.promise, isDenoServe ? "resolved" : "rejected");
  });
}

test("a handler in the style of Bun finds the members of its server", {
  only: { runtime: "bun", reason: "the style is Bun's" },
}, async () => {
  const options = { hostname: "127.0.0.1", port: 0, engine: "native" } as const;
  interface Server {
    requestIP(request: Request): { address: string };
    upgrade(request: Request): boolean;
    readonly pendingRequests: number;
  }
  await using server = serveMptcp(options, (request, info) => {
    const bun = info as unknown as Server;
    const { address } = bun.requestIP(request);
    return new Response(`${address} ${bun.upgrade(request)} ${bun.pendingRequests}`);
  });
  assert((await rawRequest(server.addr.port)).includes("127.0.0.1 false 1"), runtime);
});
