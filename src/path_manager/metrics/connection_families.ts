/**
 * Metrics of single connections: only on request, because each connection makes new series.
 *
 * @module
 */

import type { SurveyedConnection } from "../../kernel/socket_survey.ts";
import type { MetricFamily } from "./types.ts";

/** The families of the connections that moved most, at most `limit` of them. */
export function perConnectionFamilies(
  connections: readonly SurveyedConnection[],
  limit: number,
): MetricFamily[] {
  const moved = ({ bytesSent, bytesReceived }: SurveyedConnection) => bytesSent + bytesReceived;
  const chosen = [...connections].sort((a, b) => moved(b) - moved(a)).slice(0, limit);
  const family = (
    name: string,
    type: "counter" | "gauge",
    help: string,
    value: (one: SurveyedConnection) => number,
  ): MetricFamily => ({
    name: `mptcp_connection_${name}`,
    type,
    help,
    ...(name.endsWith("bytes") && { unit: "bytes" as const }),
    samples: chosen.map((one) => ({
      labels: { token: one.token.toString(16).padStart(8, "0"), address: one.end.address },
      value: value(one),
    })),
  });
  return [
    family("sent_bytes", "counter", "Bytes sent by a connection.", (one) => one.bytesSent),
    family(
      "received_bytes",
      "counter",
      "Bytes received by a connection.",
      (one) => one.bytesReceived,
    ),
    family(
      "retransmitted_bytes",
      "counter",
      "Bytes retransmitted by a connection.",
      (one) => one.bytesRetrans,
    ),
    family("subflows", "gauge", "Subflows of a connection.", (one) => one.subflows),
    {
      name: "mptcp_connections_not_shown",
      type: "gauge",
      help: "Connections without series of their own, because of the limit.",
      samples: [{ labels: {}, value: connections.length - chosen.length }],
    },
  ];
}
