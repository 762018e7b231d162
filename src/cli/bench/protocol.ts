/**
 * What the two ends of a benchmark say to each other: lines of JSON. The first connection of a test
 * is for control; every other one carries bytes, behind one line that says which test it is of.
 *
 * @module
 */

import { writeAll } from "../../net/copy.ts";
import type { MptcpConn } from "../../types.ts";

/** The first member of every first line, and the version of what is said. */
export const PROTOCOL = "mptcp-bench-1";

/** Bytes that are read and written at once. */
export const BUFFER_SIZE: number = 256 * 1024;

const LINE_LIMIT = 64 * 1024;

/** Which way bytes go. */
export type Direction = "upload" | "download" | "both";

/** What the client asks for. */
export interface Hello {
  readonly protocol: typeof PROTOCOL;
  readonly type: "test";
  /** Names the test in its other connections. */
  readonly id: string;
  readonly direction: Direction;
  readonly streams: number;
  /** Seconds to send; `null` where bytes end the test. */
  readonly seconds: number | null;
  /** Bytes that each sending end sends in all; `null` where time ends the test. */
  readonly bytes: number | null;
}

/** The first line of a connection that carries bytes. */
export interface StreamHello {
  readonly protocol: typeof PROTOCOL;
  readonly type: "stream";
  readonly id: string;
}

/** What the server answers to {@linkcode Hello}: go on, or why not. */
export type Answer = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** What one end has measured. */
export interface Figures {
  readonly sent: number;
  readonly received: number;
  /** Seconds from the first byte to the last. */
  readonly seconds: number;
  /** Seconds of CPU, of user and system. */
  readonly cpu: { readonly user: number; readonly system: number };
}

/** The other end does not keep to the protocol, or is gone. */
export class PeerError extends Error {
  override readonly name = "PeerError";
}

/** Lines over a connection. */
export class Lines {
  readonly conn: MptcpConn;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(conn: MptcpConn) {
    this.conn = conn;
  }

  /** Writes a value. */
  async send(value: unknown): Promise<void> {
    const bytes = new TextEncoder().encode(`${JSON.stringify(value)}\n`);
    await writeAll(this.conn, bytes);
  }

  /**
   * Reads a value; `null` at the end of the stream.
   *
   * @throws {PeerError} when it is none.
   */
  async next(): Promise<unknown> {
    for (;;) {
      const end = this.#rest.indexOf(10);
      if (end >= 0) {
        const line = this.#rest.subarray(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return parse(line);
      }
      if (this.#rest.byteLength > LINE_LIMIT) {
        throw new PeerError("it does not speak the benchmark protocol");
      }
      const buf = new Uint8Array(4096);
      const count = await this.conn.read(buf);
      if (count === null) return null;
      const both = new Uint8Array(this.#rest.byteLength + count);
      both.set(this.#rest);
      both.set(buf.subarray(0, count), this.#rest.byteLength);
      this.#rest = both;
      // Others are told by how they begin, as HTTP and SSH: they may send no line at all.
      if (both[0] !== 0x7b) throw new PeerError("it does not speak the benchmark protocol");
    }
  }

  /** What was read beyond the last line. */
  get rest(): Uint8Array {
    return this.#rest;
  }
}

function parse(line: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(line));
  } catch {
    throw new PeerError("it does not speak the benchmark protocol");
  }
}

/** A first line; `null` unless it is one. */
export function readHello(value: unknown): Hello | StreamHello | null {
  const hello = value as Partial<Hello> | Partial<StreamHello> | null;
  if (hello?.protocol !== PROTOCOL || typeof hello.id !== "string") return null;
  if (hello.type === "stream") return hello as StreamHello;
  if (hello.type !== "test") return null;
  const { direction, streams, seconds, bytes } = hello;
  const isRight = ["upload", "download", "both"].includes(direction as string) &&
    isNumber(streams) && Number.isInteger(streams) && streams >= 1 && streams <= 128 &&
    (seconds === null || isNumber(seconds)) && (bytes === null || isNumber(bytes)) &&
    (seconds === null) !== (bytes === null);
  return isRight ? hello as Hello : null;
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && value >= 0;
}

/** The figures of the other end; `null` unless they are. */
export function readFigures(value: unknown): Figures | null {
  const figures = value as Partial<Figures> | null;
  const { sent, received, seconds, cpu } = figures ?? {};
  return [sent, received, seconds, cpu?.user, cpu?.system].every(isNumber)
    ? figures as Figures
    : null;
}
