/**
 * The public interfaces against Deno's own: `deno check` fails where one is not assignable. `tsc`
 * leaves this file out, as it has no types of Deno.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  connectMptcp,
  listenMptcp,
  type MptcpConn,
  type MptcpError,
  type MptcpListener,
  mptcpSupport,
  type NetAddr,
} from "../mod.ts";
import { test } from "./harness.ts";
import { createSigned, noCertificate } from "./certificate.ts";
import { bytesOf, connectedPair } from "./sockets.ts";
import { DENO_OPTIONS } from "./deno_serve_options.ts";
import { type MptcpServer, serveMptcp, type ServeMptcpHandler } from "../src/http/mod.ts";

export const asTcpConn: (conn: MptcpConn) => Deno.TcpConn = (conn) => conn;
export const asConn: (conn: MptcpConn) => Deno.Conn<Deno.NetAddr> = (conn) => conn;
export const asTcpListener: (listener: MptcpListener) => Deno.TcpListener = (listener) => listener;
export const asListener: (
  listener: MptcpListener,
) => Deno.Listener<Deno.TcpConn, Deno.NetAddr> = (listener) => listener;
export const asNetAddr: (addr: NetAddr) => Deno.NetAddr = (addr) => addr;
/** The two verbs take the options of Deno's own. */
export const asListen: (options: Deno.TcpListenOptions) => Deno.TcpListener = listenMptcp;
export const asConnect: (options: Deno.ConnectOptions) => Promise<Deno.TcpConn> = connectMptcp;
export const asHttpServer: (server: MptcpServer) => Deno.HttpServer<Deno.NetAddr> = (server) =>
  server;
/** Handlers and options of `Deno.serve`. */
export const asHandler: (handler: Deno.ServeHandler) => ServeMptcpHandler = (handler) => handler;
export const asServe: (
  options: Deno.ServeTcpOptions & Deno.ServeInit<Deno.NetAddr>,
) => MptcpServer = serveMptcp;
export const asServeTls: (
  options: Deno.ServeTcpOptions & Deno.TlsCertifiedKeyPem,
  handler: Deno.ServeHandler<Deno.NetAddr>,
) => MptcpServer = serveMptcp;
export const denoOptions: readonly (
  keyof (Deno.ServeTcpOptions & Deno.TlsCertifiedKeyPem & Deno.ServeInit)
)[] = DENO_OPTIONS;
/** None is missing. */
export const allDenoOptions: (
  name: keyof (Deno.ServeTcpOptions & Deno.TlsCertifiedKeyPem & Deno.ServeInit),
) => typeof DENO_OPTIONS[number] = (name) => name;
export const asError: (error: MptcpError) => Error & { code: string } = (error) => error;

/** What type-checks has to work. */
export const asStartTls: (conn: MptcpConn) => Promise<Deno.TlsConn> = (conn) => Deno.startTls(conn);

const only = { runtime: "deno", reason: "it is about Deno's objects" } as const;

/** The names of all members, inherited ones too. */
function members(object: object): Set<PropertyKey> {
  const names = new Set<PropertyKey>();
  for (let o = object; o !== Object.prototype; o = Object.getPrototypeOf(o)) {
    for (const name of Reflect.ownKeys(o)) names.add(name);
  }
  return names;
}

function missing(native: object, ours: object): PropertyKey[] {
  return [...members(native).difference(members(ours))].filter((name) =>
    // What Deno's objects have for Deno's own use.
    typeof name === "string" && !name.startsWith("_") ||
    typeof name === "symbol" && name.description?.startsWith("Symbol.")
  );
}

test("connections and listeners have every member of Deno's own", { only }, async () => {
  using native = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using nativeConn = await Deno.connect({ hostname: "127.0.0.1", port: native.addr.port });
  (await native.accept()).close();
  using listener = listenMptcp();
  using pair = await connectedPair();
  assertEquals(missing(native, listener), []);
  assertEquals(missing(nativeConn, pair.client), []);
});

test("Deno.startTls encrypts a connection and takes it over", {
  only,
  skip: noCertificate ?? mptcpSupport().fallback?.detail ?? null,
}, async () => {
  const { ca, cert, key } = createSigned();
  await using server = serveMptcp(
    { hostname: "127.0.0.1", port: 0, cert, key },
    (_request, info) => new Response(`secret by ${info.protocol}`),
  );
  for (const mptcp of ["require", "off"] as const) {
    using conn = await connectMptcp({ port: server.addr.port, mptcp });
    using tls = await Deno.startTls(conn, { hostname: "localhost", caCerts: [ca] });
    assertEquals(conn.fd, -1);
    await tls.write(bytesOf("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    const answer = await new Response(tls.readable).text();
    const protocol = mptcp === "off" ? "tcp" : "mptcp";
    assert(answer.includes(`secret by ${protocol}`), answer);
  }
});
