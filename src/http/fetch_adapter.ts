/**
 * A `Request` of a message of `node:http`.
 *
 * The `Request` is a real one, so that it can be cloned, wrapped and sent on like any other; its body
 * and its signal are made when they are first used. The npm package srvx puts off the whole `Request`
 * by a stand-in, which `new Request(request)` and `fetch(request)` refuse, and is larger than this
 * whole engine.
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";

/** A body that ended before its time, because the client is gone. */
export function goneError(): DOMException {
  return new DOMException("The client closed the connection", "AbortError");
}

class NodeRequest extends Request {
  readonly #response: ServerResponse;
  #signal: AbortSignal | null = null;

  constructor(url: string, init: RequestInit, response: ServerResponse) {
    super(url, init);
    this.#response = response;
  }

  /** Aborts when the client goes away before it has its answer. */
  override get signal(): AbortSignal {
    return this.#signal ??= signalOf(this.#response);
  }
}

function signalOf(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  const onClose = () => {
    if (!response.writableFinished) controller.abort(goneError());
  };
  if (response.destroyed) onClose();
  else response.once("close", onClose);
  return controller.signal;
}

/** What can stand between `//` and the path of a URL, without a user's name. */
const AUTHORITY = /^[^\s/?#\\@]+$/;

/**
 * The message as a `Request`. `scheme` is "http" or "https", `authority` replaces a missing or
 * empty `Host`.
 *
 * @throws {TypeError} when it has a URL, a `Host` or a method that no `Request` can have.
 */
export function toRequest(
  message: IncomingMessage,
  response: ServerResponse,
  scheme: string,
  authority: string,
): Request {
  const { method = "GET", headers } = message;
  const host = headers.host || authority;
  if (!AUTHORITY.test(host)) throw new TypeError("Invalid Host");
  const url = toUrl(message.url ?? "/", `${scheme}://${host}`);
  const init = { method, headers: toHeadersInit(message) };
  if (!hasBody(message)) return new NodeRequest(url, init, response);
  const withBody = { ...init, body: toStream(message, response), duplex: "half" };
  return new NodeRequest(url, withBody, response);
}

/** The target of a request as a URL: a path, in a proxy's words a URL, or `*`. */
function toUrl(target: string, origin: string): string {
  if (target.startsWith("/")) return origin + target;
  return target === "*" ? `${origin}/*` : target;
}

function toHeadersInit({ headers }: IncomingMessage): HeadersInit {
  // Only this one is an array; everything else that came twice is joined or dropped by node:http.
  if (headers["set-cookie"] === undefined) return headers as Record<string, string>;
  return { ...headers as Record<string, string>, "set-cookie": headers["set-cookie"].join(", ") };
}

function hasBody({ method, headers }: IncomingMessage): boolean {
  if (method === "GET" || method === "HEAD") return false;
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** The body, which nobody touches until it is read. */
function toStream(message: IncomingMessage, response: ServerResponse): ReadableStream<Uint8Array> {
  let body: Body | null = null;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      body ??= new Body(message, response, controller);
      message.resume();
    },
    cancel() {
      body?.abandon();
    },
  }, { highWaterMark: 0 });
}

/** A body that is being read. */
class Body {
  readonly #message: IncomingMessage;
  readonly #controller: ReadableStreamDefaultController<Uint8Array>;
  #isOpen = true;

  constructor(
    message: IncomingMessage,
    response: ServerResponse,
    controller: ReadableStreamDefaultController<Uint8Array>,
  ) {
    this.#message = message;
    this.#controller = controller;
    message.on("data", this.#onData);
    message.on("end", () => this.#settle());
    message.on("error", (error) => this.#settle(error));
    message.on("close", () => this.#settle(goneError()));
    // Whoever has answered gets no more of the question.
    response.once("close", () => this.#settle(goneError()));
  }

  /** Drops the rest as it comes. */
  abandon(): void {
    this.#isOpen = false;
    this.#message.resume();
  }

  readonly #onData = (chunk: Uint8Array): void => {
    if (!this.#isOpen) return;
    this.#controller.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    this.#message.pause();
  };

  #settle(error?: unknown): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (error === undefined) this.#controller.close();
    else this.#controller.error(error);
  }
}
