/**
 * What a handler is told about the connection of its request.
 *
 * @module
 */

import { readMptcpInfo, wireProtocol } from "../kernel/info.ts";
import { localSockaddr, toNetAddr } from "../poll/socket.ts";
import { readSubflows } from "../kernel/subflows.ts";
import { PEER_OF_SERVER } from "../policy/fallback.ts";
import { readTcpInfo } from "../kernel/tcp_info.ts";
import type { Fallback, NetAddr, Protocol, Subflow } from "../types.ts";
import type { ConnectionTable } from "./connections.ts";
import type { ServeMptcpInfo } from "./types.ts";

/** What the requests of one server have in common. */
export interface ServeContext {
  readonly connections: ConnectionTable | null;
  /** Where the server listens. */
  readonly addr: NetAddr;
  /** Why the listening socket is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
  readonly remoteOf: RemoteOf;
  /** The runtime's server object; `null` until it is made. */
  server: object | null;
}

/**
 * Where a request came from; `null` once its connection is gone. `origin` is what the engine was
 * given beside the request.
 */
export type RemoteOf = (
  request: Request,
  origin: object,
) => { readonly hostname: string; readonly port: number } | null;

/** When an answer has been sent, for those who ask. */
export interface Completion {
  readonly completed: Promise<void>;
}

/**
 * {@linkcode ServeMptcpInfo} of one request. Its members are its own and need no `this`: frameworks
 * spread it into their contexts, derive objects from it, and serialise it.
 */
export function createInfo(
  context: ServeContext,
  request: Request,
  origin: object,
  completion: Completion,
): ServeMptcpInfo {
  const connection = new RequestConnection(context, request, origin);
  return {
    get remoteAddr() {
      return connection.remoteAddr;
    },
    get protocol() {
      return connection.protocol;
    },
    get fallback() {
      return connection.fallback;
    },
    get completed() {
      return completion.completed;
    },
    get server() {
      return context.server!;
    },
    info: () => connection.fd < 0 ? null : connection.info(),
    subflows: () => connection.subflows(),
    toJSON: () => ({
      remoteAddr: connection.remoteAddr,
      protocol: connection.protocol,
      fallback: connection.fallback,
    }),
  };
}

/** The connection of a request; nothing is asked of the kernel until somebody asks here. */
class RequestConnection {
  readonly #context: ServeContext;
  readonly #request: Request;
  readonly #origin: object;
  #remoteAddr: NetAddr | null = null;
  #protocol: Protocol | "unknown" = "unknown";

  constructor(context: ServeContext, request: Request, origin: object) {
    this.#context = context;
    this.#request = request;
    this.#origin = origin;
  }

  get remoteAddr(): NetAddr {
    if (this.#remoteAddr !== null) return { ...this.#remoteAddr };
    const remote = this.#context.remoteOf(this.#request, this.#origin);
    // What Deno says of a connection that is gone.
    if (remote === null) return { transport: "tcp", hostname: "", port: 0 };
    const hostname = remote.hostname.replace(/^::ffff:(?=\d+\.)/i, "");
    this.#remoteAddr = { transport: "tcp", hostname, port: remote.port };
    return { ...this.#remoteAddr };
  }

  get protocol(): Protocol | "unknown" {
    if (this.#context.fallback !== null) return "tcp";
    const { fd } = this;
    if (fd >= 0) this.#protocol = wireProtocol(fd);
    return this.#protocol;
  }

  get fallback(): Fallback | null {
    return this.protocol === "tcp" ? this.#context.fallback ?? PEER_OF_SERVER : null;
  }

  info(): ReturnType<typeof readMptcpInfo> {
    return this.protocol === "tcp" ? null : readMptcpInfo(this.fd);
  }

  subflows(): Subflow[] {
    const { connections, addr } = this.#context;
    if (connections === null) {
      return [{ localAddr: { ...addr }, remoteAddr: this.remoteAddr, tcp: {} }];
    }
    const { fd } = this;
    if (fd < 0) return [];
    const subflows = this.protocol === "tcp" ? null : readSubflows(fd);
    if (subflows !== null) return subflows;
    const localAddr = toNetAddr(localSockaddr(fd));
    return [{ localAddr, remoteAddr: this.remoteAddr, tcp: readTcpInfo(fd) }];
  }

  /** The descriptor; -1 once the connection is gone. */
  get fd(): number {
    const { hostname, port } = this.remoteAddr;
    return port === 0 ? -1 : this.#context.connections?.find(hostname, port) ?? -1;
  }
}
