/**
 * Happy Eyeballs (RFC 8305): attempts at several addresses, started one after the other; the first
 * that succeeds wins.
 *
 * @module
 */

import { clearTimeout, setTimeout, type Timer } from "../../ffi/event_loop.ts";
import { MptcpError } from "../error.ts";
import { formatHostPort } from "../show.ts";

/** One attempt at one address. */
export interface Contender<T extends Disposable> {
  connect(): Promise<T>;
  /** Gives the attempt up; `connect` may reject. Nothing happens if it has succeeded. */
  cancel(): void;
}

/** How attempts are made, and what they are for. */
export interface RaceOptions {
  readonly hostname: string;
  readonly port: number;
  readonly signal: AbortSignal | undefined;
  /** False to start an attempt only when the one before has failed. */
  readonly autoSelectFamily: boolean;
  /** Milliseconds before the next is started beside a slow one. */
  readonly autoSelectFamilyAttemptDelay: number;
}

/** How many failures a message names; `cause.errors` has all. */
const SHOWN_ERRORS = 5;

/** Families in turn, beginning with that of the first address (RFC 8305, section 4). */
export function interleave<T extends { readonly family: number }>(targets: T[]): T[] {
  const first = targets.filter(({ family }) => family === targets[0]!.family);
  const second = targets.filter(({ family }) => family !== targets[0]!.family);
  const mixed: T[] = [];
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    if (i < first.length) mixed.push(first[i]!);
    if (i < second.length) mixed.push(second[i]!);
  }
  return mixed;
}

/** The promise, or the signal's reason if that comes first. */
export async function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return await promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Runs the attempts; rejects with what failed, or with the signal's reason. */
export async function happyEyeballs<T extends Disposable>(
  contenders: Contender<T>[],
  options: RaceOptions,
): Promise<T> {
  return await new Race(contenders, options).winner();
}

class Race<T extends Disposable> {
  readonly #contenders: Contender<T>[];
  readonly #options: RaceOptions;
  readonly #errors: unknown[] = [];
  readonly #result: PromiseWithResolvers<T> = Promise.withResolvers();
  #timer: Timer | undefined;
  #next = 0;
  #over = false;

  constructor(contenders: Contender<T>[], options: RaceOptions) {
    this.#contenders = contenders;
    this.#options = options;
  }

  async winner(): Promise<T> {
    this.#startNext();
    try {
      return await abortable(this.#result.promise, this.#options.signal);
    } finally {
      this.#over = true;
      clearTimeout(this.#timer);
      for (const contender of this.#contenders.slice(0, this.#next)) contender.cancel();
    }
  }

  readonly #startNext = (): void => {
    clearTimeout(this.#timer);
    const contender = this.#contenders[this.#next++];
    if (contender === undefined) return;
    contender.connect().then(this.#onConnected, (error) => this.#onFailed(contender, error));
    const { autoSelectFamily, autoSelectFamilyAttemptDelay: delay } = this.#options;
    if (autoSelectFamily && this.#next < this.#contenders.length) {
      this.#timer = setTimeout(this.#startNext, delay);
    }
  };

  readonly #onConnected = (connection: T): void => {
    // Two may connect in one round of the reactor, or one together with the signal.
    if (this.#over) connection[Symbol.dispose]();
    this.#over = true;
    this.#result.resolve(connection);
  };

  #onFailed(contender: Contender<T>, error: unknown): void {
    contender.cancel();
    if (this.#over) return;
    this.#errors.push(error);
    if (this.#errors.length === this.#contenders.length) this.#result.reject(this.#failure());
    else this.#startNext();
  }

  #failure(): unknown {
    const errors = this.#errors;
    if (errors.length === 1) return errors[0];
    const { hostname, port } = this.#options;
    const shown = errors.slice(0, SHOWN_ERRORS);
    const list = shown.map((error) => error instanceof Error ? error.message : String(error));
    if (errors.length > shown.length) list.push(`and ${errors.length - shown.length} more`);
    const first = errors.find((error) => error instanceof MptcpError);
    return new MptcpError(
      `connect ${formatHostPort(hostname, port)}: every address failed: ${list.join("; ")}`,
      {
        name: first?.name ?? "MptcpError",
        code: first?.code ?? "ERR_CONNECT",
        ...(first?.errno !== undefined && { errno: first.errno }),
        syscall: "connect",
        address: hostname,
        port,
        ...(first?.fallback !== undefined && { fallback: first.fallback }),
        cause: new AggregateError(errors),
      },
    );
  }
}
