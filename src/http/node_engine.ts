/**
 * The node engine: `node:http` on connections that we accept.
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { NodeServer, TlsOptions } from "../../ffi/http.ts";
import { runtimeHttp } from "../../ffi/runtime_http.ts";
import { libc } from "../../ffi/runtime.ts";
import { Listener } from "../net/listener.ts";
import { AnswerCompletion } from "./completion.ts";
import { Deadlines } from "./deadlines.ts";
import { type Engine, EngineRefusal, type Job } from "./engine.ts";
import { toRequest } from "./fetch_adapter.ts";
import { sendResponse } from "./send_response.ts";
import { createInfo, type ServeContext } from "./serve_info.ts";
import { formatHostPort } from "../show.ts";

/** Those of `node:http`, in milliseconds. */
const HEADERS_TIMEOUT = 60_000;
const REQUEST_TIMEOUT = 300_000;

/** How long accepting rests when it fails, as when no descriptor is left, in milliseconds. */
const ACCEPT_PAUSE = 50;

/** Starts `node:http` on the job's socket; throws an `EngineRefusal` where that cannot be. */
export function startNode(job: Job): Engine {
  if (job.fd < 0) throw new EngineRefusal("the node engine needs a descriptor, and Linux");
  const [option] = Object.keys(job.native);
  if (option !== undefined) throw new EngineRefusal(`the node engine does not support ${option}`);
  const missing = runtimeHttp.nodeServerMissing();
  if (missing !== null) throw new EngineRefusal(missing);
  return new NodeEngine(job);
}

/** The remote end of a socket of `node:net`, which is gone once that is closed. */
function remoteOf(_request: Request, origin: object): { hostname: string; port: number } | null {
  const { remoteAddress: hostname, remotePort: port } = origin as Socket;
  return hostname === undefined || port === undefined ? null : { hostname, port };
}

/** What a socket and the TLS above it have in common. */
function remoteText({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

class NodeEngine implements Engine {
  readonly name = "node";
  readonly finished: Promise<null>;
  readonly #job: Job;
  readonly #context: ServeContext;
  readonly #scheme: "http" | "https";
  readonly #authority: string;
  readonly #node: NodeServer;
  readonly #listener: Listener;
  readonly #finish: () => void;
  /** The sockets that were accepted; with TLS, what lies below it. */
  readonly #accepted = new Set<Socket>();
  /** What speaks HTTP, and how many requests each is busy with. */
  readonly #sockets = new Map<Socket, number>();
  readonly #deadlines: Deadlines;
  #isEnding = false;

  constructor(job: Job) {
    const { addr, connections, fallback, tls } = job;
    this.#job = job;
    const { headersTimeout = HEADERS_TIMEOUT, requestTimeout = REQUEST_TIMEOUT } = job.options;
    this.#deadlines = new Deadlines(Math.min(headersTimeout, requestTimeout));
    this.#scheme = tls === null ? "http" : "https";
    this.#authority = formatHostPort(addr.hostname, addr.port);
    this.#node = runtimeHttp.nodeServer(this.#onRequest, this.#onConnection, tls);
    const { server } = this.#node;
    this.#context = { addr, connections, fallback, remoteOf, isServer: false, server };
    // Their server checks these only while it listens itself.
    this.#node.server.requestTimeout = this.#node.server.headersTimeout = 0;
    // Deno closes what a server keeps alive that does not listen, and this one never did.
    Object.defineProperty(this.#node.server, "listening", { get: () => !this.#isEnding });
    const { promise, resolve } = Promise.withResolvers<null>();
    this.finished = promise;
    this.#finish = () => resolve(null);
    const protocol = fallback === null ? "mptcp" : "tcp";
    this.#listener = new Listener({ fd: job.fd, protocol, fallback }, {});
    this.#accept();
  }

  get server(): object {
    return this.#node.server;
  }

  shutdown(): void {
    this.#stop();
    const served = new Set([...this.#sockets.keys()].map(remoteText));
    for (const socket of this.#accepted) {
      // There is no more TLS to come of it.
      if (!served.has(remoteText(socket))) socket.destroy();
    }
    for (const [socket, requests] of this.#sockets) {
      if (requests === 0) socket.destroy();
    }
  }

  abort(): void {
    this.#stop();
    for (const socket of this.#accepted) socket.destroy();
  }

  setTls = (tls: TlsOptions): void => this.#node.setTls(tls);

  ref(): void {
    this.#listener.ref();
  }

  unref(): void {
    this.#listener.unref();
  }

  #stop(): void {
    this.#isEnding = true;
    this.#listener[Symbol.dispose]();
    if (this.#accepted.size === 0) this.#finish();
  }

  /** Deno's own `node:http` does not accept ever after when it once had no descriptor. */
  async #accept(): Promise<void> {
    while (!this.#isEnding) {
      try {
        this.#adopt((await this.#listener.accept()).detach());
      } catch {
        // Nothing is lost: connections wait in the backlog.
        if (!this.#isEnding) await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE));
      }
    }
  }

  #adopt(fd: number): void {
    const { maxConnections = Infinity } = this.#job.options;
    if (this.#accepted.size >= maxConnections) {
      libc().close(fd);
      return;
    }
    let socket: Socket;
    try {
      socket = this.#node.adopt(fd);
    } catch (error) {
      libc().close(fd);
      throw error;
    }
    this.#accepted.add(socket);
    const name = remoteText(socket);
    this.#expectHead(name, socket);
    socket.once("close", () => {
      this.#deadlines.delete(name);
      this.#accepted.delete(socket);
      if (this.#isEnding && this.#accepted.size === 0) this.#finish();
    });
  }

  /** Ends a connection on which no request begins for too long, or not all of its head comes. */
  #expectHead(name: string, socket: Socket): void {
    const { headersTimeout = HEADERS_TIMEOUT } = this.#job.options;
    this.#deadlines.set(name, headersTimeout, () => socket.destroy());
  }

  /** Ends a connection whose request does not come to its end. */
  #expectBody(message: IncomingMessage): void {
    const name = `body of ${remoteText(message.socket)}`;
    const { requestTimeout = REQUEST_TIMEOUT } = this.#job.options;
    this.#deadlines.set(name, requestTimeout, () => message.socket.destroy());
    const forget = () => this.#deadlines.delete(name);
    message.once("end", forget);
    message.once("close", forget);
  }

  readonly #onConnection = (socket: Socket): void => {
    this.#sockets.set(socket, 0);
    socket.once("close", () => this.#sockets.delete(socket));
  };

  readonly #onRequest = (message: IncomingMessage, response: ServerResponse): void => {
    const { socket } = message;
    this.#count(socket, 1);
    this.#deadlines.delete(remoteText(socket));
    this.#expectBody(message);
    if (this.#isEnding) response.shouldKeepAlive = false;
    response.once("close", () => {
      // What is left of a body is read and dropped: another request may be behind it. In Deno nobody
      // else does.
      message.resume();
      this.#count(socket, -1);
    });
    this.#answer(message, response);
  };

  #count(socket: Socket, change: 1 | -1): void {
    const requests = (this.#sockets.get(socket) ?? 0) + change;
    if (socket.destroyed) return;
    this.#sockets.set(socket, requests);
    if (requests === 0) this.#expectHead(remoteText(socket), socket);
    if (this.#isEnding && requests === 0) socket.end();
  }

  async #answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const request = this.#toRequest(message, response);
      if (request === null) return;
      await this.#respond(request, message, response);
    } catch (error) {
      // The answer to an error cannot be sent either.
      console.error(error);
      fail(response, 500);
    }
  }

  #toRequest(message: IncomingMessage, response: ServerResponse): Request | null {
    try {
      return toRequest(message, response, this.#scheme, this.#authority);
    } catch {
      fail(response, 400);
      return null;
    }
  }

  async #respond(
    request: Request,
    message: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { handler, onError } = this.#job;
    try {
      const completion = new AnswerCompletion();
      response.once("close", () => {
        if (response.writableFinished) completion.resolve();
        else completion.reject(new DOMException("The client closed the connection", "AbortError"));
      });
      const info = createInfo(this.#context, request, message.socket, completion);
      await sendResponse(checkResponse(await handler(request, info)), response);
    } catch (error) {
      const answer = await onError(error);
      if (!response.headersSent) await sendResponse(answer, response);
      // The head is on its way, so the body has to be seen to be cut short.
      else if (!response.writableEnded) response.destroy();
    }
  }
}

const statusOf = Object.getOwnPropertyDescriptor(Response.prototype, "status")!.get!;

/** Not what has the prototype alone: reading its body would fail when it is too late. */
function isResponse(value: unknown): value is Response {
  try {
    return value instanceof Response && typeof statusOf.call(value) === "number";
  } catch {
    return false;
  }
}

function checkResponse(value: unknown): Response {
  if (isResponse(value)) return value;
  throw new TypeError(`Expected a Response from the handler, got ${kindOf(value)}`);
}

/** What a handler gave. Builds of frameworks for Node.js bring a `Response` of their own. */
function kindOf(value: unknown): string {
  if (value instanceof Response) return "an object that only has the prototype of one";
  const isForeign = Object(value).constructor?.name === "Response";
  return isForeign
    ? "the Response of a library: return new Response(response.body, response)"
    : typeof value;
}

/** Ends a request that gets no answer from the handler. */
function fail(response: ServerResponse, status: number): void {
  if (response.headersSent) response.destroy();
  else response.writeHead(status, { connection: "close" }).end();
}
