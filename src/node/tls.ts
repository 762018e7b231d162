/**
 * `node:tls` over MPTCP.
 *
 * @module
 */

import { isIP } from "node:net";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { MptcpInfo } from "../kernel/info_types.ts";
import type { Fallback, Protocol, Subflow } from "../types.ts";
import { createConnection } from "./connect.ts";
import type { MptcpSocket } from "./socket.ts";
import type { CreateConnectionOptions, MptcpSocketMode } from "./types.ts";

/** Options of {@linkcode connectTls}: those of `tls.connect` and of this module. */
export type ConnectTlsOptions =
  & Omit<ConnectionOptions, "port" | "socket" | "path">
  & MptcpSocketMode
  & {
    /** 0 to 65535. */
    port: number | string;
  };

/** A `TLSSocket` that reports the protocol and paths of its connection. */
export type MptcpTlsSocket = TLSSocket & {
  /** The protocol of the connection now; `"unknown"` before it is connected. */
  readonly protocol: Protocol | "unknown";
  /** Why it is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
  /** The kernel's figures about an MPTCP connection; `null` if it is TCP, closed or not connected. */
  info(): MptcpInfo | null;
  /** The paths in use. */
  subflows(): Subflow[];
};

/**
 * Connects with TLS over MPTCP, like `tls.connect`.
 *
 * @param options Where to connect to, and how; `host` is the server name unless `servername` is given.
 * @param onSecureConnect Called when the handshake is done.
 * @returns The `TLSSocket` of the runtime, with `protocol`, `fallback`, `info()` and `subflows()`.
 */
export function connectTls(
  options: ConnectTlsOptions,
  onSecureConnect?: () => void,
): MptcpTlsSocket {
  const socket = createConnection(options as unknown as CreateConnectionOptions);
  const { host } = options;
  const servername = options.servername ?? (host !== undefined && isIP(host) === 0 ? host : "");
  // Without a port and host of its own `tls.connect` makes no connection.
  const { port: _port, mptcp: _mptcp, ...rest } = options as ConnectTlsOptions & {
    mptcp?: unknown;
  };
  const secure = connect(
    { ...rest, socket: socket as never, ...(servername && { servername }) },
    onSecureConnect,
  );
  return describeBy(secure, socket);
}

/** What a TLS socket says as the socket below says it; runtimes know no addresses of a stream. */
const ADDRESSES = [
  "remoteAddress",
  "remotePort",
  "remoteFamily",
  "localAddress",
  "localPort",
  "localFamily",
] as const;

function describeBy(secure: TLSSocket, socket: MptcpSocket): MptcpTlsSocket {
  for (const name of ADDRESSES) {
    Object.defineProperty(secure, name, { configurable: true, get: () => socket[name] });
  }
  return Object.defineProperties(secure, {
    protocol: { get: () => socket.protocol },
    fallback: { get: () => socket.fallback },
    info: { value: () => socket.info() },
    subflows: { value: () => socket.subflows() },
  }) as MptcpTlsSocket;
}
