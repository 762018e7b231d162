/**
 * What `get -v` tells, in the manner of curl: "*" is about the connection, ">" what is asked, "<" what
 * is answered.
 *
 * @module
 */

import type { MptcpClientConnection } from "../../http/mod.ts";
import { formatHostPort } from "../../show.ts";
import type { NetAddr } from "../../types.ts";
import { formatBytes, formatRate } from "../ui/units.ts";
import type { GetRequest } from "./request.ts";

/** The head of a request, as far as it is made here: the runtime adds to it. */
export function requestLines({ method, headers, body }: GetRequest, url: URL): string[] {
  const length = body === null ? [] : [`content-length: ${body.byteLength}`];
  return [
    `${method} ${url.pathname}${url.search} HTTP/1.1`,
    `host: ${url.host}`,
    ...[...headers].map(([name, value]) => `${name}: ${value}`),
    ...length,
    "",
  ].map((line) => `> ${line}`.trimEnd());
}

/** The head of an answer. */
export function headLines({ status, statusText, headers }: Response): string[] {
  return [
    `HTTP/1.1 ${status} ${statusText}`.trimEnd(),
    ...[...headers].map(([name, value]) => `${name}: ${value}`),
    "",
  ];
}

/** What a connection is. */
export function connectionLine(connection: MptcpClientConnection): string {
  const { hostname, localAddr, remoteAddr, protocol, fallback } = connection;
  const why = fallback === null ? "" : `: ${fallback.detail}`;
  return `* Connected to ${hostname}, ${addressText(remoteAddr)}, from ${
    addressText(localAddr)
  }, ` +
    `over ${protocolText(protocol)}${why}`;
}

/** How a transfer went. */
export function transferLines(
  connection: MptcpClientConnection | null,
  bytes: number,
  seconds: number,
): string[] {
  const figures = `* ${formatBytes(bytes)} in ${seconds.toFixed(2)} s, ${
    formatRate(bytes / seconds)
  }`;
  if (connection === null) return [figures];
  const subflows = connection.subflows();
  const number = connection.protocol === "mptcp"
    ? `, ${subflows.length} subflow${subflows.length === 1 ? "" : "s"}`
    : "";
  return [
    `${figures}, over ${protocolText(connection.protocol)}${number}`,
    ...subflows.map(({ localAddr, remoteAddr, tcp }) =>
      `*   ${addressText(localAddr)} > ${addressText(remoteAddr)}  ` +
      `${formatBytes(tcp.bytesReceived ?? 0)} received`
    ),
  ];
}

function protocolText(protocol: MptcpClientConnection["protocol"]): string {
  return protocol === "unknown"
    ? "MPTCP or TCP, which this kernel cannot tell"
    : protocol.toUpperCase();
}

function addressText({ hostname, port }: NetAddr): string {
  return formatHostPort(hostname, port);
}
