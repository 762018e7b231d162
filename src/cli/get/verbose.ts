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
import { type CheckedDigest, hexOf } from "./digest.ts";
import { type GetRequest, shownUrl } from "./request.ts";
import type { Answer } from "./transfer.ts";

/** The request line and headers, without those that the runtime adds. */
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

/** The status line and headers of a response, as the server wrote them. */
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
  digests: readonly CheckedDigest[],
): string[] {
  const figures = `* ${formatBytes(bytes)} in ${seconds.toFixed(2)} s, ${
    formatRate(bytes / seconds)
  }`;
  const verified = digests.map(({ algorithm, source }) => `* Verified by ${algorithm} (${source})`);
  if (connection === null) return [figures, ...verified];
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
    ...verified,
  ];
}

/** A transfer for programs. */
export function summary(
  { url, response, connection }: Answer,
  { bytes, seconds, path, digests, count }: {
    readonly bytes: number;
    readonly seconds: number;
    readonly path: string | null;
    readonly digests: readonly CheckedDigest[];
    /** Of contradicting mappings. */
    readonly count: number;
  },
): string {
  return JSON.stringify({
    url: shownUrl(url),
    status: response.status,
    bytes,
    seconds,
    bytesPerSecond: bytes / seconds,
    file: path,
    protocol: connection?.protocol ?? "tcp",
    fallback: connection?.fallback ?? null,
    subflows: connection?.subflows().map(({ localAddr, remoteAddr, tcp }) => ({
      localAddr,
      remoteAddr,
      bytesReceived: Number(tcp.bytesReceived ?? 0),
    })) ?? [],
    verified: digests.map(({ algorithm, source, value }) => ({
      algorithm,
      source,
      digest: hexOf(value),
    })),
    dssNotMatching: count,
  });
}

function protocolText(protocol: MptcpClientConnection["protocol"]): string {
  return protocol === "unknown"
    ? "MPTCP or TCP (this kernel does not report which)"
    : protocol.toUpperCase();
}

function addressText({ hostname, port }: NetAddr): string {
  return formatHostPort(hostname, port);
}
