/**
 * What `mptcp check` is told.
 *
 * @module
 */

import { remoteOptions } from "../args/addresses.ts";
import type { Arguments } from "../args/arguments.ts";
import { type NetnsOptions, readNetnsOptions } from "../args/common_options.ts";
import { type ConnectTimeoutOptions, withFamily } from "../args/connecting.ts";

/** What to look at, and for how long. */
export interface CheckOptions extends NetnsOptions, ConnectTimeoutOptions {
  /** The server to connect to; `null` to look at this machine alone. */
  readonly remote: ReturnType<typeof remoteOptions> | null;
  /** Milliseconds to wait for further subflows. */
  readonly wait: number;
}

const DEFAULT_WAIT = 1;
const DEFAULT_TIMEOUT = 10;

/** Reads the command line of `check`. */
export function readCheckOptions(args: Arguments): CheckOptions {
  const [address] = args.operands;
  return {
    ...readNetnsOptions(args),
    remote: address === undefined ? null : withFamily(args, remoteOptions(address)),
    wait: 1000 * (args.number("wait", { integer: false }) ?? DEFAULT_WAIT),
    connectTimeout: args.number("timeout", { integer: false }) ?? DEFAULT_TIMEOUT,
  };
}
