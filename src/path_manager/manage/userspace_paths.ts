/**
 * Paths under `net.mptcp.path_manager=userspace`: the kernel opens no subflows by itself there, and a
 * priority belongs to one subflow of one connection.
 *
 * @module
 */

import { now } from "../../../ffi/event_loop.ts";
import { MptcpError } from "../../error.ts";
import type { KernelPathManager } from "../../kernel/mptcp_pm.ts";
import { EventStream } from "../event_stream.ts";
import { announce, createSubflow, setBackup } from "../per_connection.ts";
import type { MptcpEvent, PathAddress } from "../types.ts";
import type { Candidate } from "./candidates.ts";
import { policyMaker } from "./policies.ts";
import type { Sampler } from "./sampler.ts";
import type { ManagePathsOptions, PathDecision, PathInfo, PolicySample } from "./types.ts";

/** In milliseconds: the first attempt to open a failed subflow again, and the longest wait. */
const FIRST_RETRY = 1000;
const LONGEST_RETRY = 300_000;

interface Connection {
  readonly token: number;
  readonly serverSide: boolean;
  readonly local: string;
  readonly remotes: PathAddress[];
  /** Attempts by "local remote". */
  readonly attempts: Map<string, { count: number; next: number }>;
  /** What was made a backup, by local address. */
  readonly backups: Map<string, boolean>;
}

/** What is told to the owner. */
export interface UserspaceOwner {
  onChange(): void;
  decided(decision: PathDecision): void;
  failed(error: unknown): void;
}

/** See the module's documentation. */
export class UserspacePaths {
  readonly #kernel: KernelPathManager;
  readonly #options: ManagePathsOptions;
  readonly #owner: UserspaceOwner;
  readonly #events: EventStream;
  readonly #connections: Map<number, Connection> = new Map();
  readonly #policy;
  /** The address ids: one for an address, as long as this lives. */
  readonly #ids: Map<string, number> = new Map();
  #paths: readonly Candidate[] = [];

  constructor(kernel: KernelPathManager, options: ManagePathsOptions, owner: UserspaceOwner) {
    this.#kernel = kernel;
    this.#options = options;
    this.#owner = owner;
    this.#policy = policyMaker(options.policy)();
    this.#events = new EventStream({ netns: options.netns });
    this.#events.unref();
    void this.#listen();
  }

  /** The paths that there are now. */
  setPaths(paths: readonly Candidate[]): void {
    this.#paths = paths;
    for (const connection of this.#connections.values()) this.#open(connection);
  }

  async #listen(): Promise<void> {
    try {
      for await (const event of this.#events) this.#take(event);
    } catch (error) {
      this.#owner.failed(error);
    }
  }

  #take(event: MptcpEvent): void {
    switch (event.type) {
      case "established": {
        const { token, localAddr, remoteAddr, serverSide } = event;
        const connection: Connection = {
          token,
          serverSide,
          local: localAddr.hostname,
          remotes: [remoteAddr],
          attempts: new Map(),
          backups: new Map(),
        };
        this.#connections.set(token, connection);
        this.#open(connection);
        break;
      }
      case "announced": {
        const connection = this.#connections.get(event.token);
        if (connection === undefined) break;
        connection.remotes.push({
          hostname: event.remoteAddr.hostname,
          port: event.remoteAddr.port || connection.remotes[0]!.port,
        });
        this.#open(connection);
        break;
      }
      case "closed":
        this.#connections.delete(event.token);
        break;
      case "subflow-established":
        this.#connections.get(event.token)?.attempts
          .delete(`${event.localAddr.hostname} ${event.remoteAddr.hostname}`);
        break;
    }
    this.#owner.onChange();
  }

  /** Opens, or announces, what the connection has not got yet. */
  #open(connection: Connection): void {
    for (const path of this.#paths) {
      if (path.address === connection.local) continue;
      if (connection.serverSide || this.#options.side === "server") {
        this.#announce(connection, path);
      } else this.#connect(connection, path);
    }
  }

  #announce(connection: Connection, { address, device }: Candidate): void {
    if (!this.#begin(connection, `${address} *`)) return;
    this.#attempt(() =>
      announce(
        this.#kernel,
        connection.token,
        { address: address!, id: this.#idOf(address!), device },
        this.#options.netns,
      )
    );
  }

  /** To each address of the peer with "fullmesh", else to the last one that it announced. */
  #connect(connection: Connection, path: Candidate): void {
    const { address, device, family } = path;
    const backup = this.#policy.beginsAsBackup(infoOf(path));
    const fitting = connection.remotes.filter(({ hostname }) =>
      (hostname.includes(":") ? 6 : 4) === family
    );
    const remotes = this.#options.fullmesh ? fitting : fitting.slice(-1);
    for (const { hostname, port } of remotes) {
      if (port === undefined || !this.#begin(connection, `${address} ${hostname}`)) continue;
      connection.backups.set(address!, backup);
      this.#attempt(() =>
        createSubflow(this.#kernel, connection.token, {
          localAddress: address!,
          localId: this.#idOf(address!),
          device,
          remoteAddress: hostname,
          remotePort: port,
          backup,
        }, this.#options.netns)
      );
    }
  }

  /** Whether an attempt is due: the first at once, further ones later and later. */
  #begin(connection: Connection, key: string): boolean {
    const before = connection.attempts.get(key);
    if (before !== undefined && now() < before.next) return false;
    const count = before?.count ?? 0;
    const next = now() + Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** count);
    connection.attempts.set(key, { count: count + 1, next });
    return !this.#options.dryRun;
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      // The connection may have ended meanwhile.
      if (!(error instanceof MptcpError)) throw error;
      if (error.code === "EPERM") this.#owner.failed(error);
    }
  }

  #idOf(address: string): number {
    let id = this.#ids.get(address);
    if (id === undefined) this.#ids.set(address, id = this.#ids.size + 1);
    return id;
  }

  /** A sample with the priorities that the connection's own subflows have. */
  complete(sample: PolicySample, sampler: Sampler): PolicySample {
    const connection = this.#connections.get(sample.token!);
    const subflows = sampler.subflowsOf(sample.token!);
    if (connection !== undefined) this.#retry(connection, subflows);
    const paths = sample.paths.map((path) => {
      const own = subflows.filter(({ localAddress }) => localAddress === path.path);
      const backup = own.length > 0
        ? own.every(({ backupHere }) => backupHere)
        : connection?.backups.get(path.path) ?? false;
      return { ...path, backup: connection?.backups.get(path.path) ?? backup };
    });
    return { ...sample, paths };
  }

  #retry(
    connection: Connection,
    subflows: readonly { localAddress: string; remoteAddress: string }[],
  ): void {
    for (const path of this.#paths) {
      if (path.address === connection.local || connection.serverSide) continue;
      if (subflows.some(({ localAddress }) => localAddress === path.address)) continue;
      this.#connect(connection, path);
    }
  }

  /** Changes the priority of the subflows that a connection has on a path. */
  setBackup(token: number, path: string, backup: boolean, sampler: Sampler): void {
    const connection = this.#connections.get(token);
    connection?.backups.set(path, backup);
    for (const subflow of sampler.subflowsOf(token)) {
      if (subflow.localAddress !== path) continue;
      setBackup(this.#kernel, token, {
        localAddr: { hostname: subflow.localAddress, port: subflow.localPort },
        remoteAddr: { hostname: subflow.remoteAddress, port: subflow.remotePort },
      }, backup);
    }
  }

  /** Ends it. Subflows stay: they belong to their connections. */
  close(): void {
    this.#events.close();
  }
}

function infoOf({ address, device, family, role, preferred }: Candidate): PathInfo {
  return { path: address!, device, family: family!, role, preferred };
}
