/**
 * One run of `get`: the request, its redirects, and the body of the answer.
 *
 * @module
 */

import type { MptcpClient, MptcpClientConnection } from "../../http/mod.ts";
import { followRedirects } from "../../http/redirect.ts";
import { portOf } from "../../http/unix_route.ts";
import { StatusError } from "../ui/status_error.ts";
import { formatBytes } from "../ui/units.ts";
import type { GetOptions } from "./options.ts";
import type { GetRequest } from "./request.ts";
import { messageOf, requestFailure } from "./status.ts";

/** Called in the course of a request. */
export interface TransferEvents {
  /** A request goes out. */
  onRequest(request: GetRequest, url: URL): void;
  /** An answer has begun; to a redirect too. */
  onAnswer(response: Response, connection: MptcpClientConnection | null): void | Promise<void>;
}

/** An answer that has begun. */
export interface Answer {
  readonly url: URL;
  readonly response: Response;
  /** The connection that carries it; `null` if the runtime's own connections are used. */
  readonly connection: MptcpClientConnection | null;
}

/** Makes a request and gives the answer, that of the last one where redirects are followed. */
export async function request(
  client: MptcpClient,
  asked: GetRequest,
  { follow, unpack, connectTimeout }: Pick<GetOptions, "follow" | "unpack" | "connectTimeout">,
  signal: AbortSignal,
  events: TransferEvents,
): Promise<Answer> {
  let url = asked.url;
  const once = async (to: URL, input: RequestInfo | URL, init: RequestInit) => {
    url = to;
    const { method = asked.method, headers } = init;
    const body = init.body as typeof asked.body ?? null;
    events.onRequest({ url: to, method, headers: new Headers(headers), body }, to);
    using late = connectLimit(client, to, connectTimeout);
    const signals = AbortSignal.any([signal, late.signal]);
    // Bun's name for it; Deno goes by what is accepted.
    const extra = { decompress: unpack, signal: signals };
    const response = await client.fetch(input, { ...init, ...extra }).catch((error) => {
      throw late.signal.aborted ? late.signal.reason : error;
    });
    await events.onAnswer(response, connectionTo(client, to));
    return response;
  };
  const { method, headers, body } = asked;
  try {
    const init = { method, headers, body, signal };
    const response = await (follow
      ? followRedirects(url, init, once)
      : once(url, url, { ...init, redirect: "manual" }));
    return { url, response, connection: connectionTo(client, url) };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw requestFailure(error, url);
  }
}

/** Aborts unless there is a connection to a server in time. */
function connectLimit(
  client: MptcpClient,
  url: URL,
  seconds: number,
): { readonly signal: AbortSignal } & Disposable {
  const late = new AbortController();
  const known = new Set(client.connections().filter(({ isOpen }) => !isOpen));
  const timer = setTimeout(() => {
    const connection = connectionTo(client, url);
    if (connection !== null && !known.has(connection)) return;
    late.abort(new StatusError(28, `${url.host}: no connection within ${seconds} s`));
  }, seconds * 1000);
  return { signal: late.signal, [Symbol.dispose]: () => clearTimeout(timer) };
}

function connectionTo(client: MptcpClient, url: URL): MptcpClientConnection | null {
  const name = url.hostname.replace(/^\[|\]$/g, "");
  const port = portOf(url);
  return client.connections().findLast((connection) =>
    connection.hostname === name && connection.port === port
  ) ?? null;
}

/** The bytes that are to come; `null` if the answer does not say, and if it has no body. */
export function lengthOf({ headers, body, status }: Response): number | null {
  if (body === null || status === 204 || status === 304) return null;
  // What is compressed is longer than what was sent.
  if (!/^(identity)?$/i.test(headers.get("content-encoding") ?? "")) return null;
  const length = headers.get("content-length");
  return length !== null && /^\d+$/.test(length) ? Number(length) : null;
}

/**
 * Hands the body on, chunk by chunk, the next one when the last one is written.
 *
 * @param expected The bytes that are to come, where a range says so.
 * @throws {StatusError} status 18 unless all of it came.
 */
export async function carryBody(
  { response, url, connection }: Answer,
  expected: number | null,
  signal: AbortSignal,
  write: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  const length = expected ?? lengthOf(response);
  const reader = response.body?.getReader();
  let count = 0;
  const failure = (why: string) => {
    const came = length === null
      ? formatBytes(count)
      : `${formatBytes(count)} of ${formatBytes(length)}`;
    return new StatusError(18, `${url.host}: ${why} after ${came} (${count} bytes)`);
  };
  const stop = () => void reader?.cancel().catch(() => {});
  signal.addEventListener("abort", stop);
  try {
    for (;;) {
      signal.throwIfAborted();
      const next = await reader?.read().catch((error) => {
        if (signal.aborted) throw signal.reason;
        throw failure(`the connection broke (${messageOf(error)})`);
      });
      signal.throwIfAborted();
      if (next === undefined || next.done) break;
      await write(next.value);
      count += next.value.byteLength;
    }
  } catch (error) {
    stop();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
  if (length !== null && count < length) throw failure("the connection ended");
  if (expected !== null && count > expected) {
    throw failure("the server sent more than it announced");
  }
  // Without a length the end of the connection is that of the body, and Bun's fetch does not learn
  // that it was a reset.
  const isOpenEnded = length === null && !response.headers.has("transfer-encoding");
  if (isOpenEnded && connection?.isBroken) throw failure("the connection was reset");
}
