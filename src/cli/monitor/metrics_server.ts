/**
 * The server of `mptcp monitor --metrics`.
 *
 * @module
 */

import { serveMptcp } from "../../http/mod.ts";
import { collectMetrics, type MetricsOptions } from "../../path_manager/mod.ts";
import { MEDIA_TYPES } from "../../path_manager/metrics/text.ts";
import type { ServerAddress } from "./options.ts";

/** Serves the metrics of a machine, which are collected for each request. */
export function serveMetrics(
  address: ServerAddress,
  options: Omit<MetricsOptions, "format">,
): { url: string; close(): Promise<void> } {
  const server = serveMptcp({
    ...address,
    onListen: () => {},
    onError: (error) => text(500, error instanceof Error ? error.message : String(error)),
  }, (request) => {
    if (request.method !== "GET" && request.method !== "HEAD") return text(405, "Only GET");
    const { pathname } = new URL(request.url);
    if (pathname === "/") return text(200, "The metrics are at /metrics");
    if (pathname !== "/metrics") return text(404, "The metrics are at /metrics");
    const format = wantsOpenMetrics(request) ? "openmetrics" : "prometheus";
    const body = collectMetrics({ ...options, format });
    return new Response(body, { headers: { "content-type": MEDIA_TYPES[format] } });
  });
  const { hostname, port } = server.addr;
  return {
    url: `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}/metrics`,
    close: () => server.shutdown(),
  };
}

function wantsOpenMetrics(request: Request): boolean {
  return request.headers.get("accept")?.includes("application/openmetrics-text") ?? false;
}

function text(status: number, body: string): Response {
  return new Response(`${body}\n`, { status, headers: { "content-type": "text/plain" } });
}
