/**
 * Moves the bytes of a test, and counts them.
 *
 * @module
 */

import process from "node:process";
import type { MptcpConn } from "../../types.ts";
import { BUFFER_SIZE, type Figures } from "./protocol.ts";

/** What one end is to do. */
export interface Job {
  readonly sends: boolean;
  readonly receives: boolean;
  readonly seconds: number | null;
  /** Bytes to send in all. */
  readonly bytes: number | null;
}

/** The connections of one end, at work. */
export class Traffic {
  readonly #conns: readonly MptcpConn[];
  readonly #job: Job;
  readonly #start: number = performance.now();
  readonly #cpu: NodeJS.CpuUsage = process.cpuUsage();
  #end: number = this.#start;
  #left: number;
  /** Bytes that the system has taken. */
  sent = 0;
  /** Bytes that have come. */
  received = 0;

  constructor(conns: readonly MptcpConn[], job: Job) {
    this.#conns = conns;
    this.#job = job;
    this.#left = job.bytes ?? Infinity;
  }

  /** Ends once all that is to be sent was sent and all that is to come has come. */
  async run(): Promise<void> {
    await Promise.all(this.#conns.map((conn) => this.#carry(conn)));
  }

  /** What was measured. */
  figures(): Figures {
    const { user, system } = process.cpuUsage(this.#cpu);
    return {
      sent: this.sent,
      received: this.received,
      seconds: (this.#end - this.#start) / 1000,
      cpu: { user: user / 1e6, system: system / 1e6 },
    };
  }

  async #carry(conn: MptcpConn): Promise<void> {
    const { sends, receives } = this.#job;
    if (sends && receives) {
      await Promise.all([this.#send(conn), this.#receive(conn)]);
    } else if (sends) {
      await this.#send(conn);
      // The other end ends its own direction once all has arrived.
      await this.#receive(conn);
    } else {
      await this.#receive(conn);
      this.#end = performance.now();
      await conn.closeWrite();
    }
    this.#end = performance.now();
  }

  async #send(conn: MptcpConn): Promise<void> {
    const { seconds } = this.#job;
    const late = seconds === null ? Infinity : this.#start + seconds * 1000;
    const buf = new Uint8Array(BUFFER_SIZE);
    while (this.#left > 0 && performance.now() < late) {
      // Taken before it is written: several streams share what is left.
      const part = Math.min(this.#left, buf.byteLength);
      this.#left -= part;
      const count = await conn.write(buf.subarray(0, part));
      this.#left += part - count;
      this.sent += count;
    }
    await conn.closeWrite();
  }

  async #receive(conn: MptcpConn): Promise<void> {
    const buf = new Uint8Array(BUFFER_SIZE);
    for (;;) {
      const count = await conn.read(buf);
      if (count === null) return;
      this.received += count;
    }
  }
}
