/**
 * Connecting with an end to patience.
 *
 * @module
 */

import { connectMptcp, type ConnectMptcpOptions, type MptcpConn, MptcpError } from "../../mod.ts";
import { formatHostPort } from "../show.ts";

/** Connects, for that many seconds at most, or until the signal. */
export async function dial(
  options: ConnectMptcpOptions & { readonly hostname: string },
  seconds: number | undefined,
  signal: AbortSignal,
): Promise<MptcpConn> {
  const late = new AbortController();
  const timer = seconds === undefined
    ? undefined
    : setTimeout(() => late.abort(timeoutError(options, seconds)), seconds * 1000);
  try {
    return await connectMptcp({ ...options, signal: AbortSignal.any([signal, late.signal]) });
  } finally {
    clearTimeout(timer);
  }
}

function timeoutError(
  { hostname, port }: ConnectMptcpOptions & { readonly hostname: string },
  seconds: number,
): MptcpError {
  const where = formatHostPort(hostname, port);
  return new MptcpError(`connect ${where}: no answer within ${seconds} s`, {
    name: "TimedOut",
    code: "ETIMEDOUT",
    address: hostname,
    port,
  });
}
