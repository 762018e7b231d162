/**
 * Bytes between a connection and the standard streams, both ways at once.
 *
 * @module
 */

import { type MptcpConn, MptcpError } from "../../../mod.ts";
import { copy, writeAll } from "../../net/copy.ts";
import { leave } from "../../net/leave.ts";
import type { Input } from "./input.ts";
import type { Terminal } from "../ui/terminal.ts";

/** How bytes are moved. */
export interface ShuttleOptions {
  /** What to send; `null` to send nothing and leave the direction open until the peer is done. */
  readonly input: Input | null;
  /** Whether the end of the peer's bytes is the end, though there may be more to send. */
  readonly endsWithPeer: boolean;
  /** Seconds without a byte after which the connection is given up. */
  readonly idle?: number | undefined;
}

/** Bytes moved so far. */
export interface Totals {
  sent: number;
  received: number;
}

/** Moves bytes until both directions have ended. Each side waits where the other is slow. */
export class Shuttle {
  readonly #conn: MptcpConn;
  readonly #terminal: Terminal;
  readonly #options: ShuttleOptions;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #idleError: MptcpError | null = null;
  #leaving: Promise<void> | null = null;
  /** What moved so far. */
  readonly totals: Totals = { sent: 0, received: 0 };

  /** Takes over a connection, which is closed in the end only if something fails. */
  constructor(conn: MptcpConn, terminal: Terminal, options: ShuttleOptions) {
    this.#conn = conn;
    this.#terminal = terminal;
    this.#options = options;
  }

  /** Moves all there is. Rejects with the first failure, once nothing more comes. */
  async run(): Promise<void> {
    const { input, endsWithPeer } = this.#options;
    const { signal } = this.#terminal;
    signal.addEventListener("abort", this.#leave);
    this.#touch();
    let sendError: unknown = null;
    const sending = input && this.#send(input).catch((error) => {
      sendError = error;
      // Where it is the input that fails there is nothing to wait for; of a connection that is lost
      // something may still be read.
      if (!(error instanceof MptcpError)) this.#leave();
    });
    try {
      await this.#receive();
      if (endsWithPeer) input?.release();
      await sending;
      if (sendError !== null) throw sendError;
    } catch (error) {
      this.#leave();
      throw this.#idleError ?? sendError ?? error;
    } finally {
      input?.release();
      clearTimeout(this.#idleTimer);
      signal.removeEventListener("abort", this.#leave);
      await this.#leaving;
    }
  }

  /** Closes the connection, though the peer may have more to send. */
  readonly #leave = (): void => {
    this.#leaving ??= leave(this.#conn);
  };

  async #send(input: Input): Promise<void> {
    const onWritten = (count: number) => {
      this.totals.sent += count;
      this.#touch();
    };
    for (;;) {
      const chunk = await input.next();
      if (chunk === "released") return;
      if (chunk === null) break;
      await writeAll(this.#conn, chunk, onWritten);
    }
    await this.#conn.closeWrite();
  }

  async #receive(): Promise<void> {
    const terminal = this.#terminal;
    const output = {
      async write(bytes: Uint8Array): Promise<number> {
        await terminal.write(bytes);
        return bytes.byteLength;
      },
    };
    const onWritten = (count: number) => {
      this.totals.received += count;
      this.#touch();
    };
    const failure = await copy(this.#conn, output, { onWritten });
    if (failure !== null) throw failure.error;
  }

  /** Restarts the idle timer. */
  #touch(): void {
    const { idle } = this.#options;
    if (idle === undefined) return;
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      this.#idleError = new MptcpError(`no data was sent or received for ${idle} s`, {
        name: "TimedOut",
        code: "ETIMEDOUT",
      });
      this.#leave();
    }, idle * 1000);
  }
}
