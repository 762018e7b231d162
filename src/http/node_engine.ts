/**
 * The node engine: `node:http` on our socket itself.
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { NodeServer } from "../../ffi/http.ts";
import { runtimeHttp } from "../../ffi/runtime_http.ts";
import { formatHostPort } from "../socket.ts";
import { type Engine, EngineRefusal, type Job, tlsOf } from "./engine.ts";
import { sendResponse, toRequest } from "./fetch_adapter.ts";
import { type ServeContext, ServeInfo } from "./serve_info.ts";

/** Starts `node:http` on the job's socket; throws an `EngineRefusal` where that cannot be. */
export function startNode(job: Job): Engine {
  if (job.fd < 0) throw new EngineRefusal("the node engine needs a descriptor, and Linux");
  const missing = runtimeHttp.nodeServerMissing();
  if (missing !== null) throw new EngineRefusal(missing);
  return new NodeEngine(job);
}

/** The remote end of a socket of `node:net`, which is gone once that is closed. */
function remoteOf(_request: Request, origin: object): { hostname: string; port: number } | null {
  const { remoteAddress: hostname, remotePort: port } = origin as Socket;
  return hostname === undefined || port === undefined ? null : { hostname, port };
}

class NodeEngine implements Engine {
  readonly name = "node";
  readonly finished: Promise<void>;
  readonly #job: Job;
  readonly #context: ServeContext;
  readonly #scheme: "http" | "https";
  readonly #authority: string;
  readonly #node: NodeServer;
  /** Connections, and how many requests each is busy with. */
  readonly #sockets = new Map<Socket, number>();
  #isEnding = false;

  constructor(job: Job) {
    const { fd, addr, connections, fallback, options } = job;
    const tls = tlsOf(options);
    this.#job = job;
    this.#scheme = tls === null ? "http" : "https";
    this.#authority = formatHostPort(addr.hostname, addr.port);
    this.#node = runtimeHttp.nodeServer(fd, this.#onRequest, tls);
    this.#context = { addr, connections, fallback, remoteOf, server: this.#node.server };
    const { server, acceptor } = this.#node;
    // As the native servers: none but the handler says how long a request may take.
    server.requestTimeout = 0;
    acceptor.on(tls === null ? "connection" : "secureConnection", this.#onConnection);
    this.finished = new Promise((resolve) => acceptor.once("close", () => resolve()));
    this.#checkAddress();
  }

  get server(): object {
    return this.#node.server;
  }

  shutdown(): void {
    this.#isEnding = true;
    this.#node.acceptor.close();
    for (const [socket, requests] of this.#sockets) {
      if (requests === 0) socket.destroy();
    }
  }

  abort(): void {
    this.#isEnding = true;
    this.#node.acceptor.close();
    for (const socket of this.#sockets.keys()) socket.destroy();
  }

  ref(): void {
    this.#node.acceptor.ref();
  }

  unref(): void {
    this.#node.acceptor.unref();
  }

  #checkAddress(): void {
    const { acceptor } = this.#node;
    const address = acceptor.address();
    if (typeof address === "object" && address?.port === this.#job.addr.port) return;
    acceptor.on("error", () => {});
    acceptor.close();
    throw new EngineRefusal("node:http cannot listen on a descriptor here");
  }

  readonly #onConnection = (socket: Socket): void => {
    this.#sockets.set(socket, 0);
    socket.once("close", () => this.#sockets.delete(socket));
  };

  readonly #onRequest = (message: IncomingMessage, response: ServerResponse): void => {
    const { socket } = message;
    this.#count(socket, 1);
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
      const info = new ServeInfo(this.#context, request, message.socket);
      await sendResponse(checkResponse(await handler(request, info)), response);
    } catch (error) {
      const answer = await onError(error);
      if (response.headersSent) response.destroy();
      else await sendResponse(answer, response);
    }
  }
}

function checkResponse(value: unknown): Response {
  if (value instanceof Response) return value;
  throw new TypeError(`Expected a Response from the handler, got ${typeof value}`);
}

/** Ends a request that gets no answer from the handler. */
function fail(response: ServerResponse, status: number): void {
  if (response.headersSent) response.destroy();
  else response.writeHead(status, { connection: "close" }).end();
}
