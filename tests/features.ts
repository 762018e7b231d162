/**
 * Tries what this module does on the runtime that runs it, and prints what works, a line of JSON for
 * each feature: its name, and `null` or what went wrong.
 *
 *     deno run -A tests/features.ts CA CERT KEY       bun tests/features.ts CA CERT KEY
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { connect, Socket } from "node:net";
import process from "node:process";
import { connectMptcp, listenMptcp, type MptcpConn } from "@multipath/mptcp";
import {
  createMptcpClient,
  serveMptcp,
  type ServeMptcpOptions,
  upgradeWebSocket,
} from "@multipath/mptcp/http";
import { MptcpPathManager } from "@multipath/mptcp/path-manager";

const [ca = "", cert = "", key = ""] = process.argv.slice(2).map((path) =>
  readFileSync(path, "utf8")
);
const BODY = "x".repeat(100_000);

function assertSame(actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${actual} where ${expected} is expected`);
}

async function connectedPair(): Promise<[server: MptcpConn, client: MptcpConn]> {
  using listener = listenMptcp({ hostname: "127.0.0.1", mptcp: "require" });
  const accepted = listener.accept();
  const client = await connectMptcp({ port: listener.addr.port });
  return [await accepted, client];
}

async function trySockets(): Promise<void> {
  const [server, client] = await connectedPair();
  assertSame(`${server.protocol} ${client.protocol}`, "mptcp mptcp");
  const echo = server.readable.pipeTo(server.writable);
  // Long enough for the waker to be needed.
  await new Promise((resolve) => setTimeout(resolve, 100));
  await client.write(new TextEncoder().encode("hello"));
  const buf = new Uint8Array(16);
  assertSame(await client.read(buf), 5);
  client.close();
  await echo;
}

async function tryDetach(): Promise<void> {
  const [server, client] = await connectedPair();
  const fd = server.detach();
  const socket = "Bun" in globalThis ? connect({ fd } as never) : new Socket({ fd });
  socket.end("bye");
  assertSame(await client.read(new Uint8Array(16)), 3);
  client.close();
  socket.destroy();
}

function tryPathManager(): Promise<void> {
  using paths = new MptcpPathManager();
  assertSame(typeof paths.limits().subflows, "number");
  return Promise.resolve();
}

/** What fetches, and the protocol that a server has to see it come by. */
interface Fetching {
  readonly protocol: "mptcp" | "tcp";
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/** The runtime's own. */
const PLAIN: Fetching = { protocol: "tcp", fetch };

async function tryServer(options: ServeMptcpOptions, fetching: Fetching): Promise<void> {
  const scheme = options.cert === undefined ? "http" : "https";
  const where = { hostname: "127.0.0.1", port: 0, mptcp: "require" } as const;
  const server = serveMptcp({ ...where, ...options }, async (request, info) => {
    return new Response(`${info.protocol} ${await request.text()}`);
  });
  try {
    for (let i = 0; i < 3; i++) {
      const url = `${scheme}://127.0.0.1:${server.addr.port}/`;
      const response = await fetching.fetch(url, { method: "POST", body: BODY });
      const [protocol, body] = (await response.text()).split(" ");
      assertSame(protocol, fetching.protocol);
      if (body !== BODY) throw new Error("the body has not come back as it went");
    }
  } finally {
    await server.shutdown();
  }
}

async function tryClient(tls: { cert?: string; key?: string }): Promise<void> {
  await using client = createMptcpClient({ caCerts: [ca] });
  // The listening end is the one that is known to work.
  await tryServer({ ...tls }, { protocol: "mptcp", fetch: client.fetch });
  const [connection] = client.connections();
  assertSame(connection?.protocol, "mptcp");
}

async function tryWebSocket(): Promise<void> {
  const options = { hostname: "127.0.0.1", port: 0, engine: "native" } as const;
  await using server = serveMptcp(options, (request, info) => {
    const { socket, response } = upgradeWebSocket(request, info);
    socket.onmessage = ({ data }) => socket.send(data);
    return response;
  });
  const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`);
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  socket.onopen = () => socket.send("hello");
  socket.onmessage = ({ data }) => resolve(data);
  socket.onerror = () => reject(new Error("the WebSocket failed"));
  assertSame(await promise, "hello");
  const closed = new Promise((resolve) => socket.onclose = resolve);
  socket.close();
  await closed;
}

const FEATURES: Record<string, () => Promise<void>> = {
  "sockets": trySockets,
  "detach to node:net": tryDetach,
  "path manager": tryPathManager,
  "server, native engine": () => tryServer({ engine: "native" }, PLAIN),
  "server, node engine": () => tryServer({ engine: "node" }, PLAIN),
  "server, WebSocket": tryWebSocket,
  "client, http": () => tryClient({}),
  "client, https": () => tryClient({ cert, key }),
};

for (const [name, attempt] of Object.entries(FEATURES)) {
  const { promise, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve("it hangs"), 5000);
  const problem = await Promise.race([attempt().then(() => null, String), promise]);
  clearTimeout(timer);
  console.log(JSON.stringify({ name, problem }));
}
process.exit();
