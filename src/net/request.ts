/**
 * What the caller asked for, checked and complete: every default of `listenMptcp` and `connectMptcp`
 * is decided here, whichever backend serves the request.
 *
 * @module
 */

import { parseIp } from "../../ffi/linux/sockaddr.ts";
import { addressOptions, checkHostname, checkPort, type Family } from "./address.ts";
import { checkBoolean, checkCommonOptions, checkInteger, checkSignal } from "./options.ts";
import { show } from "../show.ts";
import type {
  ConnectMptcpOptions,
  ListenMode,
  ListenMptcpOptions,
  MptcpMode,
  SocketOptions,
} from "../types.ts";

const DEFAULT_BACKLOG = 511;
/** RFC 8305, section 5. */
const DEFAULT_ATTEMPT_DELAY = 250;

/** What every socket is asked for with. */
interface SocketRequest {
  readonly hostname: string;
  readonly port: number;
  /** The family to look a name up in. */
  readonly family: Family;
  readonly netns: string | undefined;
  readonly socketOptions: SocketOptions;
}

/** A listener that is asked for. */
export interface ListenRequest extends SocketRequest {
  readonly mptcp: ListenMode;
  readonly tcpBacklog: number;
  readonly reusePort: boolean;
  readonly ipv6Only: boolean;
}

/** A connection that is asked for. */
export interface ConnectRequest extends SocketRequest {
  readonly mptcp: MptcpMode;
  readonly signal: AbortSignal | undefined;
  readonly autoSelectFamily: boolean;
  readonly autoSelectFamilyAttemptDelay: number;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  readonly dualStack: boolean;
}

/** A listener that is asked for by the descriptor of a socket that listens. */
export interface DescriptorRequest {
  readonly fd: number;
  readonly mptcp: ListenMode;
  /** `undefined` to leave it as it is. */
  readonly tcpBacklog: number | undefined;
  readonly socketOptions: SocketOptions;
}

/** The options themselves, or what an address in text says. */
export function givenOptions<T>(options: T | string): T | ReturnType<typeof addressOptions> {
  if (typeof options === "string") return addressOptions(options);
  if (typeof options === "object" && options !== null) return options;
  throw new TypeError(`Invalid options: expected an object or a string, got ${show(options)}`);
}

/** Checks what `listenMptcp` was given, and fills in the defaults. */
export function toListenRequest(
  given: ListenMptcpOptions & { readonly family?: Family },
): ListenRequest {
  checkCommonOptions(given, "listen");
  checkInteger("tcpBacklog", given.tcpBacklog, 0);
  const hostname = checkHostname(given.hostname ?? (given.family === 6 ? "::" : "0.0.0.0"));
  const port = checkPort(given.port ?? 0);
  checkBoolean("reusePort", given.reusePort);
  checkBoolean("ipv6Only", given.ipv6Only);
  return {
    hostname,
    port,
    family: given.family,
    mptcp: given.mptcp ?? "prefer",
    tcpBacklog: given.tcpBacklog ?? DEFAULT_BACKLOG,
    reusePort: given.reusePort ?? false,
    ipv6Only: given.ipv6Only ?? false,
    netns: given.netns,
    socketOptions: given.socketOptions ?? {},
  };
}

/** What is decided when a socket is made. */
const DECIDED_BEFORE = ["hostname", "port", "reusePort", "ipv6Only", "netns"] as const;

/** Checks what `listenMptcp` was given beside a descriptor. */
export function toDescriptorRequest(fd: number, given: ListenMptcpOptions): DescriptorRequest {
  checkCommonOptions(given, "listen");
  checkInteger("tcpBacklog", given.tcpBacklog, 0);
  for (const name of DECIDED_BEFORE) {
    if (given[name] === undefined) continue;
    throw new TypeError(`Invalid options: fd and ${name} exclude each other`);
  }
  const { mptcp = "prefer", tcpBacklog, socketOptions = {} } = given;
  return { fd, mptcp, tcpBacklog, socketOptions };
}

/** Checks what `connectMptcp` was given, and fills in the defaults. */
export function toConnectRequest(options: ConnectMptcpOptions | string): ConnectRequest {
  const given: Partial<ConnectMptcpOptions> & { family?: Family } = givenOptions(options);
  const port = checkPort(given.port);
  const hostname = checkHostname(given.hostname ?? (given.family === 6 ? "::1" : "127.0.0.1"));
  checkCommonOptions(given, "connect");
  checkBoolean("dualStack", given.dualStack);
  checkBoolean("autoSelectFamily", given.autoSelectFamily);
  checkInteger("autoSelectFamilyAttemptDelay", given.autoSelectFamilyAttemptDelay, 0);
  checkSignal(given.signal);
  checkLocalAddress(given.localAddress);
  return {
    hostname,
    port,
    family: given.family,
    mptcp: given.mptcp ?? "prefer",
    signal: given.signal,
    autoSelectFamily: given.autoSelectFamily ?? true,
    autoSelectFamilyAttemptDelay: given.autoSelectFamilyAttemptDelay ?? DEFAULT_ATTEMPT_DELAY,
    localAddress: given.localAddress,
    localPort: given.localPort === undefined ? undefined : checkPort(given.localPort),
    dualStack: given.dualStack ?? true,
    netns: given.netns,
    socketOptions: given.socketOptions ?? {},
  };
}

function checkLocalAddress(address: unknown): void {
  if (address === undefined || parseIp(checkHostname(address, "localAddress")) !== null) return;
  throw new TypeError(`Invalid localAddress: ${show(address)} is not an IP address`);
}
