/**
 * The path manager of Linux from TypeScript: which addresses MPTCP connections use, how many subflows
 * they may have, and what happens to them.
 *
 * ```ts ignore
 * import { MptcpPathManager } from "@multipath/mptcp/path-manager";
 *
 * using paths = new MptcpPathManager();
 * paths.setLimits({ subflows: 4, addAddrAccepted: 4 });
 * paths.addEndpoint({ address: "192.0.2.2", device: "eth1", signal: true });
 * for await (const event of paths.events()) console.log(event);
 * ```
 *
 * Linux 5.7 or later has it. Reading needs no privilege; changing anything and listening to events
 * needs `CAP_NET_ADMIN`. Requires `--allow-ffi` in Deno; no program is run.
 *
 * @module
 */

import { unsupportedPlatform } from "../../ffi/runtime.ts";
import { MptcpError } from "../error.ts";
import { checkHostname } from "../net/address.ts";
import type { MptcpConn } from "../types.ts";
import {
  addEndpoint,
  changeEndpoint,
  flushEndpoints,
  listEndpoints,
  removeEndpoint,
} from "../kernel/endpoints.ts";
import { EventStream, listConnections, type MptcpEvents } from "./event_stream.ts";
import { KernelPathManager } from "../kernel/mptcp_pm.ts";
import { getLimits, setLimits } from "../kernel/limits.ts";
import {
  announce,
  createSubflow,
  destroySubflow,
  setBackup,
  tokenOf,
  withdraw,
} from "./per_connection.ts";
import type {
  AnnounceOptions,
  CreateSubflowOptions,
  Endpoint,
  EndpointFlags,
  EndpointOptions,
  KernelConnection,
  PathManagerLimits,
  SubflowEnds,
} from "./types.ts";

export { MptcpError, type MptcpErrorOptions } from "../error.ts";
export { type MptcpCounters, mptcpCounters } from "../kernel/counters.ts";
export { managePaths } from "./manage/manage_paths.ts";
export type { ManagedPaths } from "./manage/managed_paths.ts";
export type * from "./manage/types.ts";
export { type DataFault, type DataFaultOptions, watchDataFaults } from "./data_faults.ts";
export type { MptcpEvents } from "./event_stream.ts";
export { collectMetrics, type MetricsOptions } from "./metrics/collect.ts";
export {
  type InstrumentOptions,
  type MetricMeter,
  type MetricObserver,
  type ObservableInstrument,
  observeMetrics,
} from "./metrics/observe.ts";
export type { MetricsFormat } from "./metrics/text.ts";
export type * from "./types.ts";

/** What `MptcpPathManager` takes. */
export interface PathManagerOptions {
  /** A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. */
  netns?: string;
}

/** What `MptcpPathManager.events` takes. */
export interface EventOptions {
  /** Ends the subscription: waiting rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Only the events of this connection, given itself or by its token; all where left out. */
  connection?: MptcpConn | number;
}

/**
 * The path manager of one network namespace. Every method asks the kernel at once and returns when it
 * has answered.
 *
 * Methods throw `MptcpError`: code "EPERM" without `CAP_NET_ADMIN`, and otherwise as the kernel
 * answers, with its own words in the message where it has some.
 *
 * @example
 * ```ts
 * import { MptcpPathManager } from "@multipath/mptcp/path-manager";
 *
 * using paths = new MptcpPathManager();
 * console.log(paths.limits(), paths.endpoints());
 * ```
 */
export class MptcpPathManager implements Disposable {
  readonly #kernel: KernelPathManager;
  readonly #netns: string | undefined;

  /**
   * Connects to the path manager.
   *
   * @throws {MptcpError} code "ENOENT" where the kernel has none, or there is no such namespace;
   * "EPERM" when the namespace may not be entered; "ERR_NOT_LINUX".
   */
  constructor(options: PathManagerOptions = {}) {
    if (options.netns !== undefined) checkHostname(options.netns, "netns");
    const platform = unsupportedPlatform();
    if (platform !== null) {
      throw new MptcpError(`The path manager is unavailable: ${platform}`, {
        code: "ERR_NOT_LINUX",
      });
    }
    this.#netns = options.netns;
    this.#kernel = new KernelPathManager(options.netns);
  }

  /** The endpoints, by id. Needs no privilege. */
  endpoints(): Endpoint[] {
    return listEndpoints(this.#kernel, this.#netns);
  }

  /**
   * Adds an endpoint. Connections that exist use it too, a client's once data has come back: they
   * announce it, or open a subflow from it, as its flags say.
   *
   * @returns The endpoint as the kernel has it, with the id that it got.
   * @throws {MptcpError} codes "EEXIST" (the address), "EBUSY" (the id), "ERANGE" (there are 8),
   * "EADDRNOTAVAIL" (a port of an address that the host does not have), "EINVAL" (flags that exclude
   * each other), "ENODEV" (the device), "EOPNOTSUPP" (a flag that this kernel does not know).
   */
  addEndpoint(options: EndpointOptions): Endpoint {
    return addEndpoint(this.#kernel, options, this.#netns);
  }

  /**
   * Makes an endpoint a backup or not, fullmesh or not; what is left out stays. Connections that
   * exist follow.
   *
   * @param which Its id, or its address.
   * @returns The endpoint as the kernel has it.
   */
  changeEndpoint(
    which: number | string,
    flags: Pick<EndpointFlags, "backup" | "fullmesh">,
  ): Endpoint {
    return changeEndpoint(this.#kernel, which, flags, this.#netns);
  }

  /**
   * Removes an endpoint, closes the subflows from it, and withdraws it where it was announced.
   *
   * @param which Its id, or its address.
   */
  removeEndpoint(which: number | string): void {
    removeEndpoint(this.#kernel, which);
  }

  /** Removes all endpoints, as {@linkcode MptcpPathManager.removeEndpoint} does. */
  flushEndpoints(): void {
    flushEndpoints(this.#kernel);
  }

  /** The limits. Needs no privilege. */
  limits(): PathManagerLimits {
    return getLimits(this.#kernel);
  }

  /**
   * Sets limits; what is left out stays.
   *
   * @returns The limits as the kernel has them.
   * @throws {MptcpError} code "EINVAL" for more than the kernel allows; the message has its maximum.
   */
  setLimits(limits: Partial<PathManagerLimits>): PathManagerLimits {
    return setLimits(this.#kernel, limits);
  }

  /** The MPTCP connections of the namespace, those of other processes too. Since Linux 5.9. */
  connections(): KernelConnection[] {
    return listConnections(this.#netns);
  }

  /**
   * What happens to the MPTCP connections of the namespace from now on. `event.token` is
   * `conn.info()?.token` of a connection of this process.
   *
   * A path that goes silent makes no event: only a reset or a withdrawn address does. Where events
   * come faster than they are read there is a "lost" event and the state after it. Since Linux 5.12.
   *
   * @throws {MptcpError} code "EPERM" without `CAP_NET_ADMIN`.
   */
  events(options: EventOptions = {}): MptcpEvents {
    const { signal, connection } = options;
    const token = connection === undefined ? undefined : tokenOf(connection);
    return new EventStream({ netns: this.#netns, signal, token });
  }

  /**
   * Announces an address to the peer of one connection, which may then open subflows to it.
   *
   * This and the methods below are for connections whose sockets were made while the sysctl
   * `net.mptcp.path_manager` was "userspace" (`pm_type=1` before Linux 6.15): the kernel does nothing
   * about their paths by itself. Since Linux 5.19.
   *
   * @param connection A connection of this process, or the token of any.
   * @throws {MptcpError} code "EINVAL" for a connection of another kind, or an address that is known
   * by another id; "ERR_NOT_MPTCP".
   */
  announce(connection: MptcpConn | number, options: AnnounceOptions): void {
    announce(this.#kernel, connection, options, this.#netns);
  }

  /**
   * Withdraws an address from the peer of one connection, and closes the subflows from it.
   *
   * @param id The address id, 0 for the address that the connection began with.
   */
  withdraw(connection: MptcpConn | number, id: number): void {
    withdraw(this.#kernel, connection, id);
  }

  /** Opens a subflow of one connection. An event reports that it is established. */
  createSubflow(connection: MptcpConn | number, options: CreateSubflowOptions): void {
    createSubflow(this.#kernel, connection, options, this.#netns);
  }

  /**
   * Closes a subflow of one connection.
   *
   * @param subflow One of the connection's `subflows()`.
   * @throws {MptcpError} code "ESRCH" where the connection has no such subflow.
   */
  destroySubflow(connection: MptcpConn | number, subflow: SubflowEnds): void {
    destroySubflow(this.#kernel, connection, subflow);
  }

  /**
   * Asks the peer to send on a subflow only while no other works, or to use it fully again.
   *
   * @param subflow One of the connection's `subflows()`.
   */
  setBackup(connection: MptcpConn | number, subflow: SubflowEnds, backup: boolean): void {
    setBackup(this.#kernel, connection, subflow, backup);
  }

  /** Disconnects, once. Subscriptions to events go on. */
  close(): void {
    this.#kernel.close();
  }

  /** Disconnects, as {@linkcode MptcpPathManager.close} does. */
  [Symbol.dispose](): void {
    this.close();
  }
}
