/**
 * MPTCP for libraries that use the sockets, servers or agents of `node:net`, `node:http` and
 * `node:tls`: databases, message brokers, HTTP clients. It works the same on Deno and Bun.
 *
 * @module
 */

export { HttpAgent, type HttpAgentOptions, HttpsAgent, type HttpsAgentOptions } from "./agent.ts";
export { createConnection } from "./connect.ts";
export { type ConnectionListener, createServer, MptcpSocketServer } from "./server.ts";
export { MptcpSocket } from "./socket.ts";
export { connectTls, type ConnectTlsOptions, type MptcpTlsSocket } from "./tls.ts";
export type {
  CreateConnectionOptions,
  DroppedConnection,
  KeepAliveOptions,
  LookupAddress,
  LookupFunction,
  MptcpServerListenOptions,
  MptcpSocketConnectOptions,
  MptcpSocketMode,
  MptcpSocketOptions,
  MptcpSocketServerOptions,
  OnReadOptions,
  SocketAddressInfo,
  UnixSocketOptions,
} from "./types.ts";
export { MptcpError } from "../error.ts";
export type {
  MptcpInfo,
  MptcpInfoFlags,
  TcpCaState,
  TcpInfo,
  TcpOptions,
  TcpState,
} from "../kernel/info_types.ts";
export type {
  Fallback,
  KeepAlive,
  ListenMode,
  MptcpConn,
  MptcpMode,
  NetAddr,
  Protocol,
  SocketOptions,
  Subflow,
} from "../types.ts";
