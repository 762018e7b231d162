/**
 * What `mptcp serve` is told.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { ListenMptcpOptions } from "../../types.ts";
import { parseOperand } from "../args/addresses.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import { type CommonOptions, readCommonOptions } from "../args/common_options.ts";
import { readDescriptors } from "../args/descriptors.ts";
import { readListenMode } from "../args/modes.ts";

/** What to serve, where, and what to say about it. */
export interface ServeCommandOptions extends CommonOptions {
  /** The folder. */
  readonly folder: string;
  /** Whether to serve names that begin with a dot. */
  readonly hidden: boolean;
  /** Whether to answer a folder by the list of what is in it. */
  readonly listing: boolean;
  /** Whether to print an access log. */
  readonly log: boolean;
  /** Certificate and key in PEM; empty for plain HTTP. */
  readonly tls: { readonly cert?: string; readonly key?: string };
  /** Where to listen: a range of ports is several places. */
  readonly places: readonly ListenMptcpOptions[];
}

const DEFAULT_PORT = 8000;

/** Reads the command line of `serve`, and the files of its certificate. */
export function readServeOptions(args: Arguments): ServeCommandOptions {
  return {
    ...readCommonOptions(args),
    folder: args.operands[0] ?? ".",
    hidden: args.has("hidden"),
    listing: !args.has("no-listing"),
    log: !args.has("quiet"),
    tls: readTls(args),
    places: readPlaces(args),
  };
}

function readTls(args: Arguments): ServeCommandOptions["tls"] {
  const [cert, key] = [args.text("cert"), args.text("key")];
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError("--cert and --key must be given together");
  }
  if (cert === undefined) return {};
  return { cert: readPem("cert", cert), key: readPem("key", key!) };
}

function readPem(option: string, file: string): string {
  let text;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`--${option}: ${(error as Error).message}`);
  }
  if (text.includes("-----BEGIN ")) return text;
  throw new Error(`--${option}: ${file} is not in PEM format`);
}

function readPlaces(args: Arguments): ListenMptcpOptions[] {
  const given = args.text("listen") ?? `:${DEFAULT_PORT}`;
  const descriptors = readDescriptors(given, args);
  if (descriptors !== null) return descriptors;
  const address = parseOperand(given, "--listen");
  const { family, port = DEFAULT_PORT, lastPort = port } = address;
  const mptcp = readListenMode(args, address.mptcp);
  const hostname = address.hostname || (family === 4 || !hasIpv6() ? "0.0.0.0" : "::");
  return Array.from({ length: lastPort - port + 1 }, (_, i) => ({
    hostname,
    port: port + i,
    mptcp,
    ...(family === 6 && { ipv6Only: true }),
  }));
}

/** Whether a socket on "::" can be bound, which takes IPv4 too. */
function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ family }) => family === "IPv6")
  );
}
