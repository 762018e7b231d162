/**
 * Checks of what `proxyMptcp` takes.
 *
 * @module
 */

import { checkSignal } from "../net/options.ts";
import { show } from "../show.ts";
import type { AcceptProxyOptions, ProxyMptcpOptions } from "./types.ts";

/** Options that have been checked, and their defaults. */
export interface CheckedProxyOptions extends Omit<ProxyMptcpOptions, "acceptProxy"> {
  readonly maxConnections: number;
  readonly connectTimeout: number;
  readonly idleTimeout: number;
  readonly acceptProxy: Required<AcceptProxyOptions> | null;
}

/** The longest time that a timer can be set for. */
const MAX_TIME = 0x7fffffff;
/** The longest header that version 2 can have; shorter than that of version 1 none can be. */
const MAX_HEADER = 16 + 0xffff;
const MIN_HEADER = 107;

/** Throws a `TypeError` or `RangeError` for what makes no sense. */
export function checkProxyOptions(options: ProxyMptcpOptions): CheckedProxyOptions {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Invalid options: expected an object, got ${show(options)}`);
  }
  const { maxConnections = Infinity, connectTimeout = 5_000, idleTimeout = 3_600_000 } = options;
  if (maxConnections !== Infinity) checkNumber("maxConnections", maxConnections, 1, MAX_TIME);
  checkNumber("connectTimeout", connectTimeout, 1, MAX_TIME);
  checkNumber("idleTimeout", idleTimeout, 0, MAX_TIME);
  const { sendProxy, signal } = options;
  if (sendProxy !== undefined && sendProxy !== "v1" && sendProxy !== "v2") {
    throw new TypeError(`Invalid sendProxy: expected "v1" or "v2", got ${show(sendProxy)}`);
  }
  checkSignal(signal);
  for (const name of ["onOpen", "onClose", "onBackend", "onError"] as const) {
    const value: unknown = options[name];
    if (value !== undefined && typeof value !== "function") {
      throw new TypeError(`Invalid ${name}: expected a function, got ${show(value)}`);
    }
  }
  const acceptProxy = checkAcceptProxy(options.acceptProxy ?? false);
  return { ...options, maxConnections, connectTimeout, idleTimeout, acceptProxy };
}

function checkAcceptProxy(given: boolean | AcceptProxyOptions): CheckedProxyOptions["acceptProxy"] {
  if (given === false) return null;
  if (given !== true && (typeof given !== "object" || given === null)) {
    throw new TypeError(`Invalid acceptProxy: expected a boolean or an object, got ${show(given)}`);
  }
  const { timeout = 3_000, maxLength = 4_096 } = given === true ? {} : given;
  checkNumber("acceptProxy.timeout", timeout, 1, MAX_TIME);
  checkNumber("acceptProxy.maxLength", maxLength, MIN_HEADER, MAX_HEADER);
  return { timeout, maxLength };
}

function checkNumber(name: string, value: unknown, min: number, max: number): void {
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new TypeError(`Invalid ${name}: expected a number, got ${show(value)}`);
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(
      `Invalid ${name}: expected an integer from ${min} to ${max}, got ${value}`,
    );
  }
}
