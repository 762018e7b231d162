/**
 * {@linkcode Relay} for the runtime's own TCP, which has no descriptor to watch.
 *
 * @module
 */

import { copy, writeAll } from "../net/copy.ts";
import type { MptcpConn } from "../types.ts";
import { BUFFER_SIZE, type Outcome, type Relay, type RelayJob, type SideName } from "./relay.ts";

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
  #isOver = false;
  #broken: Outcome = null;

  constructor(client: MptcpConn, backend: MptcpConn, job: RelayJob) {
    this.#job = job;
    this.#ways = [
      { from: client, to: backend, source: "client", destination: "backend" },
      { from: backend, to: client, source: "backend", destination: "client" },
    ];
  }

  async run(): Promise<Outcome> {
    const all = Promise.all(this.#ways.map((way) => this.#carry(way)));
    all.then(() => this.stop(this.#broken));
    return await this.#result.promise;
  }

  stop(outcome: Outcome): void {
    this.#isOver = true;
    this.#result.resolve(outcome);
  }

  giveUp(outcome: NonNullable<Outcome>): void {
    this.stop(this.#broken ?? outcome);
  }

  async #carry({ from, to, source, destination }: Way): Promise<void> {
    const { head } = this.#job;
    const onWritten = () => this.#job.onProgress();
    try {
      if (source === "client") await writeAll(to, head, onWritten);
    } catch (error) {
      this.#breakOff({ side: destination, error });
      return await discard(from);
    }
    const onRead = (count: number) => this.#job.onBytes(source, count);
    const failure = await copy(from, to, { onRead, onWritten });
    if (failure?.side === "destination") {
      this.#breakOff({ side: destination, error: failure.error });
      return await discard(from);
    }
    if (failure !== null) this.#breakOff({ side: source, error: failure.error });
    else this.#job.onEnd();
    await to.closeWrite().catch((error) => this.#breakOff({ side: destination, error }));
  }

  /** The other side still gets what was read, and the end of the stream behind it. */
  #breakOff(outcome: NonNullable<Outcome>): void {
    if (this.#isOver || this.#broken?.side === outcome.side) return;
    if (this.#broken !== null) return this.stop(this.#broken);
    this.#broken = outcome;
    this.#job.onBreak(outcome);
  }
}

/**
 * Reads to the end of the stream, for nobody. A connection that is closed while bytes are unread is
 * reset, and loses what it has not sent.
 */
async function discard(from: MptcpConn): Promise<void> {
  const buf = new Uint8Array(BUFFER_SIZE);
  try {
    while (await from.read(buf) !== null);
  } catch {
    // It is broken as well, or closed.
  }
}
