/**
 * The listeners of a range of ports as one.
 *
 * @module
 */

import type { MptcpConn, MptcpListener } from "../../../mod.ts";

/** Several listeners, whose connections come one after the other. */
export class ListenerGroup implements Disposable {
  /** All of them. */
  readonly listeners: readonly MptcpListener[];
  readonly #accepting: Map<MptcpListener, Promise<[MptcpListener, MptcpConn]>> = new Map();

  /** Takes over listeners. */
  constructor(listeners: readonly MptcpListener[]) {
    this.listeners = listeners;
  }

  /** The next connection of any of them. */
  async next(signal: AbortSignal): Promise<MptcpConn> {
    signal.throwIfAborted();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop);
    try {
      for (const listener of this.listeners) this.#accept(listener);
      const [listener, conn] = await Promise.race([aborted, ...this.#accepting.values()]);
      this.#accepting.delete(listener);
      return conn;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  #accept(listener: MptcpListener): void {
    if (this.#accepting.has(listener)) return;
    const accepting = listener.accept().then((
      conn,
    ): [MptcpListener, MptcpConn] => [listener, conn]);
    this.#accepting.set(listener, accepting);
  }

  /** Closes all, and what they have accepted and nobody has taken. */
  close(): void {
    for (const accepting of this.#accepting.values()) {
      accepting.then(([, conn]) => conn.close(), () => {});
    }
    this.#accepting.clear();
    for (const listener of this.listeners) listener[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
