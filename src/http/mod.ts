/**
 * HTTP over Multipath TCP: a server that knows what its requests came by, and a client that knows
 * what its requests went by.
 *
 * ```ts
 * import { serveMptcp } from "@multipath/mptcp/http";
 *
 * serveMptcp((_request, info) => new Response(`You are using ${info.protocol}.`));
 * ```
 *
 * @module
 */

export { serveMptcp } from "./serve.ts";
export type {
  MptcpServer,
  MptcpServerEngine,
  ServeMptcpHandler,
  ServeMptcpInfo,
  ServeMptcpOptions,
} from "./types.ts";
