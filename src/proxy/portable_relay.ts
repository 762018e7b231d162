/**
 * {@linkcode Relay} where the runtime's own TCP stands in: there is no descriptor to watch.
 *
 * @module
 */

import type { MptcpConn } from "../types.ts";
import type { Outcome, Relay, RelayJob, SideName } from "./relay.ts";

const BUFFER_SIZE = 64 * 1024;

/** One way through the relay. */
interface Way {
  readonly from: MptcpConn;
  readonly to: MptcpConn;
  readonly source: SideName;
  readonly destination: SideName;
}

/** {@linkcode Relay} by the methods that every connection has. */
export class PortableRelay implements Relay {
  readonly #job: RelayJob;
  readonly #ways: readonly [Way, Way];
  readonly #result: PromiseWithResolvers<Outcome> = Promise.withResolvers();

  constructor(client: MptcpConn, backend: MptcpConn, job: RelayJob) {
    this.#job = job;
    this.#ways = [
      { from: client, to: backend, source: "client", destination: "backend" },
      { from: backend, to: client, source: "backend", destination: "client" },
    ];
  }

  async run(): Promise<Outcome> {
    const all = Promise.all(this.#ways.map((way) => this.#carry(way)));
    all.then(() => this.stop(null));
    return await this.#result.promise;
  }

  stop(outcome: Outcome): void {
    this.#result.resolve(outcome);
  }

  async #carry({ from, to, source, destination }: Way): Promise<void> {
    const buf = new Uint8Array(BUFFER_SIZE);
    let side = destination;
    try {
      if (source === "client") await this.#write(to, this.#job.head);
      for (;;) {
        side = source;
        const count = await from.read(buf);
        side = destination;
        if (count === null) break;
        this.#job.onBytes(source, count);
        await this.#write(to, buf.subarray(0, count));
      }
      this.#job.onEnd();
      await to.closeWrite();
    } catch (error) {
      this.stop({ side, error });
    }
  }

  async #write(to: MptcpConn, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength;) {
      at += await to.write(bytes.subarray(at));
      this.#job.onProgress();
    }
  }
}
