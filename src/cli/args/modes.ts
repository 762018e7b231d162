/**
 * The options that say which protocol to use.
 *
 * @module
 */

import type { ListenMode, MptcpMode } from "../../types.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import type { Option } from "./command.ts";

const MODES: readonly MptcpMode[] = ["prefer", "require", "require-peer", "off"];

/** Which protocol a connection uses. */
export const MODE_OPTIONS: readonly Option[] = [
  {
    name: "mptcp",
    value: "MODE",
    choices: MODES,
    summary:
      "prefer: use TCP if MPTCP is unavailable (default). require: use MPTCP sockets only. " +
      "require-peer: fail unless the server agrees to MPTCP. off: use TCP",
  },
  { name: "no-mptcp", summary: "Same as --mptcp off" },
  { name: "require-mptcp", summary: "Same as --mptcp require-peer" },
];

/** Which protocol a listener uses. */
export const LISTEN_MODE_OPTIONS: readonly Option[] = [
  {
    name: "mptcp",
    value: "MODE",
    choices: ["prefer", "require", "off"],
    summary:
      "prefer: use TCP if MPTCP is unavailable (default). require: fail instead. off: use TCP",
  },
  { name: "no-mptcp", summary: "Same as --mptcp off" },
  { name: "require-mptcp", summary: "Same as --mptcp require" },
];

/** The mode that is asked for, by one of {@linkcode MODE_OPTIONS}. */
export function readMode(args: Arguments): MptcpMode {
  return readGivenMode(args, "require-peer") ?? "prefer";
}

/** The mode of a listener, of {@linkcode LISTEN_MODE_OPTIONS} or of the prefix of its address. */
export function readListenMode(args: Arguments, prefix: ListenMode): ListenMode {
  const mode = readGivenMode(args, "require");
  if (mode !== null && prefix !== "prefer") {
    throw new UsageError(
      `--mptcp cannot be combined with the prefix "mptcp@" or "tcp@" of the address`,
    );
  }
  return mode ?? prefix;
}

function readGivenMode<T extends MptcpMode>(args: Arguments, required: T): T | "off" | null {
  const given = ["mptcp", "no-mptcp", "require-mptcp"].filter((name) => args.has(name));
  if (given.length > 1) throw new UsageError(`--${given[0]} and --${given[1]} exclude each other`);
  if (args.has("no-mptcp")) return "off";
  if (args.has("require-mptcp")) return required;
  return (args.text("mptcp") ?? null) as T | null;
}
