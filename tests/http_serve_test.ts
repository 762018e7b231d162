import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { serveMptcp, type ServeMptcpOptions } from "../src/http/mod.ts";
import { pretendUnsupported } from "../ffi/runtime.ts";
import { connectMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import { createCertificate, noCertificate } from "./certificate.ts";
import { assertOpenFds, settledFds, test } from "./harness.ts";
import { ENGINES, noNativeEngine, outputOf, rawRequest, tell, type Told, urlOf } from "./http.ts";
import { createNetns, missingNamespaces, missingProgram, pythonPeer } from "./processes.ts";
import { delay } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const noPython = missingProgram("python3") ?? noMptcp;
const noCurl = missingProgram("curl") ?? missingProgram("mptcpize") ?? noMptcp;
const certificate = noCertificate === null ? createCertificate() : undefined;

interface HttpTruth {
  isMptcp: boolean;
  status: number;
  body: string;
}

function optionsFor(scheme: "http" | "https"): ServeMptcpOptions {
  return scheme === "https" ? { port: 0, ...certificate } : { port: 0 };
}

function assertTold(body: string, isMptcp: boolean, hostname: string): void {
  const told: Told = JSON.parse(body);
  assertEquals([told.protocol, told.reason], isMptcp ? ["mptcp", null] : ["tcp", "peer"]);
  assertEquals([told.hostname, told.subflows], [hostname, 1]);
  assertEquals(told.token !== null, isMptcp);
  assert(told.port > 0);
}

for (const engine of ENGINES) {
  for (const scheme of ["http", "https"] as const) {
    const noTls = scheme === "https" ? noCertificate : null;

    for (
      const { hostname, from } of [
        { hostname: "127.0.0.1", from: "127.0.0.1" },
        { hostname: "::1", from: "::1" },
        { hostname: "::", from: "127.0.0.1" },
        { hostname: "::", from: "::1" },
      ]
    ) {
      for (const protocol of [262, 6]) {
        const name =
          `${engine}: a handler on ${hostname} is told what Python speaks that comes by ` +
          `${scheme} and protocol ${protocol} from ${from}`;
        test(name, { skip: noPython ?? noTls }, async () => {
          await using server = serveMptcp({ ...optionsFor(scheme), hostname, engine }, tell);
          assertEquals(server.engine, { name: engine, detail: null });
          assertEquals([server.protocol, server.fallback], ["mptcp", null]);
          const tls = Number(scheme === "https");
          await using peer = pythonPeer("http", from, server.addr.port, protocol, tls);
          const { isMptcp, status, body } = await peer.next<HttpTruth>();
          assertEquals([isMptcp, status], [protocol === 262, 200]);
          assertTold(body, isMptcp, from);
        });
      }
    }

    for (const wrapper of [[], ["mptcpize", "run"]]) {
      const isMptcp = wrapper.length > 0;
      const name = `${engine}: a handler is told what curl speaks by ${scheme} ` +
        (isMptcp ? "under mptcpize" : "by itself");
      test(name, { skip: noCurl ?? noTls }, async () => {
        await using server = serveMptcp({ ...optionsFor(scheme), engine }, tell);
        const url = urlOf(server, "/", scheme);
        // Two requests on one connection.
        const output = await outputOf([...wrapper, "curl", "-sSk", "-w", "\n", url, url]);
        const [first, second] = output.trim().split("\n") as [string, string];
        assertTold(first, isMptcp, "127.0.0.1");
        assertEquals(first, second);
      });
    }
  }

  test(`${engine}: mptcp "off" serves by TCP, and says so`, async () => {
    await using server = serveMptcp({ port: 0, engine, mptcp: "off" }, tell);
    assertEquals([server.protocol, server.fallback?.reason], ["tcp", "off"]);
    const told: Told = await (await fetch(urlOf(server))).json();
    assertEquals([told.protocol, told.reason, told.subflows], ["tcp", "off", 1]);
  });

  test(`${engine}: a server in a network namespace is reached there`, {
    skip: missingNamespaces() ?? noCurl,
  }, async () => {
    using netns = createNetns(`http-${engine}`);
    await using server = serveMptcp({ port: 0, engine, netns: netns.name }, tell);
    const url = urlOf(server);
    const inside = ["ip", "netns", "exec", netns.name, "mptcpize", "run", "curl", "-sS", url];
    assertTold(await outputOf(inside), true, "127.0.0.1");
  });

  test(`${engine}: where the kernel has no MPTCP the server is a TCP one`, {
    skip: missingNamespaces(),
  }, async () => {
    using netns = createNetns(`off-${engine}`, { "net.mptcp.enabled": 0 });
    await using server = serveMptcp({ port: 0, engine, netns: netns.name }, tell);
    assertEquals([server.protocol, server.fallback?.reason], ["tcp", "kernel"]);
    const inside = ["ip", "netns", "exec", netns.name, "curl", "-sS", urlOf(server)];
    const told: Told = JSON.parse(await outputOf(inside));
    assertEquals([told.protocol, told.reason], ["tcp", "kernel"]);
    const before = await settledFds();
    const required = { port: 0, engine, netns: netns.name, mptcp: "require" } as const;
    assertThrows(() => serveMptcp(required, tell), MptcpError, "required");
    await assertOpenFds(before);
  });

  test(`${engine}: a port in use is an error, and leaves no descriptor`, async () => {
    await using server = serveMptcp({ port: 0, engine }, tell);
    const before = await settledFds();
    const { port } = server.addr;
    const error = assertThrows(() => serveMptcp({ port, engine }, tell), MptcpError);
    assertEquals([error.code, error.port], ["EADDRINUSE", port]);
    await assertOpenFds(before);
  });

  test(`${engine}: a certificate that is none is an error, and leaves no descriptor`, async () => {
    const before = await settledFds();
    const options = { port: 0, engine, cert: "none", key: "none" };
    assertThrows(() => serveMptcp(options, tell), Error);
    await assertOpenFds(before);
  });
}

test("options of the wrong type are refused by name", () => {
  const handler = () => new Response();
  const bad: [Record<string, unknown>, string][] = [
    [{ engine: "fast" }, "engine"],
    [{ cert: "x" }, "cert and key"],
    [{ cert: new Uint8Array(1), key: "x" }, "cert"],
    [{ onListen: 1 }, "onListen"],
    [{ onError: {} }, "onError"],
    [{ signal: true }, "signal"],
    [{ port: "x" }, "port"],
    [{ mptcp: "yes" }, "mptcp"],
    [{ socketOptions: { priority: 1 } }, "priority"],
  ];
  for (const [options, includes] of bad) {
    assertThrows(() => serveMptcp(options as ServeMptcpOptions, handler), TypeError, includes);
  }
  assertThrows(() => serveMptcp({}, undefined as never), TypeError, "handler");
  assertThrows(() => serveMptcp(null as never, handler), TypeError, "options");
});

test("onListen is told the address before serveMptcp returns, and may throw", async () => {
  let port = 0;
  await using server = serveMptcp({ port: 0, onListen: (addr) => port = addr.port }, tell);
  assertEquals(port, server.addr.port);
  const error = assertThrows(() =>
    serveMptcp({
      port: 0,
      onListen(addr) {
        port = addr.port;
        throw new Error("no");
      },
    }, tell), Error);
  assertStringIncludes(error.message, "no");
  await untilRefused(port);
});

/** Waits until nobody listens there any more; for ever, if that does not come. */
async function untilRefused(port: number): Promise<void> {
  for (;;) {
    const error = await connectMptcp({ port }).then((conn) => conn.close(), (error) => error);
    if (error?.code === "ECONNREFUSED") return;
    await delay(10);
  }
}

test("where there is no MPTCP at all the runtime serves by its own TCP", {
  place: noNativeEngine,
}, async () => {
  const before = await settledFds();
  const real = pretendUnsupported("the operating system is Plan 9, not Linux");
  try {
    const options = { hostname: "127.0.0.1", port: 0 };
    const server = serveMptcp(options, tell);
    assertEquals(server.engine, { name: "native", detail: null });
    assertEquals([server.protocol, server.fallback?.reason], ["tcp", "not-linux"]);
    const response = await rawRequest(server.addr.port);
    const told: Told = JSON.parse(response.slice(response.indexOf("{")));
    assertEquals([told.protocol, told.reason, told.subflows], ["tcp", "not-linux", 1]);
    await server.shutdown();
    assertThrows(() => serveMptcp({ ...options, mptcp: "require" }, tell), MptcpError, "Plan 9");
    assertThrows(() => serveMptcp({ ...options, engine: "node" }, tell), MptcpError, "Linux");
  } finally {
    pretendUnsupported(real);
  }
  await assertOpenFds(before);
});
