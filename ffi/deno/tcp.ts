/**
 * Deno's own TCP, which is the model of the contract. The twin of `bun/tcp.ts`.
 *
 * @module
 */

import type { Tcp, TcpConn, TcpListener } from "../tcp.ts";

/** The parts of `Deno` that this file uses, so that Bun's type checker needs no Deno types. */
interface DenoNet {
  listen(options: { hostname: string; port: number; tcpBacklog: number }): TcpListener;
  connect(options: {
    hostname: string;
    port: number;
    signal?: AbortSignal;
    autoSelectFamily?: boolean;
    autoSelectFamilyAttemptDelay?: number;
  }): Promise<TcpConn>;
}

/** Deno's TCP; nothing happens before it is used. */
export function runtimeTcp(): Tcp {
  const deno = (globalThis as unknown as { Deno: DenoNet }).Deno;
  return {
    runtime: "Deno",
    // Deno ends a process that asks for reusePort without --unstable-net.
    lacks: ["reusePort", "ipv6Only", "localAddress", "localPort", "family"],
    listen: ({ hostname, port, tcpBacklog }) => deno.listen({ hostname, port, tcpBacklog }),
    connect({ hostname, port, signal, autoSelectFamily, autoSelectFamilyAttemptDelay }) {
      return deno.connect({
        hostname,
        port,
        ...(signal !== undefined && { signal }),
        ...(autoSelectFamily !== undefined && { autoSelectFamily }),
        ...(autoSelectFamilyAttemptDelay !== undefined && { autoSelectFamilyAttemptDelay }),
      });
    },
  };
}
