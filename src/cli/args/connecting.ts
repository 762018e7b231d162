/**
 * Options of the commands that connect.
 *
 * @module
 */

import { isIP } from "node:net";
import type { ConnectMptcpOptions } from "../../types.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import type { Option } from "./command.ts";

/** Seconds to connect within, unless told otherwise. */
const DEFAULT_CONNECT_TIMEOUT = 10;

/** How long connecting may take. */
export const CONNECT_TIMEOUT: Option = {
  name: "connect-timeout",
  value: "SECONDS",
  summary: `Give up connecting after this time (default ${DEFAULT_CONNECT_TIMEOUT})`,
};

/** The family of addresses to use. */
export const FAMILY_OPTIONS: readonly Option[] = [
  { name: "ipv4", short: "4", summary: "Use IPv4 addresses only" },
  { name: "ipv6", short: "6", summary: "Use IPv6 addresses only" },
];

/** What a command with {@linkcode CONNECT_TIMEOUT} is told. */
export interface ConnectTimeoutOptions {
  /** Seconds that connecting may take. */
  readonly connectTimeout: number;
}

/** Reads {@linkcode CONNECT_TIMEOUT}. */
export function readConnectTimeout(args: Arguments): ConnectTimeoutOptions {
  const connectTimeout = args.number("connect-timeout", {
    min: 0.001,
    max: 1_000_000,
    integer: false,
  });
  return { connectTimeout: connectTimeout ?? DEFAULT_CONNECT_TIMEOUT };
}

/** Reads {@linkcode FAMILY_OPTIONS}; `undefined` for both families. */
export function readFamily(args: Arguments): 4 | 6 | undefined {
  const [only4, only6] = [args.has("ipv4"), args.has("ipv6")];
  if (only4 && only6) throw new UsageError("--ipv4 and --ipv6 exclude each other");
  return only4 ? 4 : only6 ? 6 : undefined;
}

/** Where to connect to, with the family of {@linkcode FAMILY_OPTIONS}. */
export function withFamily<T extends ConnectMptcpOptions & { family?: 4 | 6 | undefined }>(
  args: Arguments,
  remote: T,
): T {
  const family = readFamily(args);
  if (family === undefined) return remote;
  if (remote.family !== undefined && remote.family !== family) {
    throw new UsageError(`--ipv${family}: the prefix of the address selects IPv${remote.family}`);
  }
  if (remote.hostname !== undefined) checkFamily(remote.hostname, family);
  return { ...remote, family };
}

/** Refuses an IP address of the other family; names have both. */
export function checkFamily(hostname: string, family: 4 | 6 | undefined): void {
  const found = isIP(hostname.replace(/^\[|\]$/g, ""));
  if (family === undefined || found === 0 || found === family) return;
  throw new UsageError(`--ipv${family}: ${hostname} is not an IPv${family} address`);
}
