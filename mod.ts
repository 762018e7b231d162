/**
 * Multipath TCP sockets for Deno and Bun. They look like `Deno.Listener` and `Deno.TcpConn`, fall
 * back to TCP where MPTCP is unavailable, and report which protocol each connection uses and why.
 *
 * ```ts
 * import { connectMptcp, listenMptcp } from "@multipath/mptcp";
 *
 * using listener = listenMptcp({ hostname: "127.0.0.1" });
 * const [server, client] = await Promise.all([
 *   listener.accept(),
 *   connectMptcp({ port: listener.addr.port }),
 * ]);
 * console.log(server.protocol, client.protocol, client.fallback?.detail);
 * server.close();
 * client.close();
 * ```
 *
 * MPTCP needs Linux 5.6 or later. Requires `--allow-ffi` in Deno; libc is opened on first use.
 *
 * @module
 */

export { adoptMptcp, mptcpState } from "./src/net/adopt.ts";
export { parseAddress } from "./src/net/address.ts";
export { connectMptcp } from "./src/net/connect.ts";
export { MptcpError, type MptcpErrorOptions } from "./src/error.ts";
export { listenMptcp } from "./src/net/listen.ts";
export { listenFds } from "./src/net/listen_fds.ts";
export { mptcpSupport } from "./src/support/mptcp_support.ts";
export type {
  MptcpInfo,
  MptcpInfoFlags,
  TcpCaState,
  TcpInfo,
  TcpOptions,
  TcpState,
} from "./src/kernel/info_types.ts";
export type { Endpoint, HostAddress, MptcpSysctls, PathManagerLimits } from "./src/kernel/types.ts";
export type { MptcpCapabilities, MptcpSupport } from "./src/support/types.ts";
export type {
  ConnectMptcpOptions,
  Fallback,
  KeepAlive,
  ListenFd,
  ListenMode,
  ListenMptcpOptions,
  MptcpConn,
  MptcpListener,
  MptcpMode,
  MptcpState,
  NetAddr,
  ParsedAddress,
  Protocol,
  SocketOptions,
  Subflow,
} from "./src/types.ts";
