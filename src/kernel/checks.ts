/**
 * Checks of what callers give.
 *
 * @module
 */

import { libc } from "../../ffi/runtime.ts";
import { MptcpError } from "../error.ts";
import { show } from "../show.ts";
import { inNetns } from "../poll/socket.ts";

/** The index of an interface by its name in a network namespace. */
export function interfaceIndex(device: unknown, netns?: string): number | undefined {
  if (device === undefined) return undefined;
  if (typeof device !== "string" || device === "") {
    throw new TypeError(`Invalid device: expected the name of an interface, got ${show(device)}`);
  }
  const index = inNetns(netns, () => libc().if_nametoindex(device));
  if (index > 0) return index;
  throw new MptcpError(`No interface "${device}" in the network namespace`, {
    name: "NotFound",
    code: "ENODEV",
    errno: -index,
    syscall: "if_nametoindex",
  });
}

/** Throws unless the value can be the id of an address that an endpoint has. */
export function checkId(name: string, id: unknown): number {
  return checkRange(name, id, 1, 255);
}

/** Throws unless the value is an integer in the range. */
export function checkRange(name: string, value: unknown, min: number, max: number): number {
  if (!Number.isInteger(value)) {
    throw new TypeError(`Invalid ${name}: expected an integer, got ${show(value)}`);
  }
  if ((value as number) >= min && (value as number) <= max) return value as number;
  throw new RangeError(`Invalid ${name}: expected ${min} to ${max}, got ${show(value)}`);
}
