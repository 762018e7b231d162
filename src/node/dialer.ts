/**
 * A socket's way to its connection.
 *
 * @module
 */

import type { EventEmitter } from "node:events";
import { nextTick } from "node:process";
import type { MptcpConn } from "../types.ts";
import { dial } from "./dial.ts";
import { toNodeError } from "./errors.ts";
import type { CreateConnectionOptions } from "./types.ts";

/** Connects, tells the socket of every step by its events, and can be stopped. */
export class Dialer {
  readonly #socket: EventEmitter;
  #dialing: AbortController | null = null;
  #attempted: string[] = [];

  /** `socket` emits "lookup", "connectionAttempt" and "connectionAttemptFailed". */
  constructor(socket: EventEmitter) {
    this.#socket = socket;
  }

  /** The addresses that were tried, such as "127.0.0.1:80". */
  get attempted(): string[] {
    return this.#attempted;
  }

  /** Calls back with the connection or the error, and not at all once it was stopped. */
  async start(
    options: CreateConnectionOptions,
    onConnected: (conn: MptcpConn) => void,
    onFailed: (error: Error) => void,
  ): Promise<void> {
    const dialing = this.#dialing = new AbortController();
    const attempted: string[] = this.#attempted = [];
    const socket = this.#socket;
    const observer = {
      onLookup: (...args: unknown[]) => void socket.emit("lookup", ...args),
      onAttempt: (address: string, port: number, family: number) => {
        attempted.push(`${address}:${port}`);
        socket.emit("connectionAttempt", address, port, family);
      },
      onAttemptFailed: (address: string, port: number, family: number, error: unknown) =>
        void socket.emit("connectionAttemptFailed", address, port, family, toNodeError(error)),
    };
    let conn;
    try {
      conn = await dial(options, observer, dialing.signal);
    } catch (error) {
      if (!dialing.signal.aborted) onFailed(toNodeError(error));
      return;
    }
    // What a listener of "connect" throws is uncaught, as with `net.Socket`.
    nextTick(() => {
      if (dialing.signal.aborted) return conn.close();
      this.#dialing = null;
      onConnected(conn);
    });
  }

  /** Gives up what is under way. */
  stop(): void {
    this.#dialing?.abort();
    this.#dialing = null;
  }
}
