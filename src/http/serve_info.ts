/**
 * What a handler is told about the connection of its request.
 *
 * @module
 */

import { readMptcpInfo, wireProtocol } from "../kernel/info.ts";
import type { MptcpInfo } from "../kernel/info_types.ts";
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
  /** Whether handlers expect the members of `server`, as those of `Bun.serve` do. */
  readonly isServer: boolean;
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

/** {@linkcode ServeMptcpInfo} of one request. */
export function createInfo(
  context: ServeContext,
  request: Request,
  origin: object,
  completion: Completion,
): ServeMptcpInfo {
  return new Proxy(new RequestConnection(context, request, origin, completion), PLAIN);
}

/** The connection of a request; nothing is asked of the kernel until somebody asks here. */
class RequestConnection implements ServeMptcpInfo {
  readonly #context: ServeContext;
  readonly #request: Request;
  readonly #origin: object;
  readonly #completion: Completion;
  #remoteAddr: NetAddr | null = null;
  #protocol: Protocol | "unknown" = "unknown";

  constructor(
    context: ServeContext,
    request: Request,
    origin: object,
    completion: Completion,
  ) {
    this.#context = context;
    this.#request = request;
    this.#origin = origin;
    this.#completion = completion;
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
    const fd = this.#fd();
    if (fd >= 0) this.#protocol = wireProtocol(fd);
    return this.#protocol;
  }

  get fallback(): Fallback | null {
    return this.protocol === "tcp" ? this.#context.fallback ?? PEER_OF_SERVER : null;
  }

  get completed(): Promise<void> {
    const { completed } = this.#completion;
    // Nobody has to listen.
    completed.catch(() => {});
    return completed;
  }

  get server(): object {
    return this.#context.server!;
  }

  info(): MptcpInfo | null {
    const fd = this.#fd();
    return fd >= 0 && this.protocol !== "tcp" ? readMptcpInfo(fd) : null;
  }

  subflows(): Subflow[] {
    const { connections, addr } = this.#context;
    if (connections === null) {
      return [{ localAddr: { ...addr }, remoteAddr: this.remoteAddr, tcp: {} }];
    }
    const fd = this.#fd();
    if (fd < 0) return [];
    const subflows = this.protocol === "tcp" ? null : readSubflows(fd);
    if (subflows !== null) return subflows;
    const localAddr = toNetAddr(localSockaddr(fd));
    return [{ localAddr, remoteAddr: this.remoteAddr, tcp: readTcpInfo(fd) }];
  }

  toJSON(): ReturnType<ServeMptcpInfo["toJSON"]> {
    const { remoteAddr, protocol, fallback } = this;
    return { remoteAddr, protocol, fallback };
  }

  /** A member of the server that a handler in the style of Bun takes this for; else `undefined`. */
  static memberOfServer(connection: RequestConnection, key: PropertyKey): unknown {
    const { isServer, server } = connection.#context;
    if (!isServer || server === null) return undefined;
    const value: unknown = Reflect.get(server, key);
    return typeof value === "function" ? value.bind(server) : value;
  }

  /** The descriptor; -1 once the connection is gone. */
  #fd(): number {
    const { hostname, port } = this.remoteAddr;
    return port === 0 ? -1 : this.#context.connections?.find(hostname, port) ?? -1;
  }
}

const METHODS: ReadonlySet<PropertyKey> = new Set(["info", "subflows", "toJSON"]);

/** What copies take along. Asking for `completed` may have a price, so they leave it out. */
const MEMBERS: readonly string[] = [
  "remoteAddr",
  "protocol",
  "fallback",
  "server",
  ...METHODS as ReadonlySet<string>,
];

/** Members need no `this`, so that copies have them. */
function read(connection: RequestConnection, key: PropertyKey): unknown {
  const value: unknown = Reflect.get(connection, key, connection);
  if (value === undefined) return RequestConnection.memberOfServer(connection, key);
  return METHODS.has(key) ? (value as () => unknown).bind(connection) : value;
}

/**
 * Shows the members as properties of the object itself, which are read when they are asked for:
 * frameworks spread it into their contexts, derive objects from it, and serialise it. Accessors of each
 * object would cost 6 microseconds a request in V8; this costs 60 nanoseconds.
 */
const PLAIN: ProxyHandler<RequestConnection> = {
  get: read,
  has: (connection, key) =>
    Reflect.has(connection, key) || RequestConnection.memberOfServer(connection, key) !== undefined,
  ownKeys: (connection) => [...MEMBERS, ...Reflect.ownKeys(connection)],
  getOwnPropertyDescriptor(connection, key) {
    if (!(MEMBERS as readonly PropertyKey[]).includes(key)) {
      return Reflect.getOwnPropertyDescriptor(connection, key);
    }
    return { get: () => read(connection, key), enumerable: true, configurable: true };
  },
};
