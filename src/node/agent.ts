/**
 * Agents for `node:http` and `node:https`, and for libraries that accept one: axios, got, node-fetch,
 * ws.
 *
 * @module
 */

import { Agent, type AgentOptions } from "node:http";
import { Agent as SecureAgent, type AgentOptions as SecureAgentOptions } from "node:https";
import type { Duplex } from "node:stream";
import { createConnection } from "./connect.ts";
import { modeOf } from "./mode.ts";
import { connectTls, type ConnectTlsOptions } from "./tls.ts";
import type { CreateConnectionOptions, MptcpSocketMode } from "./types.ts";

/** Options of {@linkcode HttpAgent}: those of `http.Agent` and of this module. */
export type HttpAgentOptions = AgentOptions & MptcpSocketMode;

/** Options of {@linkcode HttpsAgent}: those of `https.Agent` and of this module. */
export type HttpsAgentOptions = SecureAgentOptions & MptcpSocketMode;

/**
 * An `http.Agent` whose connections use MPTCP. With `keepAlive: true` it pools them as `http.Agent`
 * does.
 *
 * @example
 * ```ts
 * import { get } from "node:http";
 * import { once } from "node:events";
 * import { serveMptcp } from "@multipath/mptcp/http";
 * import { HttpAgent } from "@multipath/mptcp/node";
 *
 * await using server = serveMptcp({ hostname: "127.0.0.1", port: 0 }, (_request, info) => {
 *   return new Response(`You are using ${info.protocol}.`);
 * });
 * const agent = new HttpAgent({ keepAlive: true });
 * const request = get({ port: server.addr.port, host: "127.0.0.1", agent });
 * const [response] = await once(request, "response");
 * for await (const chunk of response) console.log(String(chunk));
 * agent.destroy();
 * ```
 */
export class HttpAgent extends Agent {
  readonly #mode: MptcpSocketMode;

  /** Creates an agent. */
  constructor(options: HttpAgentOptions = {}) {
    super(options);
    this.#mode = modeOf(options);
  }

  /** Creates a connection for a request; called by `http.Agent`. */
  override createConnection(options: object): Duplex {
    return createConnection({ ...options, ...this.#mode } as CreateConnectionOptions);
  }
}

/** An `https.Agent` whose connections use MPTCP. */
export class HttpsAgent extends SecureAgent {
  readonly #mode: MptcpSocketMode;

  /** Creates an agent. */
  constructor(options: HttpsAgentOptions = {}) {
    super(options);
    this.#mode = modeOf(options);
  }

  /** Creates a connection for a request; called by `https.Agent`. */
  override createConnection(options: object): Duplex {
    return connectTls({ ...options, ...this.#mode } as ConnectTlsOptions);
  }
}
