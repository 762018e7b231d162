/**
 * The MPTCP path manager of Linux: which addresses MPTCP connections use, how many subflows they may
 * have, and events about them.
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
 * It needs Linux 5.7 or later. Reading needs no privilege; changing anything and receiving events need
 * `CAP_NET_ADMIN`. Requires `--allow-ffi` in Deno; it does not run other programs.
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

/** Options of `MptcpPathManager`. */
export interface PathManagerOptions {
  /** A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. */
  netns?: string;
}

/** Options of `MptcpPathManager.events`. */
export interface EventOptions {
  /** Ends the subscription: a waiting iteration rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Only report events of this connection: an `MptcpConn` or a token. By default all are reported. */
  connection?: MptcpConn | number;
}

/**
 * The path manager of one network namespace. All methods are synchronous: they return when the kernel
 * has answered.
 *
 * Methods throw `MptcpError`: code "EPERM" without `CAP_NET_ADMIN`, otherwise the kernel's error. The
 * message contains the kernel's own explanation if it gave one.
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
   * @throws {MptcpError} code "ENOENT" if the kernel has none or the namespace does not exist; "EPERM"
   * if the namespace must not be entered; "ERR_NOT_LINUX".
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
   * Adds an endpoint. Depending on its flags, connections announce the address or open a subflow from
   * it. This includes existing connections; on a client, after the server has sent data.
   *
   * @returns The endpoint as stored in the kernel, with its id.
   * @throws {MptcpError} codes "EEXIST" (the address), "EBUSY" (the id), "ERANGE" (there are 8),
   * "EADDRNOTAVAIL" (a port of an address that the host does not have), "EINVAL" (flags that exclude
   * each other), "ENODEV" (the device), "EOPNOTSUPP" (a flag that this kernel does not know).
   */
  addEndpoint(options: EndpointOptions): Endpoint {
    return addEndpoint(this.#kernel, options, this.#netns);
  }

  /**
   * Changes the flags backup and fullmesh of an endpoint; omitted flags keep their values. This affects
   * existing connections too.
   *
   * @param which Its id, or its address.
   * @returns The endpoint as stored in the kernel.
   */
  changeEndpoint(
    which: number | string,
    flags: Pick<EndpointFlags, "backup" | "fullmesh">,
  ): Endpoint {
    return changeEndpoint(this.#kernel, which, flags, this.#netns);
  }

  /**
   * Removes an endpoint, closes its subflows, and withdraws the address if it was announced.
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
   * Sets limits; omitted limits keep their values.
   *
   * @returns The limits as stored in the kernel.
   * @throws {MptcpError} code "EINVAL" above the kernel's maximum, which the message contains.
   */
  setLimits(limits: Partial<PathManagerLimits>): PathManagerLimits {
    return setLimits(this.#kernel, limits);
  }

  /** The MPTCP connections of the namespace, including those of other processes. Since Linux 5.9. */
  connections(): KernelConnection[] {
    return listConnections(this.#netns);
  }

  /**
   * New events of the MPTCP connections of the namespace. `event.token` is the same as
   * `conn.info()?.token` of a connection of this process.
   *
   * A path that goes silent causes no event; only a reset or a withdrawn address does. If events arrive
   * faster than they are read, a "lost" event and the current state are reported. Since Linux 5.12.
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
   * This and the methods below are for connections whose sockets were created while the sysctl
   * `net.mptcp.path_manager` was "userspace" (`pm_type=1` before Linux 6.15). The kernel does not manage
   * their paths. Since Linux 5.19.
   *
   * @param connection A connection of this process, or the token of any connection.
   * @throws {MptcpError} code "EINVAL" for a connection of another kind, or an address that has another
   * id already; "ERR_NOT_MPTCP".
   */
  announce(connection: MptcpConn | number, options: AnnounceOptions): void {
    announce(this.#kernel, connection, options, this.#netns);
  }

  /**
   * Withdraws an address from the peer of one connection, and closes the subflows from it.
   *
   * @param id The address id; 0 for the address of the first subflow.
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
   * @throws {MptcpError} code "ESRCH" if the connection has no such subflow.
   */
  destroySubflow(connection: MptcpConn | number, subflow: SubflowEnds): void {
    destroySubflow(this.#kernel, connection, subflow);
  }

  /**
   * Asks the peer to use a subflow only as a backup, or to use it normally again.
   *
   * @param subflow One of the connection's `subflows()`.
   */
  setBackup(connection: MptcpConn | number, subflow: SubflowEnds, backup: boolean): void {
    setBackup(this.#kernel, connection, subflow, backup);
  }

  /** Disconnects. Subscriptions to events stay active. */
  close(): void {
    this.#kernel.close();
  }

  /** Disconnects, as {@linkcode MptcpPathManager.close} does. */
  [Symbol.dispose](): void {
    this.close();
  }
}
