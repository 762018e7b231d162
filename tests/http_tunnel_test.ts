import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { connectMptcp, type MptcpConn } from "../mod.ts";
import { createMptcpClient, type MptcpClient, serveMptcp } from "../src/http/mod.ts";
import { assertOpenFds, openFds, settledFds, test } from "./harness.ts";
import { urlOf } from "./http.ts";

const only = { runtime: "deno", reason: "there the client has no port" } as const;

/** TCP ports that this machine listens on at the loopback. */
function listeningPorts(): Set<number> {
  const rows = readFileSync("/proc/self/net/tcp", "utf8").split("\n").slice(1);
  const listening = rows.map((row) => row.trim().split(/\s+/))
    .filter(([, local, , state]) => state === "0A" && local!.startsWith("0100007F:"));
  return new Set(listening.map(([, local]) => parseInt(local!.split(":")[1]!, 16)));
}

/** The port of a client's tunnel, once it has made a request. */
async function tunnelOf(client: MptcpClient, url: string): Promise<number> {
  const before = listeningPorts();
  await (await client.fetch(url)).text();
  const [port] = [...listeningPorts()].filter((port) => !before.has(port));
  return port!;
}

async function strangers(port: number, count: number): Promise<MptcpConn[]> {
  const connect = () => connectMptcp({ port, mptcp: "off" });
  return await Promise.all(Array.from({ length: count }, connect));
}

/** Whether the other end closes a connection. */
async function isEnded(conn: MptcpConn): Promise<boolean> {
  return await conn.read(new Uint8Array(1)).then((count) => count === null, () => true);
}

test("strangers to the tunnel are sent away after a time, and fetch goes on meanwhile", {
  only,
}, async () => {
  await using server = serveMptcp({ hostname: "127.0.0.1", port: 0 }, () => new Response("hello"));
  await using client = createMptcpClient();
  const port = await tunnelOf(client, urlOf(server));
  const before = await settledFds();
  const count = 40;
  const conns = await strangers(port, count);
  // Another server, so that fetch needs a further connection.
  await using other = serveMptcp({ hostname: "127.0.0.1", port: 0 }, () => new Response("other"));
  assertEquals(await (await client.fetch(urlOf(other))).text(), "other");
  const open = openFds() - before - count;
  assert(open < 45, `${open} descriptors for strangers`);
  assert(await isEnded(conns[0]!));
  for (const conn of conns) conn.close();
});

test("a client begins as many requests at once as it likes", async () => {
  await using server = serveMptcp({ hostname: "127.0.0.1", port: 0 }, () => new Response("hello"));
  await using client = createMptcpClient();
  const get = async () => await (await client.fetch(urlOf(server))).text();
  const answers = await Promise.all(Array.from({ length: 200 }, get));
  assertEquals(answers, Array(200).fill("hello"));
});

test("close ends the strangers of a tunnel", { only }, async () => {
  await using server = serveMptcp({ hostname: "127.0.0.1", port: 0 }, () => new Response("hello"));
  const before = await settledFds();
  const client = createMptcpClient();
  const [conn] = await strangers(await tunnelOf(client, urlOf(server)), 1);
  const began = Date.now();
  await client[Symbol.asyncDispose]();
  assert(await isEnded(conn!));
  assert(Date.now() - began < 1500);
  conn!.close();
  await assertOpenFds(before);
});
