/** One small GET after another, on a connection that is kept: by server, and by client. */

import { createMptcpClient } from "@multipath/mptcp/http";
import { bench } from "./suite.ts";
import { HAS_MPTCP, HOSTNAME, startServer } from "./clients.ts";
import type { HttpServerKind } from "./servers/http.ts";

const SERVERS: readonly { kind: HttpServerKind; name: string }[] = [
  { kind: "own", name: "the runtime's own server" },
  { kind: "native", name: "serveMptcp, native engine" },
  { kind: "node", name: "serveMptcp, node engine" },
];

for (const { kind, name } of SERVERS) {
  const url = await startHttp(kind);
  bench({
    name,
    group: "GET by the runtime's fetch",
    baseline: kind === "own",
    async fn() {
      await get(fetch, url);
    },
  });
}

const url = await startHttp("native");
const client = createMptcpClient({ mptcp: HAS_MPTCP ? "require" : "off" });
const fetches = [
  { name: "the runtime's fetch", get: fetch },
  { name: `fetch of a client, ${HAS_MPTCP ? "MPTCP" : "TCP"}`, get: client.fetch.bind(client) },
];

for (const { name, get: fetch } of fetches) {
  bench({
    name,
    group: "GET from serveMptcp, native engine",
    baseline: name === fetches[0]!.name,
    async fn() {
      await get(fetch, url);
    },
  });
}

async function startHttp(kind: HttpServerKind): Promise<string> {
  const line = await startServer("http.ts", [kind, HAS_MPTCP ? "require" : "off"]);
  return `http://${HOSTNAME}:${JSON.parse(line).port}/`;
}

async function get(fetch: (url: string) => Promise<Response>, url: string): Promise<void> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: status ${response.status}`);
  await response.text();
}
