/**
 * Connecting as `net.connect` does: the name is looked up here, or by the caller's function, so that the
 * socket can report every step.
 *
 * @module
 */

import { AF_INET, AF_INET6 } from "../../ffi/linux/abi.ts";
import { unsupportedPlatform } from "../../ffi/runtime.ts";
import { isIP } from "node:net";
import { checkNetPermission, resolveTargets } from "../net/address.ts";
import { connectMptcp } from "../net/connect.ts";
import { abortable, type Contender, happyEyeballs, interleave } from "../net/happy_eyeballs.ts";
import type { ConnectMptcpOptions, MptcpConn } from "../types.ts";
import { badAddress, badFamily, noAddress } from "./errors.ts";
import type { CreateConnectionOptions, LookupAddress, LookupFunction } from "./types.ts";

/** RFC 8305, section 5. */
const DEFAULT_ATTEMPT_DELAY = 250;

/** The observer of each step. */
export interface DialObserver {
  onLookup(error: Error | null, address?: string, family?: number, host?: string): void;
  onAttempt(address: string, port: number, family: number): void;
  onAttemptFailed(address: string, port: number, family: number, error: unknown): void;
}

/** Connects; rejects with what failed, or the signal's reason. */
export async function dial(
  options: CreateConnectionOptions,
  observer: DialObserver,
  signal: AbortSignal,
): Promise<MptcpConn> {
  const { host = "localhost", lookup } = options;
  const port = Number(options.port);
  const family = isIP(host);
  const how = connectOptions(options, signal);
  if (family !== 0) return await new AddressAttempt(host, family, port, how, observer).connect();
  // The runtime's own TCP looks names up by itself.
  if (lookup === undefined && unsupportedPlatform() !== null) {
    return await connectMptcp({ ...how, hostname: host });
  }
  checkNetPermission(host, port);
  const addresses = await findAddresses(options, host, observer, signal);
  // As Node: without Happy Eyeballs the first address is the only one.
  const tried = options.autoSelectFamily === false ? addresses.slice(0, 1) : interleave(addresses);
  const contenders = tried.map(({ address, family }) =>
    new AddressAttempt(address, family, port, how, observer)
  );
  return await happyEyeballs(contenders, {
    hostname: host,
    port,
    signal,
    autoSelectFamily: options.autoSelectFamily ?? true,
    autoSelectFamilyAttemptDelay: options.autoSelectFamilyAttemptTimeout ?? DEFAULT_ATTEMPT_DELAY,
  });
}

/** What `connectMptcp` is to be told, but for the address. */
function connectOptions(
  options: CreateConnectionOptions,
  signal: AbortSignal,
): ConnectMptcpOptions {
  const { mptcp, dualStack, netns, localAddress, localPort, noDelay, socketOptions } = options;
  return {
    port: Number(options.port),
    signal,
    ...(mptcp !== undefined && { mptcp }),
    ...(dualStack !== undefined && { dualStack }),
    ...(netns !== undefined && { netns }),
    ...(localAddress && { localAddress }),
    ...(localPort !== undefined && { localPort }),
    socketOptions: { ...socketOptions, ...(noDelay !== undefined && { noDelay }) },
  };
}

/** The address family of the options: 4, 6 or 0 for both. */
function requestedFamily({ family = 0 }: CreateConnectionOptions): 0 | 4 | 6 {
  if (family === 6 || family === "IPv6") return 6;
  return family === 4 || family === "IPv4" ? 4 : 0;
}

async function findAddresses(
  options: CreateConnectionOptions,
  host: string,
  { onLookup }: DialObserver,
  signal: AbortSignal,
): Promise<LookupAddress[]> {
  const { lookup } = options;
  try {
    const addresses = await abortable(
      lookup === undefined ? lookUp(options, host) : lookUpBy(lookup, options, host),
      signal,
    );
    for (const { address, family } of addresses) onLookup(null, address, family, host);
    return addresses;
  } catch (error) {
    if (!signal.aborted) onLookup(error as Error, undefined, undefined, host);
    throw error;
  }
}

/** Looks a name up by libc. */
async function lookUp(options: CreateConnectionOptions, host: string): Promise<LookupAddress[]> {
  const targets = await resolveTargets(
    host,
    Number(options.port),
    requestedFamily(options) || undefined,
  );
  return targets.map(({ hostname, family }) => ({
    address: hostname,
    family: family === AF_INET6 ? 6 : family === AF_INET ? 4 : family,
  }));
}

/** Looks a name up by the caller's function. */
function lookUpBy(
  lookup: LookupFunction,
  options: CreateConnectionOptions,
  host: string,
): Promise<LookupAddress[]> {
  const family = requestedFamily(options);
  const { hints = 0, autoSelectFamily = true, localAddress } = options;
  const all = autoSelectFamily && family === 0 && !localAddress;
  const { promise, resolve, reject } = Promise.withResolvers<LookupAddress[]>();
  lookup(host, { family, hints, ...(all && { all }) }, (error, address, found = 0) => {
    if (error) reject(error);
    else resolve(Array.isArray(address) ? address : [{ address, family: found }]);
  });
  return promise.then((addresses) => {
    if (addresses.length === 0) throw noAddress(host);
    return addresses.map(({ address, family }) => {
      const actual = isIP(address);
      if (actual === 0) throw badAddress(address);
      // One that is left out is known.
      if (![undefined, 0, 4, 6].includes(family)) {
        throw badFamily(family, host, Number(options.port));
      }
      return { address, family: actual };
    });
  });
}

/** An attempt at one address. */
class AddressAttempt implements Contender<MptcpConn> {
  readonly #address: string;
  readonly #family: number;
  readonly #port: number;
  readonly #options: ConnectMptcpOptions;
  readonly #observer: DialObserver;
  readonly #abort = new AbortController();

  constructor(
    address: string,
    family: number,
    port: number,
    options: ConnectMptcpOptions,
    observer: DialObserver,
  ) {
    this.#address = address;
    this.#family = family;
    this.#port = port;
    this.#options = options;
    this.#observer = observer;
  }

  async connect(): Promise<MptcpConn> {
    const { signal: outer } = this.#options;
    outer!.throwIfAborted();
    const forward = () => this.#abort.abort(outer!.reason);
    outer!.addEventListener("abort", forward);
    this.#observer.onAttempt(this.#address, this.#port, this.#family);
    try {
      const { signal } = this.#abort;
      return await connectMptcp({ ...this.#options, hostname: this.#address, signal });
    } catch (error) {
      if (!this.#abort.signal.aborted) {
        this.#observer.onAttemptFailed(this.#address, this.#port, this.#family, error);
      }
      throw error;
    } finally {
      outer!.removeEventListener("abort", forward);
    }
  }

  cancel(): void {
    this.#abort.abort();
  }
}
