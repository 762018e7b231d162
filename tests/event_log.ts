/**
 * The events of a path manager, collected while a test goes on.
 *
 * @module
 */

import type { MptcpEvent, MptcpEvents, MptcpPathManager } from "../src/path_manager/mod.ts";
import { delay } from "./sockets.ts";

type EventType = MptcpEvent["type"];
/** The event that has this type among its own. */
type EventOf<T extends EventType, E = MptcpEvent> = E extends { readonly type: infer Types }
  ? T extends Types ? E : never
  : never;

/** Takes events as they come, until disposed of. */
export class EventLog implements AsyncDisposable {
  /** What came so far. */
  readonly events: MptcpEvent[] = [];
  readonly #stream: MptcpEvents;
  readonly #done: Promise<void>;

  /** Subscribes. */
  constructor(paths: MptcpPathManager) {
    this.#stream = paths.events();
    this.#done = this.#collect();
  }

  async #collect(): Promise<void> {
    for await (const event of this.#stream) this.events.push(event);
  }

  /** The first event of a type after those that were there, waiting for it. */
  async next<T extends EventType>(type: T, from = 0): Promise<EventOf<T>> {
    const deadline = Date.now() + 5000;
    for (;;) {
      const found = this.events.slice(from).find((event) => event.type === type);
      if (found !== undefined) return found as EventOf<T>;
      if (Date.now() > deadline) {
        throw new Error(`No event "${type}" in 5 s: ${JSON.stringify(this.events.slice(from))}`);
      }
      await delay(5);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.close();
    await this.#done;
  }
}
