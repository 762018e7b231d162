import { assert, assertEquals, assertThrows } from "@std/assert";
import { listenMptcp } from "../mod.ts";
import { serveMptcp, type ServeMptcpOptions } from "../src/http/mod.ts";
import { createCertificate, noCertificate } from "./certificate.ts";
import { DENO_OPTIONS } from "./deno_serve_options.ts";
import { pageText } from "./documents.ts";
import { runtime, test } from "./harness.ts";
import { ENGINES } from "./http.ts";

/** Options of `Bun.serve`. */
const BUN_OPTIONS: readonly string[] = [
  "development",
  "error",
  "fetch",
  "hostname",
  "http1",
  "http2",
  "http3",
  "id",
  "idleTimeout",
  "ipv6Only",
  "maxRequestBodySize",
  "port",
  "reusePort",
  "routes",
  "tls",
  "unix",
  "websocket",
];

const handler = () => new Response("ok");
const certificate = noCertificate === null ? createCertificate() : { cert: "", key: "" };

/** What an option is tried with, and what has to be beside it. */
const SAMPLES: Readonly<Record<string, () => Record<string, unknown>>> = {
  hostname: () => ({ hostname: "127.0.0.1" }),
  port: () => ({ port: 0 }),
  reusePort: () => ({ reusePort: true }),
  ipv6Only: () => ({ ipv6Only: true, hostname: "::1" }),
  tcpBacklog: () => ({ tcpBacklog: 10 }),
  fd: () => ({ fd: listenMptcp({ hostname: "127.0.0.1" }).detach() }),
  mptcp: () => ({ mptcp: "off" }),
  netns: () => ({ netns: "/proc/self/ns/net" }),
  socketOptions: () => ({ socketOptions: { keepAlive: true } }),
  handler: () => ({ handler }),
  fetch: () => ({ fetch: handler }),
  onError: () => ({ onError: handler }),
  error: () => ({ error: handler }),
  onListen: () => ({ onListen() {} }),
  signal: () => ({ signal: new AbortController().signal }),
  transport: () => ({ transport: "tcp" }),
  cert: () => ({ ...certificate }),
  key: () => ({ ...certificate }),
  keyFormat: () => ({ ...certificate, keyFormat: "pem" }),
  tls: () => ({ tls: certificate }),
  engine: () => ({}),
  nativeOptions: () => ({ nativeOptions: {} }),
  maxConnections: () => ({ maxConnections: 10 }),
  headersTimeout: () => ({ headersTimeout: 1000 }),
  requestTimeout: () => ({ requestTimeout: 1000 }),
  automaticCompression: () => ({ automaticCompression: true }),
  routes: () => ({ routes: { "/": new Response("route") } }),
  websocket: () => ({ websocket: { message() {} } }),
  idleTimeout: () => ({ idleTimeout: 10 }),
  maxRequestBodySize: () => ({ maxRequestBodySize: 1000 }),
  development: () => ({ development: false }),
  id: () => ({ id: "x" }),
  http1: () => ({ http1: true }),
  http2: () => ({ http2: false }),
  http3: () => ({ http3: true }),
  unix: () => ({ unix: "/tmp/x.sock" }),
};

interface Row {
  readonly name: string;
  readonly deno: string;
  readonly bun: string;
  readonly isDeno: boolean;
  readonly isBun: boolean;
}

/** The table of the page. */
function rows(): Row[] {
  const lines = pageText("docs/http.md").matchAll(/^\| `(\w+)` +\|(.*)\|$/gm);
  return [...lines].map(([, name, rest]) => {
    const [deno, bun, isDeno, isBun] = rest!.split("|").map((cell) => cell.trim());
    assert([isDeno, isBun].every((cell) => cell === "yes" || cell === "no"), name);
    return {
      name: name!,
      deno: deno!,
      bun: bun!,
      isDeno: isDeno === "yes",
      isBun: isBun === "yes",
    };
  });
}

const EFFECTS: Readonly<Record<string, readonly string[]>> = {
  "yes": ["native", "node"],
  "native engine": ["native"],
  "node engine": ["node"],
  "refused": [],
};

test("the page of HTTP servers has every option of Deno.serve and Bun.serve", () => {
  const named = (isIn: (row: Row) => boolean) => rows().filter(isIn).map(({ name }) => name).sort();
  assertEquals(named(({ isDeno }) => isDeno), [...DENO_OPTIONS]);
  assertEquals(named(({ isBun }) => isBun), [...BUN_OPTIONS]);
  assertEquals(named(() => true), Object.keys(SAMPLES).sort());
});

for (const row of rows()) {
  test(`the option ${row.name} does what the page of HTTP servers says`, {
    skip: noCertificate,
    place: runtime === "node" ? "the page is about Deno and Bun" : null,
  }, async () => {
    const effect = row[runtime === "deno" ? "deno" : "bun"];
    const engines = EFFECTS[effect];
    assert(engines !== undefined, effect);
    for (const engine of ENGINES) {
      const options = { engine, ...SAMPLES[row.name]!() } as ServeMptcpOptions;
      const place = "fd" in options ? {} : { port: 0 };
      const hasHandler = "handler" in options || "fetch" in options;
      const serve = () =>
        hasHandler
          ? serveMptcp({ ...place, ...options } as { handler: () => Response })
          : serveMptcp({ ...place, ...options }, handler);
      if (engines.includes(engine)) {
        await using server = serve();
        assertEquals(server.engine.name, engine);
      } else {
        assertThrows(serve, Error, row.name);
      }
    }
    if (engines.length !== 1) return;
    // Left to itself, the server takes the engine that has the option.
    const options = { port: 0, ...SAMPLES[row.name]!() } as ServeMptcpOptions;
    await using server = serveMptcp(options, handler);
    assertEquals(server.engine.name, engines[0]);
  });
}
