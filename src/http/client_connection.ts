/**
 * The report of a client on its connections.
 *
 * @module
 */

import type { MptcpInfo } from "../kernel/info_types.ts";
import type { Fallback, MptcpConn, NetAddr, Protocol, Subflow } from "../types.ts";
import type { MptcpClientConnection } from "./types.ts";

/** {@linkcode MptcpClientConnection} of an `MptcpConn`. */
export class ClientConnection implements MptcpClientConnection {
  readonly hostname: string;
  readonly port: number;
  readonly #conn: MptcpConn;
  #isBroken = false;
  /** What only an open connection knows. */
  #last: { info: MptcpInfo | null; subflows: Subflow[] } | null = null;

  constructor(hostname: string, port: number, conn: MptcpConn) {
    this.hostname = hostname;
    this.port = port;
    this.#conn = conn;
  }

  /** Keeps what can be asked of the connection only until it is closed. */
  remember(isBroken: boolean): void {
    this.#isBroken = isBroken;
    this.#last = { info: this.#conn.info(), subflows: this.#conn.subflows() };
  }

  get localAddr(): NetAddr {
    return this.#conn.localAddr;
  }

  get remoteAddr(): NetAddr {
    return this.#conn.remoteAddr;
  }

  get protocol(): Protocol | "unknown" {
    return this.#conn.protocol;
  }

  get fallback(): Fallback | null {
    return this.#conn.fallback;
  }

  get isOpen(): boolean {
    return this.#last === null;
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  info(): MptcpInfo | null {
    return this.#last === null ? this.#conn.info() : this.#last.info;
  }

  subflows(): Subflow[] {
    return this.#last === null ? this.#conn.subflows() : this.#last.subflows;
  }
}
