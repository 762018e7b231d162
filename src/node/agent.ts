/**
 * Agents for `node:http` and `node:https`, and so for all that takes one: axios, got, node-fetch, ws.
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

/** What {@linkcode HttpAgent} takes: the options of `http.Agent`, and those of this module. */
export type HttpAgentOptions = AgentOptions & MptcpSocketMode;

/** What {@linkcode HttpsAgent} takes: the options of `https.Agent`, and those of this module. */
export type HttpsAgentOptions = SecureAgentOptions & MptcpSocketMode;

/**
 * An `http.Agent` whose connections are MPTCP. It pools them as `http.Agent` does, with
 * `keepAlive: true`.
 *
 * @example
 * ```ts
 * import { get } from "node:http";
 * import { once } from "node:events";
 * import { serveMptcp } from "@multipath/mptcp/http";
 * import { HttpAgent } from "@multipath/mptcp/node";
 *
 * await using server = serveMptcp({ hostname: "127.0.0.1", port: 0 }, (_request, info) => {
 *   return new Response(`You came by ${info.protocol}.`);
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

  /** Makes an agent. */
  constructor(options: HttpAgentOptions = {}) {
    super(options);
    this.#mode = modeOf(options);
  }

  /** Makes a connection for a request; `http.Agent` calls it. */
  override createConnection(options: object): Duplex {
    return createConnection({ ...options, ...this.#mode } as CreateConnectionOptions);
  }
}

/** An `https.Agent` whose connections are MPTCP. */
export class HttpsAgent extends SecureAgent {
  readonly #mode: MptcpSocketMode;

  /** Makes an agent. */
  constructor(options: HttpsAgentOptions = {}) {
    super(options);
    this.#mode = modeOf(options);
  }

  /** Makes a connection for a request; `https.Agent` calls it. */
  override createConnection(options: object): Duplex {
    return connectTls({ ...options, ...this.#mode } as ConnectTlsOptions);
  }
}
