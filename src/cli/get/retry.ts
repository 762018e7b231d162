/**
 * Trying a transfer again.
 *
 * @module
 */

import { STATUS_CODE } from "../std_http_status.ts";
import { pause } from "../ui/pause.ts";
import { StatusError } from "../ui/status_error.ts";
import type { Terminal } from "../ui/terminal.ts";

/** Seconds between two attempts, at most. */
const MAX_DELAY = 600;

/** A failure by the status of an answer, or because of what it is an answer to. */
export class HttpStatusError extends StatusError {
  /** The status of the answer. */
  readonly httpStatus: number;
  /** Seconds after which the server wants to be asked again; `null` where it does not say. */
  readonly retryAfter: number | null;

  constructor(exit: number, message: string, { status, headers }: Response) {
    super(exit, message);
    this.httpStatus = status;
    this.retryAfter = readRetryAfter(headers.get("retry-after"));
  }

  /** Whether a later answer may well be another one. */
  static isTransient(status: number): boolean {
    return TRANSIENT.has(status);
  }
}

const TRANSIENT: ReadonlySet<number> = new Set([
  STATUS_CODE.RequestTimeout,
  STATUS_CODE.TooManyRequests,
  STATUS_CODE.InternalServerError,
  STATUS_CODE.BadGateway,
  STATUS_CODE.ServiceUnavailable,
  STATUS_CODE.GatewayTimeout,
]);

function readRetryAfter(text: string | null): number | null {
  if (text === null) return null;
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.max(0, seconds);
}

/** Short of what was to come, no answer in time, and connections that broke. */
const TRANSIENT_EXITS: ReadonlySet<number> = new Set([18, 28, 52, 56]);

/** Whether a transfer that failed may do better when it is tried again. */
export function isTransient(error: unknown): boolean {
  if (error instanceof HttpStatusError) return HttpStatusError.isTransient(error.httpStatus);
  return error instanceof StatusError && TRANSIENT_EXITS.has(error.status);
}

/** Says what failed, and waits: 1 s after the first attempt, twice as long after each further one. */
export async function waitToRetry(
  error: Error,
  attempt: number,
  silent: boolean,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const asked = error instanceof HttpStatusError ? error.retryAfter : null;
  const seconds = Math.min(asked ?? 2 ** attempt, MAX_DELAY);
  if (!silent) terminal.warn(`${error.message}. Trying again in ${Math.ceil(seconds)} s`);
  await pause(seconds * 1000, signal);
}
