/**
 * Between `node:http` and fetch: a `Request` of a message, a message of a `Response`.
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
function goneError(): DOMException {
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

/**
 * The message as a `Request`. `scheme` is "http" or "https", `authority` stands in for a missing
 * `Host`.
 *
 * @throws {TypeError} when it has a URL or a method that no `Request` can have.
 */
export function toRequest(
  message: IncomingMessage,
  response: ServerResponse,
  scheme: string,
  authority: string,
): Request {
  const { method = "GET", headers } = message;
  const url = toUrl(message.url ?? "/", `${scheme}://${headers.host ?? authority}`);
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

/**
 * Sends a `Response`, and ends when it is sent or nobody is there to have it. A body that is there as
 * a whole gets a `content-length`, as from the runtimes' own servers.
 *
 * @throws what the response cannot be sent for, as long as an answer can be given instead.
 */
export async function sendResponse(response: Response, message: ServerResponse): Promise<void> {
  const headers: string[] = [];
  for (const [name, value] of response.headers) headers.push(name, value);
  const { body } = response;
  if (body === null || message.req.method === "HEAD") {
    writeHead(response, headers, message);
    body?.cancel().catch(() => {});
    message.end();
    return;
  }
  const reader = body.getReader();
  const onClose = () => void reader.cancel(goneError()).catch(() => {});
  message.once("close", onClose);
  try {
    await sendBody(reader, response, headers, message);
  } catch (error) {
    onClose();
    if (!message.headersSent) throw error;
    // The head is on its way, so the body has to be seen to be cut short.
    message.destroy(error as Error);
  } finally {
    message.off("close", onClose);
  }
}

function writeHead(response: Response, headers: string[], message: ServerResponse): void {
  if (response.statusText === "") message.writeHead(response.status, headers);
  else message.writeHead(response.status, response.statusText, headers);
}

async function sendBody(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  response: Response,
  headers: string[],
  message: ServerResponse,
): Promise<void> {
  const first = reader.read();
  const begun = await soon(first);
  const second = begun === null || begun.done ? null : reader.read();
  const isWhole = begun !== null && (second === null || (await soon(second))?.done === true);
  if (isWhole && !response.headers.has("content-length")) {
    headers.push("content-length", String(begun.value?.byteLength ?? 0));
  }
  writeHead(response, headers, message);
  if (isWhole) return void message.end(begun.value);
  if (begun === null) message.flushHeaders();
  let next = second;
  for (let read = await first; !read.done; next = null) {
    if (!message.write(read.value)) await drained(message);
    read = await (next ?? reader.read());
  }
  message.end();
}

/** In how many turns of the microtask queue a stream hands out what it has: 5 at most, measured. */
const TURNS = 8;

/** What was read, if it is there without waiting for anything outside; else `null`. */
async function soon<T>(reading: Promise<T>): Promise<T | null> {
  let result: T | null = null;
  reading.then((read) => result = read, () => {});
  for (let turn = 0; result === null && turn < TURNS; turn++) await null;
  return result;
}

/** Resolves when there is room again, or nobody to have it. */
function drained(message: ServerResponse): Promise<void> {
  if (message.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const settle = () => {
      message.off("drain", settle);
      message.off("close", settle);
      resolve();
    };
    message.once("drain", settle);
    message.once("close", settle);
  });
}
