/**
 * Limits: how far the kernel's path manager goes, for each connection of a network namespace.
 *
 * @module
 */

import {
  MPTCP_PM_ATTR_RCV_ADD_ADDRS,
  MPTCP_PM_ATTR_SUBFLOWS,
  MPTCP_PM_CMD_GET_LIMITS,
  MPTCP_PM_CMD_SET_LIMITS,
} from "../../ffi/linux/abi_netlink.ts";
import { AttributeBuilder } from "../netlink/attributes.ts";
import { checkRange } from "./checks.ts";
import type { KernelPathManager } from "./mptcp_pm.ts";
import type { PathManagerLimits } from "./types.ts";

/** What an attribute of 32 bits can say: the kernel itself knows what is too much. */
const MAX = 2 ** 32 - 1;

/** The limits. */
export function getLimits(kernel: KernelPathManager): PathManagerLimits {
  const [answer] = kernel.command(MPTCP_PM_CMD_GET_LIMITS, new AttributeBuilder(), {
    operation: "read limits",
    name: "MPTCP_PM_CMD_GET_LIMITS",
    since: "5.7",
  });
  return {
    subflows: answer?.u32(MPTCP_PM_ATTR_SUBFLOWS) ?? 0,
    addAddrAccepted: answer?.u32(MPTCP_PM_ATTR_RCV_ADD_ADDRS) ?? 0,
  };
}

/** Sets the limits that are given, and gives them all. */
export function setLimits(
  kernel: KernelPathManager,
  limits: Partial<PathManagerLimits>,
): PathManagerLimits {
  const { subflows, addAddrAccepted } = limits;
  const attributes = new AttributeBuilder();
  if (addAddrAccepted !== undefined) {
    checkRange("addAddrAccepted", addAddrAccepted, 0, MAX);
    attributes.u32(MPTCP_PM_ATTR_RCV_ADD_ADDRS, addAddrAccepted);
  }
  if (subflows !== undefined) {
    checkRange("subflows", subflows, 0, MAX);
    attributes.u32(MPTCP_PM_ATTR_SUBFLOWS, subflows);
  }
  kernel.command(MPTCP_PM_CMD_SET_LIMITS, attributes, {
    operation: "set limits",
    name: "MPTCP_PM_CMD_SET_LIMITS",
    since: "5.7",
  });
  return getLimits(kernel);
}
