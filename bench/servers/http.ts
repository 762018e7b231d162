/**
 * An HTTP server that says where it listens: the runtime's own, or `serveMptcp`, over MPTCP unless a
 * second argument says "off".
 *
 * @module
 */

import process from "node:process";
import { serveMptcp, type ServeMptcpHandler } from "@multipath/mptcp/http";

/** `own` is the runtime's; `asking` tells each client what it speaks; the others do not ask. */
export type HttpServerKind = "own" | "native" | "informed" | "asking" | "node";

type Serve = (options: Record<string, unknown>) => { port?: number; addr?: { port: number } };

const HANDLERS: Record<Exclude<HttpServerKind, "own">, ServeMptcpHandler> = {
  native: (_request) => new Response("Hello, world"),
  informed: (_request, _info) => new Response("Hello, world"),
  asking: (_request, info) => new Response(info.protocol),
  node: (_request) => new Response("Hello, world"),
};

const kind = process.argv[2] as HttpServerKind;
const port = kind === "own" ? serveOwn() : serveOurs(kind);
console.log(JSON.stringify({ port }));

function serveOwn(): number {
  const { Deno, Bun } = globalThis as unknown as Record<"Deno" | "Bun", { serve: Serve }>;
  const handler = () => new Response("Hello, world");
  const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
  if (Deno === undefined) return Bun.serve({ ...options, fetch: handler }).port!;
  return Deno.serve({ ...options, handler: (_request: Request) => handler() }).addr!.port;
}

function serveOurs(kind: Exclude<HttpServerKind, "own">): number {
  const engine = kind === "node" ? "node" : "native";
  const mptcp = process.argv[3] === "off" ? "off" : "require";
  const options = { hostname: "127.0.0.1", port: 0, engine, mptcp } as const;
  return serveMptcp(options, HANDLERS[kind]).addr.port;
}
