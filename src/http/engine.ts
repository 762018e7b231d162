/**
 * The contract of the engines: what does HTTP on a listening socket of ours.
 *
 * @module
 */

import type { TlsOptions } from "../../ffi/http.ts";
import type { NetAddr } from "../types.ts";
import type { ConnectionTable } from "./connections.ts";
import type { ServeContext } from "./serve_info.ts";
import type { MptcpServerEngine, ServeMptcpHandler, ServeMptcpOptions } from "./types.ts";

/** A socket that listens, and what is to be done with it. */
export interface Job {
  /**
   * Belongs to the engine once that has started, and not before. -1 where the runtime's own TCP has to
   * do: then nothing listens on `addr` yet.
   */
  readonly fd: number;
  readonly addr: NetAddr;
  /** `null` where there are no descriptors to find. */
  readonly connections: ConnectionTable | null;
  readonly fallback: ServeContext["fallback"];
  readonly handler: ServeMptcpHandler;
  readonly onError: (error: unknown) => Response | Promise<Response>;
  /** For HTTPS; `null` for HTTP. */
  readonly tls: TlsOptions | null;
  /** Options for the runtime's own server, as it has them. */
  readonly native: Readonly<Record<string, unknown>>;
  readonly options: ServeMptcpOptions;
}

/** A running server. */
export interface Engine {
  readonly name: MptcpServerEngine["name"];
  /** The runtime's server object. */
  readonly server: object;
  /** Resolves when it has ended: to what it broke down by, or to `null`. Never rejects. */
  readonly finished: Promise<unknown>;
  /** Takes no more connections and lets running requests finish. */
  shutdown(): void;
  /** Closes everything. */
  abort(): void;
  /** Has new connections get another certificate; `null` where it takes another server to do that. */
  readonly setTls: ((tls: TlsOptions) => void) | null;
  ref(): void;
  unref(): void;
}

/** Why an engine is unavailable here. The socket is as it was. */
export class EngineRefusal extends Error {}
