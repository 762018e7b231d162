/**
 * What the scenarios have in common.
 *
 * @module
 */

import { AF_INET, AF_INET6, IPPROTO_MPTCP, IPPROTO_TCP } from "../../../ffi/linux/abi.ts";
import { MptcpError } from "../../../src/error.ts";
import type { MptcpConn } from "../../../src/types.ts";
import { assertPattern, pattern } from "../bytes.ts";
import type { Simulation } from "../simulation.ts";
import { type Address, Sock } from "../sock.ts";

/** What a schedule runs. */
export type Scenario = (simulation: Simulation) => Promise<void>;

/** The addresses that everybody listens on. */
export const ADDRESSES: readonly string[] = ["127.0.0.1", "::1"];

const SHORTAGES: readonly string[] = ["EMFILE", "ENOBUFS", "ENOMEM"];

/** Whether the error is one that the schedule itself has made. */
export function isShortage(error: unknown): boolean {
  return error instanceof MptcpError && SHORTAGES.includes(error.code);
}

/** Tries again for as long as there is no descriptor or memory. */
export async function retry<T>(simulation: Simulation, action: () => T | Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!isShortage(error)) throw error;
      await simulation.world.delay(1);
    }
  }
}

/** Throws unless the condition holds. */
export function must(condition: boolean, problem: string): asserts condition {
  if (!condition) throw new Error(problem);
}

/** The code of what a promise is rejected with; throws if it is not. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof MptcpError) return error.code;
    throw error;
  }
  throw new Error("It should have failed, and has not");
}

/**
 * How a connection is used: by its methods one after the other, by several at once, or as streams. A
 * stream fails for good where a call has failed for lack of memory.
 */
export type Style = "calls" | "together" | "streams";

/** Bytes that cross the network in some dozens of steps, but for those that fill its buffers often. */
export function largestStream({ network }: Simulation): number {
  const { sendBuffer, receiveBuffer, segment } = network.settings;
  return Math.min(Math.min(sendBuffer, receiveBuffer, segment) * 6, 1200);
}

/** Chooses one. */
export function drawStyle({ random, kernel }: Simulation): Style {
  return kernel.faults.ENOBUFS > 0 ? "calls" : random.pick(["calls", "together", "streams"]);
}

/** Sends a stream of `total` bytes and ends it. */
export async function sendStream(
  simulation: Simulation,
  conn: MptcpConn,
  salt: number,
  total: number,
  style: Style,
): Promise<void> {
  const { random } = simulation;
  const block = random.pick([1, 50, 3000, 100_000]);
  const next = (at: number) => {
    const most = Math.min(block, total - at);
    return pattern(salt, at, Math.max(random.int(Math.ceil(most / 2), most), total / 200 | 0, 1))
      .subarray(0, total - at);
  };
  if (style === "streams") {
    const writer = conn.writable.getWriter();
    for (let at = 0; at < total;) {
      const chunk = next(at);
      at += chunk.byteLength;
      await writer.write(chunk);
    }
    writer.releaseLock();
  } else {
    for (let at = 0; at < total;) {
      const chunk = next(at);
      at += style === "calls"
        ? await retry(simulation, () => conn.write(chunk))
        : await writeTogether(conn, chunk);
    }
  }
  simulation.assertTruth(conn);
  await retry(simulation, () => conn.closeWrite());
}

/** Writes at once, which are served in their order. */
async function writeTogether(conn: MptcpConn, chunk: Uint8Array): Promise<number> {
  // Each byte a write of its own, so that a short count cannot come between.
  const bytes = Math.min(3, chunk.byteLength);
  const counts = await Promise.all(
    Array.from({ length: bytes }, (_, i) => conn.write(chunk.subarray(i, i + 1))),
  );
  must(counts.every((count) => count === 1), `writes of 1 byte gave ${counts}`);
  return bytes === chunk.byteLength ? bytes : bytes + await conn.write(chunk.subarray(bytes));
}

/** Reads a stream to its end; how long it was. */
export async function receiveStream(
  simulation: Simulation,
  conn: MptcpConn,
  salt: number,
  style: Style,
): Promise<number> {
  const { random } = simulation;
  const size = random.pick([1, 60, 4000, 70_000]);
  let at = 0;
  const take = (bytes: Uint8Array) => {
    assertPattern(salt, at, bytes);
    at += bytes.byteLength;
  };
  if (style === "streams" && random.percent(50)) {
    for await (const chunk of conn.readable) take(chunk);
  } else if (style === "streams") {
    await readByob(conn, Math.max(size, 16), take);
  } else {
    const width = style === "together" ? 3 : 1;
    const bufs = Array.from({ length: width }, () => new Uint8Array(Math.max(size, 16)));
    for (;;) {
      if (random.percent(5)) simulation.assertTruth(conn);
      const reads = bufs.map((buf) => retryRead(simulation, conn, buf, width));
      const counts = await Promise.all(reads);
      for (const [i, count] of counts.entries()) {
        if (count !== null) take(bufs[i]!.subarray(0, count));
      }
      if (counts.includes(null)) {
        const first = counts.indexOf(null);
        must(
          counts.slice(first).every((count) => count === null),
          `bytes behind an end: ${counts}`,
        );
        break;
      }
    }
  }
  return at;
}

function retryRead(
  simulation: Simulation,
  conn: MptcpConn,
  buf: Uint8Array,
  width: number,
): Promise<number | null> {
  return width > 1 ? conn.read(buf) : retry(simulation, () => conn.read(buf));
}

async function readByob(
  conn: MptcpConn,
  size: number,
  take: (bytes: Uint8Array) => void,
): Promise<void> {
  const reader = conn.readable.getReader({ mode: "byob" });
  let buf = new Uint8Array(size);
  for (;;) {
    const { value, done } = await reader.read(buf);
    if (done) break;
    take(value);
    buf = new Uint8Array(value.buffer);
  }
  reader.releaseLock();
}

/** An end of a connection that no process of this module's has: the kernel's own socket. */
export class Peer {
  readonly sock: Sock;
  readonly #simulation: Simulation;

  constructor(simulation: Simulation, sock: Sock) {
    this.#simulation = simulation;
    this.sock = sock;
  }

  /** Connects; the socket is there at once, the connection later. */
  static connect(simulation: Simulation, address: Address, isMptcp: boolean): Peer {
    const domain = address.ip.includes(":") ? AF_INET6 : AF_INET;
    const sock = new Sock(simulation.network, domain, isMptcp ? IPPROTO_MPTCP : IPPROTO_TCP);
    simulation.network.connect(sock, address);
    return new Peer(simulation, sock);
  }

  /** Listens; `accept` gives what connects. */
  static listen(simulation: Simulation, address: Address, isMptcp: boolean): Peer {
    const domain = address.ip.includes(":") ? AF_INET6 : AF_INET;
    const sock = new Sock(simulation.network, domain, isMptcp ? IPPROTO_MPTCP : IPPROTO_TCP);
    simulation.network.bind(sock, address);
    simulation.network.listen(sock, 16);
    return new Peer(simulation, sock);
  }

  /** Resolves when something about the socket may have changed. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      const watcher = () => {
        this.sock.watchers.delete(watcher);
        resolve();
      };
      this.sock.watchers.add(watcher);
    });
  }

  async accept(): Promise<Peer> {
    while (this.sock.backlog.length === 0) await this.changed();
    return new Peer(this.#simulation, this.sock.backlog.shift()!);
  }

  /** Sends all; false if the connection breaks before. */
  async send(bytes: Uint8Array): Promise<boolean> {
    for (let at = 0; at < bytes.byteLength;) {
      const count = this.sock.send(bytes.subarray(at));
      if (count > 0) at += count;
      else if (this.sock.state === "closed" || this.sock.hasShut) return false;
      else await this.changedOrRoom();
    }
    return true;
  }

  /** As an epoll would: asking for the state is what makes the socket tell of room. */
  async changedOrRoom(): Promise<void> {
    const changed = this.changed();
    this.sock.poll();
    await changed;
  }

  /** Reads to the end of the stream or to the connection's; how many bytes. */
  async receive(salt: number, onCount: (count: number) => void = () => {}): Promise<number> {
    const buf = new Uint8Array(5000);
    for (let at = 0;;) {
      const count = this.sock.recv(buf, buf.byteLength);
      if (count > 0) {
        assertPattern(salt, at, buf.subarray(0, count));
        at += count;
        onCount(at);
      } else if (count === 0 || this.sock.state === "closed" || this.sock.isReleased) {
        return at;
      } else {
        await this.changed();
      }
    }
  }

  shutdown(): void {
    this.sock.shutdown();
  }

  close(): void {
    if (this.sock.isReleased) return;
    this.sock.release();
    this.sock.wake();
  }

  reset(): void {
    this.sock.options.set("SO_LINGER", Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
    this.close();
  }
}
