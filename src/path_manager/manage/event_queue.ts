/**
 * Events for any number of readers, each of which gets those since it began to read.
 *
 * @module
 */

/** How many events wait for a reader that does not read; the oldest are dropped beyond. */
const MOST = 1000;

type Result<T> = IteratorResult<T, undefined>;

/** See the module's documentation. */
export class EventQueue<T> {
  readonly #readers: Set<Reader<T>> = new Set();
  #ended = false;

  /** Gives an event to every reader. */
  push(event: T): void {
    for (const reader of this.#readers) reader.push(event);
  }

  /** A new reader. It ends with the queue, when it is left, or when the signal is aborted. */
  read(signal?: AbortSignal): AsyncIterableIterator<T, undefined> {
    signal?.throwIfAborted();
    const reader = new Reader<T>(() => this.#readers.delete(reader), signal);
    if (this.#ended) reader.end();
    else this.#readers.add(reader);
    return reader;
  }

  /** Ends every reader after it has read the queued events. */
  end(): void {
    this.#ended = true;
    for (const reader of [...this.#readers]) reader.end();
  }
}

class Reader<T> implements AsyncIterableIterator<T, undefined> {
  readonly #events: T[] = [];
  readonly #waiting: PromiseWithResolvers<Result<T>>[] = [];
  readonly #onEnd: () => void;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#abort();
  #ended = false;

  constructor(onEnd: () => void, signal: AbortSignal | undefined) {
    this.#onEnd = onEnd;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#onAbort);
  }

  push(event: T): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) return waiting.resolve({ done: false, value: event });
    if (this.#events.length >= MOST) this.#events.shift();
    this.#events.push(event);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#onEnd();
    for (const { resolve } of this.#waiting.splice(0)) resolve({ done: true, value: undefined });
  }

  #abort(): void {
    const waiting = this.#waiting.splice(0);
    this.end();
    for (const { reject } of waiting) reject(this.#signal!.reason);
  }

  next(): Promise<Result<T>> {
    if (this.#events.length > 0) {
      return Promise.resolve({ done: false, value: this.#events.shift()! });
    }
    if (this.#signal?.aborted) return Promise.reject(this.#signal.reason);
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    const waiting = Promise.withResolvers<Result<T>>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  return(): Promise<Result<T>> {
    this.#events.length = 0;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
