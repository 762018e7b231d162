/**
 * A server of `node:http` that listens nowhere, where `node:net` takes descriptors.
 *
 * @module
 */

import { createServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { Socket } from "node:net";
import { Certificates } from "./certificates.ts";
import type { NodeServer, TlsOptions } from "./http.ts";

/** See `nodeServer` of the contract in `http.ts`. */
export function createNodeServer(
  listener: RequestListener,
  onConnection: (socket: Socket) => void,
  tls: TlsOptions | null,
): NodeServer {
  const certificates = tls === null ? null : new Certificates(tls);
  const secure = certificates === null ? null : createHttpsServer(certificates.options, listener);
  const server = secure ?? createServer(listener);
  server.on(tls === null ? "connection" : "secureConnection", onConnection);
  const adopt = (fd: number) => {
    // Below TLS nobody would end a socket whose handshake has failed.
    const socket = new Socket({ fd, allowHalfOpen: tls === null });
    server.emit("connection", socket);
    return socket;
  };
  const setTls = (tls: TlsOptions) => {
    certificates?.replace(tls);
    secure?.setSecureContext(certificates!.options);
  };
  return { server, adopt, setTls };
}
