/**
 * The clients that the suites of benchmarks compare, and the peers that they talk to: processes of
 * their own, the same for all.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { connectMptcp, mptcpSupport } from "@multipath/mptcp";
import { isDeno } from "../ffi/runtime.ts";
import { bench } from "./suite.ts";
import { connectNative, NATIVE_CONNECT } from "./native.ts";
import type { Task, TaskConn } from "./servers/tasks.ts";

/** One way to connect; the first is what the others are compared with. */
export interface Client {
  readonly name: string;
  readonly baseline: boolean;
  connect(port: number): Promise<TaskConn>;
}

/** Where everything of the suites listens. */
export const HOSTNAME = "127.0.0.1";

/** Whether this machine has MPTCP. */
export const HAS_MPTCP: boolean = mptcpSupport().supported;

/** The runtime's own sockets first; MPTCP where this machine has it. */
export const CLIENTS: readonly Client[] = [
  { name: NATIVE_CONNECT, baseline: true, connect: (port) => connectNative(HOSTNAME, port) },
  {
    name: "connectMptcp, TCP",
    baseline: false,
    connect: (port) => connectMptcp({ hostname: HOSTNAME, port, mptcp: "off" }),
  },
  ...(HAS_MPTCP
    ? [{
      name: "connectMptcp, MPTCP",
      baseline: false,
      connect: (port: number) => connectMptcp({ hostname: HOSTNAME, port, mptcp: "require" }),
    }]
    : []),
];

/** Starts the server that does `task`, for as long as this process lives; gives its port. */
export async function startPeer(task: Task, size: number = 64 * 1024): Promise<number> {
  // An MPTCP listener serves TCP clients as TCP.
  const mptcp = HAS_MPTCP ? "require" : "off";
  return Number(await startServer("mptcp.ts", [task, String(size), mptcp]));
}

/** Starts a program of `servers/`, for as long as this process lives; gives its first line. */
export async function startServer(name: string, args: readonly string[]): Promise<string> {
  const program = fileURLToPath(new URL(`servers/${name}`, import.meta.url));
  const run = isDeno ? ["run", "--allow-all"] : [];
  const peer = spawn(process.execPath, [...run, program, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.on("exit", () => peer.kill());
  const [line] = await once(peer.stdout, "data") as [Uint8Array];
  // A suite that is through must end, though its peers have not.
  peer.unref();
  peer.stdout.destroy();
  return new TextDecoder().decode(line);
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
    bench({
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
