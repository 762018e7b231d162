/**
 * The backends: whose turn it is, and which of them have failed.
 *
 * A backend that could not be reached is left out for a pause that doubles with every failure. Then one
 * connection tries it, while others go elsewhere. Only when all are left out are they tried all the
 * same, those first whose turn comes first: there is nothing to lose.
 *
 * @module
 */

import { clearTimeout, now, setTimeout } from "../../ffi/event_loop.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { addressOptions, type Family } from "../net/address.ts";
import { connectMptcp } from "../net/connect.ts";
import { isShortage, MptcpError } from "../error.ts";
import { formatHostPort } from "../show.ts";
import type { ConnectMptcpOptions, MptcpConn, SocketOptions } from "../types.ts";
import type { CheckedProxyOptions } from "./options.ts";
import type { ProxyBackend } from "./types.ts";

/** The first pause after a failure, and the longest, in milliseconds. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;

/** Milliseconds until the next try where this machine has no descriptor, port or memory left. */
const SHORTAGE_PAUSE = 50;

/** Whether connecting failed for what this machine is short of: local ports too. */
export function isConnectShortage(error: unknown): boolean {
  return isShortage(error) || (error instanceof MptcpError && error.errno === ERRNO.EADDRNOTAVAIL);
}

type BackOption = string | Omit<ConnectMptcpOptions, "signal">;

/** One backend. */
export class Backend {
  readonly address: string;
  active = 0;
  total = 0;
  failures = 0;
  error: unknown = null;
  /** When it is tried again, by the monotonic clock. */
  retryAt = 0;
  readonly #options: ConnectMptcpOptions & { family?: Family };
  #pause = 0;

  constructor(option: BackOption, socketOptions: SocketOptions) {
    const { port, ...given } = typeof option === "string" ? addressOptions(option) : option;
    if (port === undefined || port === 0) {
      throw new TypeError(
        `Invalid back ${JSON.stringify(option)}: expected a port from 1 to 65535`,
      );
    }
    const own = "socketOptions" in given ? given.socketOptions : {};
    this.#options = { ...given, port, socketOptions: { ...socketOptions, ...own } };
    const hostname = given.hostname ?? "127.0.0.1";
    this.address = typeof option === "string" ? option : formatHostPort(hostname, port);
  }

  get isUp(): boolean {
    return this.#pause === 0;
  }

  /** Connects, or fails once the time is over. */
  async connect(timeout: number, signal: AbortSignal): Promise<MptcpConn> {
    const controller = new AbortController();
    const abort = () => controller.abort(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const timer = setTimeout(() => controller.abort(this.#timeoutError(timeout)), timeout);
    try {
      signal.throwIfAborted();
      return await this.#connectUntil(controller.signal);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }

  async #connectUntil(signal: AbortSignal): Promise<MptcpConn> {
    for (;;) {
      try {
        return await connectMptcp({ ...this.#options, signal });
      } catch (error) {
        if (signal.aborted || !isConnectShortage(error)) throw error;
        await new Promise<void>((resolve) => setTimeout(resolve, SHORTAGE_PAUSE));
        if (signal.aborted) throw error;
      }
    }
  }

  #timeoutError(timeout: number): MptcpError {
    return new MptcpError(`connect ${this.address}: no answer within ${timeout} ms`, {
      name: "TimedOut",
      code: "ETIMEDOUT",
      errno: ERRNO.ETIMEDOUT,
      syscall: "connect",
    });
  }

  /** True if it is down and due to be tried; the next try is put off, so that one connection tries it. */
  onTry(now: number): boolean {
    if (this.isUp || now < this.retryAt) return false;
    this.retryAt = now + this.#pause;
    return true;
  }

  /** True if it was down. */
  onConnected(): boolean {
    const wasDown = !this.isUp;
    this.#pause = this.retryAt = 0;
    this.error = null;
    this.total++;
    this.active++;
    return wasDown;
  }

  /** True if it was up. Of many connections that fail together the first alone counts. */
  onFailed(error: unknown, now: number, inTurn: boolean): boolean {
    const wasUp = this.isUp;
    this.failures++;
    this.error = error;
    if (wasUp) this.#pause = FIRST_PAUSE;
    else if (inTurn) this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
    if (wasUp || inTurn) this.retryAt = now + this.#pause;
    return wasUp;
  }

  /** What users see of it. */
  snapshot(): ProxyBackend {
    const { address, isUp, active, total, failures, error } = this;
    const retryIn = isUp ? 0 : Math.max(0, Math.round(this.retryAt - now()));
    return { address, isUp, active, total, failures, error, retryIn };
  }
}

/** A connection, and the backend that it leads to. */
export interface Connected {
  readonly conn: MptcpConn;
  readonly backend: Backend;
}

/** All backends. */
export class Backends {
  readonly all: readonly Backend[];
  readonly #timeout: number;
  readonly #onChange: (backend: Backend) => void;
  #next = 0;

  constructor(
    { back, connectTimeout, socketOptions = {} }: CheckedProxyOptions,
    onChange: (backend: Backend) => void,
  ) {
    const options = (Array.isArray(back) ? back : [back]) as readonly BackOption[];
    if (options.length === 0) throw new TypeError("Invalid back: expected at least one address");
    this.all = options.map((option) => new Backend(option, socketOptions));
    this.#timeout = connectTimeout;
    this.#onChange = onChange;
  }

  /**
   * Connects to the backend whose turn it is, or to the next that can be reached.
   *
   * @throws {AggregateError} with the error of each, or the signal's reason.
   */
  async connect(signal: AbortSignal): Promise<Connected> {
    const errors: unknown[] = [];
    for (const backend of this.#order()) {
      const inTurn = backend.onTry(now());
      try {
        const conn = await backend.connect(this.#timeout, signal);
        if (backend.onConnected()) this.#onChange(backend);
        return { conn, backend };
      } catch (error) {
        if (signal.aborted) throw error;
        errors.push(error);
        if (isConnectShortage(error)) continue;
        if (backend.onFailed(error, now(), inTurn)) this.#onChange(backend);
      }
    }
    throw unreachableError(errors);
  }

  #order(): Backend[] {
    const time = now();
    const start = this.#next++ % this.all.length;
    const inTurn = [...this.all.slice(start), ...this.all.slice(0, start)];
    const late = inTurn.filter(({ isUp, retryAt }) => !isUp && time < retryAt);
    late.sort((a, b) => a.retryAt - b.retryAt);
    return [...inTurn.filter((backend) => !late.includes(backend)), ...late];
  }
}

function unreachableError(errors: readonly unknown[]): unknown {
  if (errors.length === 1) return errors[0];
  const list = errors.map((error) => error instanceof Error ? error.message : String(error));
  return new AggregateError(errors, `No backend can be reached: ${list.join("; ")}`);
}
