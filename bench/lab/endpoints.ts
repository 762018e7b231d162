/**
 * What the kernel's path manager is told in a namespace, by `ip mptcp`.
 *
 * @module
 */

import { runBatch } from "./command.ts";

/** What an endpoint is for: see ip-mptcp(8). */
export type EndpointFlag = "signal" | "subflow" | "backup" | "fullmesh";

/** How many additional subflows a connection may have. */
export interface Limits {
  /** Subflows beside the initial one. */
  subflows: number;
  /** Announced addresses that are taken. */
  addAddrAccepted: number;
}

/** Adds an endpoint. */
export function addEndpoint(
  namespace: string,
  address: string,
  flags: readonly EndpointFlag[],
): Promise<void> {
  return runBatch(["ip", "-n", namespace], [`mptcp endpoint add ${address} ${flags.join(" ")}`]);
}

/** Removes all endpoints: live connections lose the subflows that they gave. */
export function flushEndpoints(namespace: string): Promise<void> {
  return runBatch(["ip", "-n", namespace], ["mptcp endpoint flush"]);
}

/** Sets the limits. */
export function setLimits(namespace: string, limits: Limits): Promise<void> {
  const { subflows, addAddrAccepted } = limits;
  const line = `mptcp limits set subflows ${subflows} add_addr_accepted ${addAddrAccepted}`;
  return runBatch(["ip", "-n", namespace], [line]);
}
