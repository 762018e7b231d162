/**
 * A transfer that goes on for ever, and the pauses in it.
 *
 * @module
 */

import { connectMptcp, listenMptcp, type MptcpConn } from "../../mod.ts";
import type { Lab } from "../lab/lab.ts";

const CHUNK = new Uint8Array(64 * 1024);

/** Data from the server of a lab to its client, as fast as the paths allow. */
export class EndlessTransfer implements Disposable {
  readonly #server: MptcpConn;
  readonly #client: MptcpConn;
  /** When data came last, in milliseconds. */
  #lastData: number = performance.now();
  /** The longest time without data since the last {@linkcode EndlessTransfer.mark}. */
  #longestPause = 0;
  #ended: string | null = null;
  /** Kept open: it takes the requests to join as well. */
  readonly #listener: Disposable;

  private constructor(server: MptcpConn, client: MptcpConn, listener: Disposable) {
    this.#server = server;
    this.#client = client;
    this.#listener = listener;
    void this.#run(() => this.#send());
    void this.#run(() => this.#receive());
  }

  /** Connects over the first path; the kernel adds the others. */
  static async start({ client, server }: Lab): Promise<EndlessTransfer> {
    const listener = listenMptcp({ netns: server.name, hostname: "0.0.0.0" });
    try {
      const [connected, accepted] = await Promise.all([
        connectMptcp({
          netns: client.name,
          hostname: server.address(),
          port: listener.addr.port,
        }),
        listener.accept(),
      ]);
      return new EndlessTransfer(accepted, connected, listener);
    } catch (error) {
      listener.close();
      throw error;
    }
  }

  /** Begins to look for the longest pause anew. */
  mark(): void {
    this.#longestPause = 0;
    this.#lastData = Math.max(this.#lastData, performance.now() - 1);
  }

  /** The longest time without data since the mark, in milliseconds; one that lasts still counts. */
  get longestPause(): number {
    return Math.max(this.#longestPause, performance.now() - this.#lastData);
  }

  /** The bytes that have come over each path, by its number from 1. */
  receivedByPath(paths: number): number[] {
    const received = Array.from({ length: paths }, () => 0);
    for (const { localAddr, tcp } of this.#client.subflows()) {
      const path = Number(/^10\.77\.(\d+)\./.exec(localAddr.hostname)?.[1]);
      if (path >= 1 && path <= paths) received[path - 1]! += tcp.bytesReceived ?? 0;
    }
    return received;
  }

  /** Why it has ended; `null` while it goes on. */
  get ended(): string | null {
    return this.#ended;
  }

  async #send(): Promise<void> {
    for (;;) await this.#server.write(CHUNK);
  }

  async #receive(): Promise<void> {
    const buf = new Uint8Array(CHUNK.byteLength);
    while (await this.#client.read(buf) !== null) {
      const now = performance.now();
      this.#longestPause = Math.max(this.#longestPause, now - this.#lastData);
      this.#lastData = now;
    }
  }

  async #run(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#ended ??= "the connection has ended";
    } catch (error) {
      this.#ended ??= (error as Error).message;
    }
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
    this.#server[Symbol.dispose]();
    this.#listener[Symbol.dispose]();
  }
}
