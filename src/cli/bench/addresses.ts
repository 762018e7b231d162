/**
 * The addresses of the two ends of a benchmark.
 *
 * @module
 */

import { networkInterfaces } from "node:os";
import { parseAddress } from "../../../mod.ts";
import type { ConnectMptcpOptions, ListenMptcpOptions, SocketAddress } from "../../types.ts";
import { UsageError } from "../arguments.ts";

/** That of iperf3. */
const PORT = 5201;

/** Where the server listens. */
export function listenOptions(text: string | undefined): ListenMptcpOptions {
  const { mptcp, family, hostname, port } = read(text ?? `:${PORT}`);
  const isIpv6 = family !== 4 &&
    Object.values(networkInterfaces()).some((addresses) =>
      addresses?.some(({ family }) => family === "IPv6")
    );
  return {
    mptcp,
    hostname: hostname || (isIpv6 ? "::" : "0.0.0.0"),
    port,
    ...(family === 6 && { ipv6Only: true }),
  };
}

/** Where the client connects to. */
export function connectOptions(
  text: string,
): ConnectMptcpOptions & { hostname: string; family: 4 | 6 | undefined } {
  const { mptcp, family, hostname, port } = read(text);
  if (port === 0) throw new UsageError(`"${text}": no server has port 0`);
  return { mptcp, family, hostname: hostname || (family === 6 ? "::1" : "127.0.0.1"), port };
}

function read(text: string): SocketAddress & { port: number } {
  let address;
  try {
    address = parseAddress(text);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { port = PORT, lastPort = port } = address;
  if (lastPort !== port) throw new UsageError(`"${text}": a benchmark has one port`);
  return { ...address, port };
}
