/**
 * What `connect` and `listen` have in common.
 *
 * @module
 */

import { MptcpError, type SocketOptions } from "../../../mod.ts";
import type { Arguments } from "../args/arguments.ts";
import type { Option } from "../args/command.ts";
import { NETNS } from "../args/common_options.ts";
import type { Telling } from "./connection_log.ts";

/** Options of both. */
export const NETCAT_OPTIONS: readonly Option[] = [
  { name: "verbose", short: "v", summary: "Tell on standard error what the connection is" },
  { name: "no-stdin", short: "d", summary: "Send nothing, and read no standard input" },
  { name: "mss", value: "BYTES", summary: "The largest segment (TCP_MAXSEG)" },
  NETNS,
];

/** The paragraphs of the help on what is told, and how. */
export const TELLING_DETAILS =
  `-v tells on standard error whether it is MPTCP, or why it is TCP, which subflows come and go, and
how much went over each. --json tells the same as a JSON object on each line there, with an
"event": "listening", "accepted", "connected", "subflow", "subflow-closed" and "closed".`;

/** Whether and how to tell of connections. */
export function tellingOf(args: Arguments): Telling {
  return args.has("json") ? "json" : args.has("verbose") ? "lines" : "nothing";
}

/** The kernel options that are asked for. */
export function socketOptionsOf(args: Arguments): { socketOptions?: SocketOptions } {
  const maxSegment = args.number("mss", { min: 1, max: 65535 });
  return maxSegment === undefined ? {} : { socketOptions: { maxSegment } };
}

/** An error in the words of the command line where it is about one of {@linkcode NETCAT_OPTIONS}. */
export function explainRefusal(error: unknown): unknown {
  if (!(error instanceof MptcpError) || !error.message.includes("TCP_MAXSEG")) return error;
  const { code, syscall } = error;
  const advice = code === "EINVAL"
    ? "Linux takes 88 to 32767"
    : "leave --mss out, or put tcp@ before the address";
  return new MptcpError(`the kernel refuses this --mss (${code}): ${advice}`, {
    code,
    ...(syscall !== undefined && { syscall }),
    cause: error,
  });
}
