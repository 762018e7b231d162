/**
 * What the two ends of a benchmark are told.
 *
 * @module
 */

import { networkInterfaces } from "node:os";
import type { ConnectMptcpOptions, ListenMptcpOptions } from "../../types.ts";
import { parseOperand, remoteOptions } from "../args/addresses.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import { type CommonOptions, readCommonOptions } from "../args/common_options.ts";
import { type ConnectTimeoutOptions, readConnectTimeout, withFamily } from "../args/connecting.ts";
import { type Direction, type Hello, PROTOCOL } from "./protocol.ts";

/** That of iperf3. */
const PORT = 5201;

/** Seconds that a test can last, whoever asks for it. */
export const MAX_SECONDS = 86_400;

/** What `bench server` is told. */
export interface BenchServerOptions extends CommonOptions {
  /** Where to listen. */
  readonly listen: ListenMptcpOptions;
  /** Whether to end after one test. */
  readonly once: boolean;
  /** Seconds that a test may last. */
  readonly maxTime: number;
}

/** What `bench client` is told. */
export interface BenchClientOptions extends CommonOptions, ConnectTimeoutOptions {
  /** Where to connect to. */
  readonly remote: ConnectMptcpOptions & { readonly hostname: string };
  /** The test that is asked for. */
  readonly hello: Hello;
  /** Milliseconds between two lines. */
  readonly interval: number;
  /** Whether a connection that is TCP is a failure. */
  readonly requireMptcp: boolean;
}

/** Reads the command line of `bench server`. */
export function readServerOptions(args: Arguments): BenchServerOptions {
  return {
    ...readCommonOptions(args),
    listen: listenOptions(args.operands[0]),
    once: args.has("once"),
    maxTime: args.number("max-time", { min: 0.1, max: MAX_SECONDS, integer: false }) ?? 3600,
  };
}

/** Reads the command line of `bench client`. */
export function readClientOptions(args: Arguments): BenchClientOptions {
  return {
    ...readCommonOptions(args),
    ...readConnectTimeout(args),
    remote: withFamily(args, remoteOptions(args.operands[0]!, PORT)),
    hello: readHelloOptions(args),
    interval: (args.number("interval", { min: 0.1, integer: false }) ?? 1) * 1000,
    requireMptcp: args.has("require-mptcp"),
  };
}

/** Where the server listens. */
function listenOptions(text: string | undefined): ListenMptcpOptions {
  const { mptcp, family, hostname, port = PORT, lastPort = port } = parseOperand(
    text ?? `:${PORT}`,
  );
  if (lastPort !== port) {
    throw new UsageError(`"${text}" names several ports: bench server takes one`);
  }
  const isIpv6 = family !== 4 &&
    Object.values(networkInterfaces()).some((addresses) =>
      addresses?.some(({ family }) => family === "IPv6")
    );
  return {
    mptcp,
    hostname: hostname || (isIpv6 ? "::" : "0.0.0.0"),
    port,
    ...(family === 6 && { ipv6Only: true }),
  };
}

function readHelloOptions(args: Arguments): Hello {
  for (const [a, b] of [["reverse", "bidirectional"], ["time", "bytes"]] as const) {
    if (args.has(a) && args.has(b)) throw new UsageError(`--${a} and --${b} exclude each other`);
  }
  const bytes = args.bytes("bytes") ?? null;
  if (bytes === 0) throw new UsageError("--bytes must be more than 0");
  const seconds = args.number("time", { min: 0.1, max: MAX_SECONDS, integer: false }) ?? 10;
  const direction: Direction = args.has("reverse")
    ? "download"
    : args.has("bidirectional")
    ? "both"
    : "upload";
  return {
    protocol: PROTOCOL,
    type: "test",
    id: crypto.randomUUID(),
    direction,
    streams: args.number("parallel", { min: 1, max: 128 }) ?? 1,
    seconds: bytes === null ? seconds : null,
    bytes,
  };
}
