/**
 * Addresses among the arguments of a command.
 *
 * @module
 */

import { parseAddress } from "../../../mod.ts";
import { type AddressOptions, optionsAt } from "../../net/address.ts";
import { formatHostPort } from "../../show.ts";
import type { Fallback, ParsedAddress } from "../../types.ts";
import { UsageError } from "./arguments.ts";

/**
 * Takes an address apart; what is wrong with it is wrong with the command line.
 *
 * @param option The option that it is the value of, for the message.
 */
export function parseOperand(text: string, option?: string): ParsedAddress {
  try {
    return parseAddress(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new UsageError(option === undefined ? error.message : `${option}: ${error.message}`);
  }
}

/** The options to connect to an address, which names one port, unless there is a usual one. */
export function remoteOptions(
  text: string,
  usualPort?: number,
): AddressOptions & { hostname: string; port: number } {
  const address = parseOperand(text);
  const { hostname, port = usualPort, lastPort = port } = address;
  if (port === undefined) {
    const example = formatHostPort(hostname, 8080);
    throw new UsageError(`"${text}" has no port: add it after the host, as in "${example}"`);
  }
  if (lastPort !== port) {
    throw new UsageError(`"${text}" names several ports: connect to one of them`);
  }
  if (port === 0) throw new UsageError(`"${text}": cannot connect to port 0`);
  const options = optionsAt(address, port);
  return {
    ...options,
    hostname: options.hostname ?? (address.family === 6 ? "::1" : "127.0.0.1"),
    port,
  };
}

/** The options that say where a connection comes from, of `--source ADDRESS[:PORT]`. */
export function sourceOptions(
  text: string | undefined,
): { localAddress?: string; localPort?: number } {
  if (text === undefined) return {};
  const { hostname, port, lastPort, mptcp, family } = parseOperand(text);
  if (port !== lastPort || mptcp !== "prefer" || family !== undefined) {
    throw new UsageError(`--source takes ADDRESS, ADDRESS:PORT or :PORT, not "${text}"`);
  }
  return {
    ...(hostname && { localAddress: hostname }),
    ...(port !== undefined && { localPort: port }),
  };
}

/** Why something is TCP, in the words of a command line. */
export function reasonFor({ reason, detail }: Fallback, mode: ParsedAddress["mptcp"]): string {
  return reason === "off" && mode === "off" ? "Switched off by tcp@ in the address" : detail;
}
