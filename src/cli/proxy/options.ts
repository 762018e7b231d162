/**
 * What `mptcp proxy` is told.
 *
 * @module
 */

import type { ProxyHeaderVersion, ProxyMptcpOptions } from "../../proxy/types.ts";
import { parseOperand } from "../args/addresses.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import { type CommonOptions, readCommonOptions } from "../args/common_options.ts";
import { readDescriptors } from "../args/descriptors.ts";
import type { ListenMptcpOptions } from "../../types.ts";

/** Where the counters are served: a Unix socket, or an address. */
export type StatusPlace =
  | { readonly path: string }
  | { readonly host: string; readonly port: number };

/** What to pass on, how, and what to say about it. */
export interface ProxyCommandOptions extends CommonOptions {
  /** Whether to print no line for connections. */
  readonly quiet: boolean;
  /** Where to serve the counters; `null` for nowhere. */
  readonly status: StatusPlace | null;
  /** Milliseconds to finish after a signal; for ever where left out. */
  readonly drainTimeout: number | undefined;
  /** The proxy itself. */
  readonly proxy: ProxyMptcpOptions;
}

const SECONDS = { integer: false, max: 1_000_000 };

/** Reads the command line of `proxy`. */
export function readProxyOptions(args: Arguments): ProxyCommandOptions {
  const [front, ...back] = args.operands as [string, ...string[]];
  const fronts = [front, ...args.texts("front")].flatMap((address) => readFront(address, args));
  for (const address of back) parseOperand(address);
  const timeout = milliseconds(args, "header-timeout");
  const maxSegment = args.number("mss", { min: 1, max: 65535 });
  return {
    ...readCommonOptions(args),
    quiet: args.has("quiet"),
    status: readStatusPlace(args.text("status")),
    drainTimeout: milliseconds(args, "drain-timeout"),
    proxy: {
      ...withoutUndefined({
        tcpBacklog: args.number("backlog", { max: 0x7fffffff }),
        maxConnections: args.number("max-connections", { min: 1, max: 0x7fffffff }),
        connectTimeout: milliseconds(args, "connect-timeout"),
        idleTimeout: milliseconds(args, "idle-timeout"),
        sendProxy: args.text("proxy-protocol") as ProxyHeaderVersion | undefined,
      }),
      front: fronts,
      back,
      reusePort: args.has("reuse-port"),
      acceptProxy: args.has("accept-proxy") && (timeout === undefined ? true : { timeout }),
      socketOptions: maxSegment === undefined ? {} : { maxSegment },
    },
  };
}

/** An address, which has been checked, or the descriptors that it stands for. */
function readFront(address: string, args: Arguments): (string | ListenMptcpOptions)[] {
  const descriptors = readDescriptors(address, args);
  if (descriptors !== null) return descriptors;
  parseOperand(address);
  return [address];
}

/** Where MPTCP goes on to a backend this machine opens the subflows; else its clients do. */
export function sideOf({ operands: [, ...backs] }: Arguments): "client" | "server" {
  return backs.some((back) => parseOperand(back).mptcp !== "off") ? "client" : "server";
}

/** A time in seconds as whole milliseconds. */
function milliseconds(args: Arguments, name: string): number | undefined {
  const seconds = args.number(name, SECONDS);
  return seconds === undefined ? undefined : Math.ceil(seconds * 1000);
}

function readStatusPlace(text: string | undefined): StatusPlace | null {
  if (text === undefined) return null;
  if (text.includes("/")) return { path: text };
  const { hostname, port, lastPort } = parseOperand(text, "--status");
  if (port === undefined || lastPort !== port) {
    throw new UsageError(`--status takes one port, or the path of a Unix socket, not "${text}"`);
  }
  return { host: hostname || "127.0.0.1", port };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(object: T): Defined<T> {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Defined<T>;
}
