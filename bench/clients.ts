/**
 * The clients that the `deno bench` suites compare, and the peer that they talk to: a process of
 * its own, the same for all.
 *
 * @module
 */

import { connectMptcp, mptcpSupport } from "@multipath/mptcp";
import type { Task, TaskConn } from "./servers/tasks.ts";

/** One way to connect; the first is what the others are compared with. */
export interface Client {
  readonly name: string;
  readonly baseline: boolean;
  connect(port: number): Promise<TaskConn>;
}

const hostname = "127.0.0.1";
const hasMptcp = mptcpSupport().supported;

/** Deno's own sockets first; MPTCP where this machine has it. */
export const CLIENTS: readonly Client[] = [
  { name: "Deno.connect", baseline: true, connect: (port) => Deno.connect({ hostname, port }) },
  {
    name: "connectMptcp, TCP",
    baseline: false,
    connect: (port) => connectMptcp({ hostname, port, mptcp: "off" }),
  },
  ...(hasMptcp
    ? [{
      name: "connectMptcp, MPTCP",
      baseline: false,
      connect: (port: number) => connectMptcp({ hostname, port, mptcp: "require" }),
    }]
    : []),
];

/** Starts the server that does `task`, for as long as this process lives; gives its port. */
export async function startPeer(task: Task, size: number = 64 * 1024): Promise<number> {
  const program = new URL("servers/mptcp.ts", import.meta.url).pathname;
  const peer = new Deno.Command(Deno.execPath(), {
    // An MPTCP listener serves TCP clients as TCP.
    args: ["run", "--allow-all", program, task, String(size), hasMptcp ? "require" : "off"],
    stdout: "piped",
  }).spawn();
  globalThis.addEventListener("unload", () => peer.kill());
  const reader = peer.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return Number(new TextDecoder().decode(value));
}

/** Registers one benchmark per client, on connections that are open before it starts. */
export async function benchConnected(
  group: string,
  port: number,
  connections: number,
  body: (conns: TaskConn[]) => Promise<unknown>,
): Promise<void> {
  for (const { name, baseline, connect } of CLIENTS) {
    const conns: TaskConn[] = [];
    while (conns.length < connections) conns.push(await connect(port));
    Deno.bench({
      name,
      group,
      baseline,
      // Deno awaits only what is declared async.
      async fn() {
        await body(conns);
      },
    });
  }
}

/** Writes a message and reads until as many bytes are back. */
export async function roundTrip(
  conn: TaskConn,
  message: Uint8Array,
  buf: Uint8Array,
): Promise<void> {
  await write(conn, message);
  await read(conn, buf, message.byteLength);
}

/** Writes all bytes. */
export async function write(conn: TaskConn, bytes: Uint8Array): Promise<void> {
  let at = await conn.write(bytes);
  while (at < bytes.byteLength) at += await conn.write(bytes.subarray(at));
}

/** Reads and forgets that many bytes, or up to one buffer more. */
export async function read(conn: TaskConn, buf: Uint8Array, length: number): Promise<void> {
  for (let at = 0; at < length;) {
    const count = await conn.read(buf);
    if (count === null) throw new Error("The peer closed the connection");
    at += count;
  }
}
