/**
 * Helpers of the tests of HTTP.
 *
 * @module
 */

import { connectMptcp } from "../mod.ts";
import type { MptcpServer, ServeMptcpInfo } from "../src/http/mod.ts";
import { runtime } from "./harness.ts";
import { runToEnd } from "./processes.ts";
import { bytesOf, readToEnd } from "./sockets.ts";
import { formatHostPort } from "../src/show.ts";

/** Why a test of the native engine cannot run here; `null` where it can. */
export const noNativeEngine: string | null = runtime === "node"
  ? "Node.js has no server that takes a Request"
  : null;

/** Both engines, by which most tests run; the one that there is on Node.js. */
export const ENGINES: readonly ("native" | "node")[] = noNativeEngine === null
  ? ["native", "node"]
  : ["node"];

/** What a handler was told, as JSON. */
export interface Told {
  readonly protocol: string;
  readonly reason: string | null;
  readonly hostname: string;
  readonly port: number;
  readonly token: number | null;
  readonly subflows: number;
}

/** Answers with what the handler was told. */
export function tell(_request: Request, info: ServeMptcpInfo): Response {
  const { protocol, fallback, remoteAddr: { hostname, port } } = info;
  const token = info.info()?.token ?? null;
  const subflows = info.subflows().length;
  const reason = fallback?.reason ?? null;
  return Response.json({ protocol, reason, hostname, port, token, subflows } satisfies Told);
}

/** The URL of a path of a server. */
export function urlOf({ addr }: MptcpServer, path = "/", scheme = "http"): string {
  const hostname = { "0.0.0.0": "127.0.0.1", "::": "::1" }[addr.hostname] ?? addr.hostname;
  return `${scheme}://${formatHostPort(hostname, addr.port)}${path}`;
}

/**
 * Makes one request on a connection of its own and gives the head and the body that come back, the
 * body as it was sent. The pools of fetch would keep connections, and their descriptors.
 */
export async function rawRequest(
  port: number,
  path = "/",
  hostname = "127.0.0.1",
): Promise<string> {
  using conn = await connectMptcp({ hostname, port });
  await conn.write(bytesOf(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`));
  return new TextDecoder().decode(await readToEnd(conn));
}

/** The output of a program, while the event loop turns; throws unless it succeeds. */
export async function outputOf(command: string[], input = ""): Promise<string> {
  const { status, stdout, stderr } = await runToEnd(command, { input });
  if (status === 0) return stdout;
  throw new Error(`${command.join(" ")}: status ${status}: ${stderr}${stdout}`);
}
