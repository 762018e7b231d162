/**
 * Checks of what the two verbs take in common.
 *
 * @module
 */

import { checkHostname } from "./address.ts";
import { checkSocketOptions } from "./socket_options.ts";
import { show } from "../show.ts";
import type { ListenMode, MptcpMode, SocketOptions } from "../types.ts";

/** The options that `listenMptcp` and `connectMptcp` share. */
export interface CommonOptions {
  mptcp?: MptcpMode;
  netns?: string;
  socketOptions?: SocketOptions;
}

const MODES: Readonly<Record<"listen" | "connect", readonly unknown[]>> = {
  listen: ["prefer", "require", "off"] satisfies ListenMode[],
  connect: ["prefer", "require", "require-peer", "off"] satisfies MptcpMode[],
};

/** Throws a `TypeError` for a common option of the wrong type. */
export function checkCommonOptions(options: CommonOptions, role: "listen" | "connect"): void {
  const { mptcp, netns, socketOptions } = options;
  if (mptcp !== undefined && !MODES[role].includes(mptcp)) {
    const modes = MODES[role].map(show).join(", ").replace(/, (?=[^,]*$)/, " or ");
    throw new TypeError(`Invalid mptcp: expected ${modes}, got ${show(mptcp)}`);
  }
  if (mptcp === "require-peer" && socketOptions?.fastOpen) {
    throw new TypeError(
      'Invalid mptcp: "require-peer" does not work with socketOptions.fastOpen, which delays the ' +
        'handshake until the first write: use "require", and check `protocol` after it',
    );
  }
  if (netns !== undefined) checkHostname(netns, "netns");
  if (socketOptions !== undefined) checkSocketOptions(socketOptions, role);
}

/** Throws a `TypeError` unless the value is an `AbortSignal` or left out. */
export function checkSignal(value: unknown): void {
  if (value === undefined || value instanceof AbortSignal) return;
  throw new TypeError(`Invalid signal: expected an AbortSignal, got ${show(value)}`);
}

/** Throws a `TypeError` unless the value is a boolean or left out. */
export function checkBoolean(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "boolean") {
    throw new TypeError(`Invalid ${name}: expected a boolean, got ${show(value)}`);
  }
}

/** Throws a `TypeError` unless the value is an integer of at least `min`, or left out. */
export function checkInteger(name: string, value: unknown, min: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= min)) return;
  throw new TypeError(
    `Invalid ${name}: expected an integer of at least ${min}, got ${show(value)}`,
  );
}
