/**
 * One end of a load of requests and responses, one after the other on one connection:
 *
 *   requests.ts serve tcp|mptcp SECONDS
 *   requests.ts ask tcp|mptcp SECONDS ADDRESS PORT
 *
 * The end that asks prints how many responses came, and how long they took, in milliseconds.
 *
 * @module
 */

import process from "node:process";
import { connectMptcp, listenMptcp, type MptcpConn } from "../../mod.ts";

const REQUEST = 100;
const RESPONSE = 16 * 1024;

/** What the end that asks prints. */
export interface Answered {
  readonly count: number;
  readonly median: number;
  readonly worst: number;
}

const [mode, protocol, seconds, address, port] = process.argv.slice(2);
const mptcp = protocol === "mptcp" ? "require" : "off";

async function fill(conn: MptcpConn, buffer: Uint8Array): Promise<boolean> {
  for (let length = 0; length < buffer.byteLength;) {
    const count = await conn.read(buffer.subarray(length));
    if (count === null) return false;
    length += count;
  }
  return true;
}

async function write(conn: MptcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.byteLength;) sent += await conn.write(bytes.subarray(sent));
}

async function serve(): Promise<void> {
  const listener = listenMptcp({ hostname: "::", port: 0, mptcp });
  console.log(JSON.stringify({ port: listener.addr.port }));
  const conn = await listener.accept();
  const [request, response] = [new Uint8Array(REQUEST), new Uint8Array(RESPONSE)];
  while (await fill(conn, request)) await write(conn, response);
}

async function ask(): Promise<void> {
  const conn = await connectMptcp({ hostname: address!, port: Number(port), mptcp });
  const [request, response] = [new Uint8Array(REQUEST), new Uint8Array(RESPONSE)];
  const times: number[] = [];
  const began = performance.now();
  for (let at = began; at - began < 1000 * Number(seconds);) {
    await write(conn, request);
    if (!await fill(conn, response)) throw new Error("The server ended the connection");
    const now = performance.now();
    times.push(now - at);
    at = now;
  }
  times.sort((a, b) => a - b);
  const result: Answered = {
    count: times.length,
    median: times[times.length >> 1]!,
    worst: times.at(-1)!,
  };
  console.log(JSON.stringify(result));
  conn.close();
}

if (mode === "serve") await serve();
else await ask();
process.exit(0);
