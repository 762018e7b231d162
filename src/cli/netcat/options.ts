/**
 * What `connect` and `listen` are told.
 *
 * @module
 */

import {
  type ConnectMptcpOptions,
  type ListenMptcpOptions,
  MptcpError,
  type ParsedAddress,
  type SocketOptions,
} from "../../../mod.ts";
import { parseOperand, remoteOptions, sourceOptions } from "../args/addresses.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import type { Option } from "../args/command.ts";
import { NETNS, type NetnsOptions, readNetnsOptions } from "../args/common_options.ts";
import {
  CONNECT_TIMEOUT,
  type ConnectTimeoutOptions,
  FAMILY_OPTIONS,
  readConnectTimeout,
  withFamily,
} from "../args/connecting.ts";
import { readDescriptors } from "../args/descriptors.ts";
import type { Telling } from "./connection_log.ts";

/** Options of both. */
export const NETCAT_OPTIONS: readonly Option[] = [
  {
    name: "verbose",
    short: "v",
    summary: "Report the protocol and the subflows on standard error",
  },
  { name: "no-stdin", short: "d", summary: "Do not read standard input, and send nothing" },
  { name: "mss", value: "BYTES", summary: "Set the maximum segment size (TCP_MAXSEG)" },
  NETNS,
];

/** Options of `connect` alone. */
export const CONNECT_OPTIONS: readonly Option[] = [
  CONNECT_TIMEOUT,
  {
    name: "timeout",
    short: "w",
    value: "SECONDS",
    summary: "Give up if connecting takes longer, or if no data moves for this long",
  },
  {
    name: "source",
    short: "s",
    value: "ADDRESS[:PORT]",
    summary: "Connect from this address or port",
  },
  ...FAMILY_OPTIONS,
  ...NETCAT_OPTIONS,
];

/** The paragraph of the help on --verbose and --json. */
export const TELLING_DETAILS =
  `-v reports on standard error whether the connection uses MPTCP, or why it is TCP, when subflows open
and close, and how many bytes each one carried. --json reports the same as one JSON object per line on
standard error. Its "event" is "listening", "accepted", "connected", "subflow", "subflow-closed" or
"closed".`;

/** What both are told. */
export interface NetcatOptions extends NetnsOptions {
  /** Whether and how to report connections. */
  readonly telling: Telling;
  /** Whether to send standard input. */
  readonly stdin: boolean;
  /** Seconds without a byte after which a connection is given up. */
  readonly idle: number | undefined;
  /** The kernel options that are asked for. */
  readonly socket: { readonly socketOptions?: SocketOptions };
}

/** What `connect` is told. */
export interface ConnectCommandOptions extends NetcatOptions, ConnectTimeoutOptions {
  /** Where to connect to, and from. */
  readonly remote: ConnectMptcpOptions & { readonly hostname: string };
}

/** What `listen` is told. */
export interface ListenCommandOptions extends NetcatOptions {
  /** Where to listen: an address, or sockets that there are already. */
  readonly place: ParsedAddress | readonly ListenMptcpOptions[];
  /** Whether to take one connection after the other. */
  readonly keepOpen: boolean;
}

function readNetcatOptions(args: Arguments): NetcatOptions {
  const maxSegment = args.number("mss", { min: 1, max: 65535 });
  const common = readNetnsOptions(args);
  return {
    ...common,
    telling: common.json ? "json" : args.has("verbose") ? "lines" : "nothing",
    stdin: !args.has("no-stdin"),
    idle: args.number("timeout", { integer: false }),
    socket: maxSegment === undefined ? {} : { socketOptions: { maxSegment } },
  };
}

/** Reads the command line of `connect`. */
export function readConnectOptions(args: Arguments): ConnectCommandOptions {
  const options = readNetcatOptions(args);
  const timeout = readConnectTimeout(args);
  return {
    ...options,
    connectTimeout: Math.min(timeout.connectTimeout, options.idle ?? Infinity),
    remote: {
      ...withFamily(args, remoteOptions(args.operands[0]!)),
      ...options.netns,
      ...sourceOptions(args.text("source")),
      ...options.socket,
    },
  };
}

/** Reads the command line of `listen`. */
export function readListenOptions(args: Arguments): ListenCommandOptions {
  const [operand] = args.operands as [string];
  const options = { ...readNetcatOptions(args), keepOpen: args.has("keep-open") };
  const descriptors = readDescriptors(operand, args);
  if (descriptors !== null) {
    if (args.has("netns")) {
      throw new UsageError(`${operand} is an open socket: --netns has no effect on it`);
    }
    return { ...options, place: descriptors };
  }
  const place = parseOperand(operand);
  if (place.port === undefined) throw new UsageError(`"${operand}" has no port to listen on`);
  return { ...options, place };
}

/** An error in the words of the command line where it is about one of {@linkcode NETCAT_OPTIONS}. */
export function explainRefusal(error: unknown): unknown {
  if (!(error instanceof MptcpError) || !error.message.includes("TCP_MAXSEG")) return error;
  const { code, syscall } = error;
  const advice = code === "EINVAL"
    ? "Linux accepts 88 to 32767"
    : "leave --mss out, or put tcp@ before the address";
  return new MptcpError(`the kernel refused the value of --mss (${code}): ${advice}`, {
    code,
    ...(syscall !== undefined && { syscall }),
    cause: error,
  });
}
