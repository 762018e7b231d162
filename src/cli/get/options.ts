/**
 * What `mptcp get` is told.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import type { MptcpMode } from "../../types.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import { type CommonOptions, readCommonOptions } from "../args/common_options.ts";
import {
  checkFamily,
  type ConnectTimeoutOptions,
  readConnectTimeout,
  readFamily,
} from "../args/connecting.ts";
import { readMode } from "../args/modes.ts";
import { StatusError } from "../ui/status_error.ts";
import { type ExpectedDigest, readChecksum } from "./digest.ts";
import type { GetRequest } from "./request.ts";
import { readRequest } from "./request_options.ts";

/** What to fetch, how, where to, and what to say about it. */
export interface GetOptions extends CommonOptions, ConnectTimeoutOptions {
  /** The request. */
  readonly request: GetRequest;
  /** The file to write to; `null` for standard output. */
  readonly path: string | null;
  /** Whether anything may go to a terminal. */
  readonly raw: boolean;
  /** Whether to resume from the partial file. */
  readonly resume: boolean;
  /** Whether to report the connection, the request and the response. */
  readonly verbose: boolean;
  /** Whether heads go before the body. */
  readonly include: boolean;
  /** Whether to request the headers only. */
  readonly head: boolean;
  /** Whether to follow redirects. */
  readonly follow: boolean;
  /** Whether to print no progress and no notes. */
  readonly silent: boolean;
  /** Whether to print no errors either. */
  readonly quiet: boolean;
  /** Whether an answer of 400 or more is a failure. */
  readonly fail: boolean;
  /** Seconds for all of it. */
  readonly maxTime: number | undefined;
  /** Which protocol to use. */
  readonly mptcp: MptcpMode;
  /** Which addresses to use; `undefined` for both families. */
  readonly family: 4 | 6 | undefined;
  /** How often to try again what may pass. */
  readonly retries: number;
  /** Whether a body is unpacked that comes compressed. */
  readonly unpack: boolean;
  /** The digest that the body has to have. */
  readonly checksum: ExpectedDigest | null;
  /** Certificates of further authorities, in PEM. */
  readonly caCerts: readonly string[];
}

/** Reads the command line of `get`, and the files that it names. */
export function readGetOptions(args: Arguments): GetOptions {
  const path = readOutput(args);
  const [head, include, resume] = [args.has("head"), args.has("include"), args.has("continue-at")];
  const common = readCommonOptions(args);
  if (common.json && path === null && !head) {
    throw new UsageError("--json prints on standard output, and so does the body: add -o FILE");
  }
  if (resume && (path === null || include)) {
    throw new UsageError("--continue-at needs a file to resume: add -o FILE or -O");
  }
  const request = readRequest(args);
  // Deno unpacks by what was asked for.
  const unpack = request.headers.get("accept-encoding") !== "identity";
  if (resume && unpack) {
    throw new UsageError(
      "--continue-at cannot resume a compressed response: leave --compressed out",
    );
  }
  const family = readFamily(args);
  checkFamily(request.url.hostname, family);
  return {
    ...common,
    ...readConnectTimeout(args),
    request,
    path,
    raw: args.text("output") === "-",
    resume,
    verbose: args.has("verbose"),
    include,
    head,
    follow: args.has("location"),
    silent: args.has("silent"),
    quiet: args.has("silent") && !args.has("show-error"),
    fail: args.has("fail"),
    maxTime: args.number("max-time", { integer: false }),
    mptcp: readMode(args),
    family,
    retries: args.number("retry", { max: 1_000_000 }) ?? 0,
    unpack,
    checksum: readGivenChecksum(args),
    caCerts: readAuthorities(args.text("cacert")),
  };
}

function readGivenChecksum(args: Arguments): ExpectedDigest | null {
  const text = args.text("checksum");
  if (text === undefined) return null;
  const checksum = readChecksum(text);
  if (checksum !== null) return checksum;
  throw new UsageError(
    `--checksum takes sha-256=VALUE, or sha-512, sha-1 or md5, in hex or base64, not "${text}"`,
  );
}

function readOutput(args: Arguments): string | null {
  const path = args.text("output");
  if (!args.has("remote-name")) return path === undefined || path === "-" ? null : path;
  if (path !== undefined) throw new UsageError("--output and --remote-name exclude each other");
  const name = /([^/?#]*)([?#].*)?$/.exec(args.operands[0]!.replace(/^[^:/]+:\/\/[^/]*/, ""))![1]!;
  if (name === "" || /^\.{1,2}$/.test(name)) {
    throw new UsageError(`"${args.operands[0]}" does not end with a file name: use -o FILE`);
  }
  return name;
}

function readAuthorities(file: string | undefined): string[] {
  if (file === undefined) return [];
  let text;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new StatusError(77, `--cacert: cannot read ${file}: ${(error as Error).message}`);
  }
  if (text.includes("-----BEGIN CERTIFICATE-----")) return [text];
  throw new StatusError(77, `--cacert: ${file} contains no certificate in PEM format`);
}
