/**
 * The addresses of the two ends of a benchmark.
 *
 * @module
 */

import { networkInterfaces } from "node:os";
import type { AddressOptions } from "../../net/address.ts";
import type { ListenMptcpOptions } from "../../types.ts";
import { parseOperand, remoteOptions } from "../args/addresses.ts";
import { UsageError } from "../args/arguments.ts";

/** That of iperf3. */
const PORT = 5201;

/** Where the server listens. */
export function listenOptions(text: string | undefined): ListenMptcpOptions {
  const { mptcp, family, hostname, port = PORT, lastPort = port } = parseOperand(
    text ?? `:${PORT}`,
  );
  if (lastPort !== port) throw new UsageError(`"${text}": a benchmark has one port`);
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
): AddressOptions & { hostname: string; port: number } {
  return remoteOptions(text, PORT);
}
