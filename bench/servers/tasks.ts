/**
 * What the servers do with a connection, in the terms that `Deno.TcpConn` and `MptcpConn` share:
 * both run the very same code.
 *
 * @module
 */

import process from "node:process";

/** What the tasks need of a connection. */
export interface TaskConn {
  read(p: Uint8Array): Promise<number | null>;
  write(p: Uint8Array): Promise<number>;
  close(): void;
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly writable: WritableStream<Uint8Array<ArrayBufferLike>>;
}

/** What the tasks need of a listener. */
export interface TaskListener extends AsyncIterable<TaskConn> {
  readonly addr: { readonly port: number };
}

/** `echo` sends back, `sink` receives and says how much it was, `source` sends, `pipe` is the echo of web streams. */
export type Task = "echo" | "sink" | "source" | "pipe";

const TASKS: Readonly<Record<Task, (conn: TaskConn, size: number) => Promise<void>>> = {
  echo,
  sink,
  source,
  pipe: (conn) => conn.readable.pipeTo(conn.writable),
};

/** The arguments of a server: the task, and the bytes per call. */
export function taskArguments(): { task: Task; size: number } {
  const [task, size] = process.argv.slice(2);
  if (task === undefined || !(task in TASKS)) throw new TypeError(`Unknown task ${task}`);
  return { task: task as Task, size: Number(size ?? 64 * 1024) };
}

/** Tells who started this server that it listens. */
export function announce(port: number): void {
  process.stdout.write(`${port}\n`);
}

/** Serves every connection, until the process is ended from outside. */
export async function serve(listener: TaskListener): Promise<void> {
  const { task, size } = taskArguments();
  announce(listener.addr.port);
  for await (const conn of listener) TASKS[task](conn, size).catch(onBroken);
}

/** The load goes away in the middle of a stream; what fails before that, the load reports. */
function onBroken(error: { code?: string }): void {
  if (error.code !== "EPIPE" && error.code !== "ECONNRESET") throw error;
}

async function echo(conn: TaskConn, size: number): Promise<void> {
  const buf = new Uint8Array(size);
  for (;;) {
    const count = await conn.read(buf);
    if (count === null) break;
    const written = await conn.write(buf.subarray(0, count));
    if (written < count) await writeAll(conn, buf.subarray(written, count));
  }
  conn.close();
}

async function sink(conn: TaskConn, size: number): Promise<void> {
  const buf = new Uint8Array(size);
  let total = 0;
  for (;;) {
    const count = await conn.read(buf);
    if (count === null) break;
    total += count;
  }
  await writeAll(conn, countBytes(total));
  conn.close();
}

async function source(conn: TaskConn, size: number): Promise<never> {
  const block = sourceBlock(size);
  for (;;) await writeAll(conn, block);
}

/** The answer of a sink: an unsigned 64-bit number, little-endian. */
export function countBytes(total: number): Uint8Array {
  return new Uint8Array(new BigUint64Array([BigInt(total)]).buffer);
}

/** What a source sends again and again: 0 to 255. */
export function sourceBlock(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => i & 0xff);
}

async function writeAll(conn: TaskConn, bytes: Uint8Array): Promise<void> {
  let at = await conn.write(bytes);
  while (at < bytes.byteLength) at += await conn.write(bytes.subarray(at));
}
