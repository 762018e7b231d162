/**
 * What `mptcp doctor` is told.
 *
 * @module
 */

import type { ListenMptcpOptions } from "../../types.ts";
import { parseOperand, remoteOptions } from "../args/addresses.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import { type NetnsOptions, readNetnsOptions } from "../args/common_options.ts";
import { type ConnectTimeoutOptions, readConnectTimeout, withFamily } from "../args/connecting.ts";

/** Where a doctor listens, and is looked for, unless told otherwise. */
export const DOCTOR_PORT = 5202;

/** The other end. */
export type Remote = ReturnType<typeof remoteOptions>;

/** What to examine, and how. */
export interface DoctorOptions extends NetnsOptions, ConnectTimeoutOptions {
  /** The other end; `null` to be it. */
  readonly remote: Remote | null;
  /** Where to be the other end. */
  readonly listen: ListenMptcpOptions;
  /** Milliseconds to wait for further paths. */
  readonly wait: number;
  /** Whether to send a request to a server that does not run `mptcp doctor`. */
  readonly data: boolean;
  /** The file to write packets to. */
  readonly pcap: string | null;
}

/** Reads the command line of `doctor`. */
export function readDoctorOptions(args: Arguments): DoctorOptions {
  const [text] = args.operands;
  const isServer = args.has("listen");
  if (!isServer && text === undefined) throw new UsageError("expected HOST[:PORT], or --listen");
  const common = readNetnsOptions(args);
  return {
    ...common,
    ...readConnectTimeout(args),
    remote: isServer ? null : withFamily(args, remoteOptions(text!, DOCTOR_PORT)),
    listen: isServer ? { ...readListen(text ?? `:${DOCTOR_PORT}`), ...common.netns } : {},
    wait: 1000 * (args.number("wait", { integer: false }) ?? 3),
    data: !args.has("no-data"),
    pcap: args.text("pcap") ?? null,
  };
}

function readListen(text: string): ListenMptcpOptions {
  const { hostname, port = DOCTOR_PORT, lastPort = port, mptcp } = parseOperand(text);
  if (lastPort !== port) throw new UsageError(`"${text}" names several ports: only one is allowed`);
  return { hostname: hostname || "::", port, mptcp };
}
