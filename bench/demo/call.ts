/**
 * One call of the example server, as both ends saw it.
 *
 * @module
 */

import { connectMptcp, type ConnectMptcpOptions, type MptcpConn, type NetAddr } from "../../mod.ts";

/** What one end says of a connection. */
export interface View {
  readonly protocol: string;
  /** Why it is TCP. */
  readonly reason?: string | undefined;
  /** Both addresses of each. */
  readonly subflows: readonly string[];
}

/** Two views of one connection. */
export interface Call {
  readonly client: View;
  readonly server: View;
}

const REQUEST = "GET / HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n\r\n";

/** Calls the server over a connection that has had the time to use all paths. */
export async function call(options: ConnectMptcpOptions, paths: number): Promise<Call> {
  using conn = await connectMptcp(options);
  options.signal?.addEventListener("abort", () => conn[Symbol.dispose]());
  if (conn.protocol === "mptcp") await subflows(conn, paths);
  await conn.writable.getWriter().write(new TextEncoder().encode(REQUEST));
  const answer = await new Response(conn.readable).text();
  return { client: clientView(conn), server: serverView(answer) };
}

/** Waits until the kernel has opened the subflows, but no longer than 2 s. */
async function subflows(conn: MptcpConn, count: number): Promise<void> {
  const deadline = Date.now() + 2000;
  while (conn.subflows().length < count && Date.now() < deadline) await delay(10);
  // A subflow is listed from its first packet on; the server knows it after the third.
  await delay(20);
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function clientView(conn: MptcpConn): View {
  return {
    protocol: conn.protocol,
    reason: conn.fallback?.detail,
    subflows: conn.subflows().map((s) => `${text(s.localAddr)} -> ${text(s.remoteAddr)}`),
  };
}

function text({ hostname, port }: NetAddr): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** Takes the answer of `examples/server.ts` apart: a verdict, perhaps a reason, the subflows. */
function serverView(answer: string): View {
  const body = answer.slice(answer.indexOf("\r\n\r\n") + 4).trim();
  const [verdict, ...lines] = body.split("\n");
  return {
    protocol: PROTOCOLS[verdict!] ?? "unknown",
    reason: lines.find((line) => !line.includes(" <- ")),
    subflows: lines.filter((line) => line.includes(" <- ")),
  };
}

const PROTOCOLS: Readonly<Record<string, string>> = {
  "You are using MPTCP.": "mptcp",
  "You are not using MPTCP.": "tcp",
};
