/**
 * A TCP proxy with MPTCP on either side. Use it to bring MPTCP to TCP-only servers, or to give TCP-only
 * programs several paths to a server.
 *
 * ```ts
 * import { proxyMptcp } from "@multipath/mptcp/proxy";
 *
 * await using proxy = proxyMptcp({
 *   front: "mptcp@127.0.0.1:0",
 *   back: ["tcp@127.0.0.1:8001", "tcp@127.0.0.1:8002"],
 * });
 * console.log(proxy.fronts, proxy.stats().active);
 * ```
 *
 * @module
 */

export { proxyMptcp } from "./proxy.ts";
export type {
  AcceptProxyOptions,
  MptcpProxy,
  OneOrMore,
  ProxyBackend,
  ProxyConnection,
  ProxyEnd,
  ProxyFront,
  ProxyHeaderVersion,
  ProxyMptcpOptions,
  ProxyReport,
  ProxySide,
  ProxyStats,
} from "./types.ts";
export type { ShutdownOptions } from "../types.ts";
