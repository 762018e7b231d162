/**
 * Samples of what the subflows of each path do, for policies.
 *
 * Every connection is looked at now and then, at a cost that is bounded: less than one part in a hundred of
 * the time. Those few that move as much as their paths can carry are looked at often, by their sockets.
 *
 * @module
 */

import { now } from "../../../ffi/event_loop.ts";
import { inet_diag_sockid, NETLINK_SOCK_DIAG } from "../../../ffi/linux/abi_netlink.ts";
import { check } from "../../error.ts";
import {
  destroySubflowSocket,
  lookAgain,
  type ScannedSubflow,
  scanSubflows,
} from "../../kernel/subflow_scan.ts";
import { NetlinkSocket } from "../../netlink/socket.ts";
import type { PathInfo, PathSample, PolicySample } from "./types.ts";

/** How many connections are looked at often. */
const WATCHED = 8;
/** A scan takes at most one part in this many of the time. */
const SPARE = 150;
/** The same where many connections have to be looked at. */
const SPARE_MANY = 400;
const MANY = 100;
/** The same while connections have just begun. */
const SPARE_NEW = 30;
const COSTS = 3;
/** Over how many milliseconds it is judged whether a connection moves as much as it can. */
const WINDOW = 80;
/** Bytes in a millisecond below which nothing is worth a second path: 1 Mbit/s. */
const BULK_RATE = 125;
/** After how many windows without much data a connection is no more watched. */
const PATIENCE = 25;

/** Sums over the subflows of a path. */
interface Totals {
  acked: number;
  received: number;
  retransmits: number;
  busy: number;
}

interface Connection {
  readonly token: number;
  readonly subflows: Map<number, ScannedSubflow>;
  /** By address, of all subflows that there were. */
  readonly totals: Map<string, Totals>;
  windowBegan: number;
  windowAcked: number;
  windowReceived: number;
  looks: number;
  queued: number;
  bulk: boolean;
  idleWindows: number;
  watched: boolean;
}

/** A path as it is given to a policy, but for what is measured. */
export type KnownPath = PathInfo & { readonly backup: boolean };

/** See the module's documentation. */
export class Sampler implements Disposable {
  readonly #socket: NetlinkSocket;
  readonly #perConnection: boolean;
  readonly #connections: Map<number, Connection> = new Map();
  /** What the last scans took: the middle one counts, for any may have had to wait. */
  #costs: number[] = [];
  #scannedAt = -Infinity;

  /** `perConnection`: a sample is about one connection, in place of all that are watched. */
  constructor(netns: string | undefined, perConnection: boolean) {
    this.#socket = new NetlinkSocket(NETLINK_SOCK_DIAG, netns);
    this.#perConnection = perConnection;
  }

  /** How many connections there are. */
  get size(): number {
    return this.#connections.size;
  }

  /** Whether there is such a connection. */
  has(token: number): boolean {
    return this.#connections.has(token);
  }

  /** Whether anything moves that is worth looking at often. */
  get isBusy(): boolean {
    for (const { watched } of this.#connections.values()) if (watched) return true;
    return false;
  }

  /** When the next scan may come, if it is wanted `interval` milliseconds after the last. */
  nextScan(interval: number, isUrgent = false): number {
    const many = this.size > MANY;
    const spare = many ? SPARE_MANY : isUrgent ? SPARE_NEW : SPARE;
    const cost = this.#costs.length < COSTS ? 0 : this.#costs.toSorted((a, b) => a - b)[1]!;
    return this.#scannedAt + Math.max(interval, spare * cost);
  }

  /** The subflows of a connection, as they were seen last. */
  subflowsOf(token: number): ScannedSubflow[] {
    return [...this.#connections.get(token)?.subflows.values() ?? []];
  }

  /** All subflows, as they were seen last. */
  subflows(): ScannedSubflow[] {
    return [...this.#connections.values()].flatMap(({ subflows }) => [...subflows.values()]);
  }

  /** Resets the subflows of a path that have the most outstanding: those of watched connections that have another. */
  closeStuck(address: string): void {
    for (const { watched, subflows } of this.#connections.values()) {
      const others = [...subflows.values()].some(({ localAddress }) => localAddress !== address);
      if (!watched || !others) continue;
      for (const subflow of subflows.values()) {
        if (subflow.localAddress !== address || subflow.inFlight + subflow.unsent === 0) continue;
        const operation = `close the subflow from ${address}`;
        check("send", destroySubflowSocket(this.#socket, subflow), { operation });
      }
    }
  }

  /** Looks at every connection. */
  scan(): void {
    const began = now();
    const byToken = Map.groupBy(scanSubflows(this.#socket), ({ token }) => token);
    for (const token of this.#connections.keys()) {
      if (!byToken.has(token)) this.#connections.delete(token);
    }
    for (const [token, subflows] of byToken) {
      let connection = this.#connections.get(token);
      if (connection === undefined) {
        connection = newConnection(token, began);
        this.#connections.set(token, connection);
        // What they did before counts for nothing.
        for (const subflow of subflows) connection.subflows.set(cookieOf(subflow.id), subflow);
      } else this.#take(connection, subflows, began);
    }
    this.#choose();
    this.#scannedAt = now();
  }

  /** Notes what a scan and all that followed from it took. */
  noteCost(milliseconds: number): void {
    this.#costs = [...this.#costs, milliseconds].slice(-COSTS);
  }

  /** Looks at those connections that are watched. */
  look(): void {
    const at = now();
    for (const connection of this.#connections.values()) {
      if (!connection.watched) continue;
      const subflows = [...connection.subflows.values()]
        .flatMap((subflow) => lookAgain(this.#socket, subflow) ?? []);
      if (subflows.length > 0) this.#take(connection, subflows, at);
      else this.#connections.delete(connection.token);
    }
  }

  /** The samples for policies: one of all that is watched, or one for each connection. */
  samples(paths: readonly KnownPath[]): PolicySample[] {
    const all = [...this.#connections.values()];
    const at = now();
    if (this.#perConnection) {
      return all.map((connection) => sampleOf(at, connection.token, paths, [connection], all));
    }
    return [sampleOf(at, undefined, paths, all.filter(({ watched }) => watched), all)];
  }

  #take(connection: Connection, subflows: readonly ScannedSubflow[], at: number): void {
    const before = new Map(connection.subflows);
    connection.subflows.clear();
    let queued = false;
    for (const subflow of subflows) {
      const key = cookieOf(subflow.id);
      connection.subflows.set(key, subflow);
      add(connection, subflow, before.get(key));
      queued ||= subflow.unsent > 0;
    }
    connection.looks++;
    if (queued) connection.queued++;
    if (at - connection.windowBegan >= WINDOW) judge(connection, at);
  }

  /** Chooses those to watch: first come, first served, so that what is measured stays comparable. */
  #choose(): void {
    let count = 0;
    for (const connection of this.#connections.values()) {
      if (connection.watched && connection.idleWindows >= PATIENCE) connection.watched = false;
      if (connection.watched) count++;
    }
    for (const connection of this.#connections.values()) {
      if (count >= WATCHED) return;
      if (connection.watched || !connection.bulk) continue;
      connection.watched = true;
      count++;
    }
  }

  /** Closes it, once. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function newConnection(token: number, at: number): Connection {
  return {
    token,
    subflows: new Map(),
    totals: new Map(),
    windowBegan: at,
    windowAcked: 0,
    windowReceived: 0,
    looks: 0,
    queued: 0,
    bulk: false,
    idleWindows: 0,
    watched: false,
  };
}

/** The cookie of a socket: it is never used again. */
function cookieOf(id: Uint8Array): number {
  const view = new DataView(id.buffer, id.byteOffset, id.byteLength);
  const at = inet_diag_sockid.idiag_cookie;
  return view.getUint32(at, true) + 2 ** 32 * view.getUint32(at + 4, true);
}

const NOTHING = { acked: 0, received: 0, retransmits: 0, busy: 0 };

/** Counts what has happened since the subflow was looked at before. */
function add(
  connection: Connection,
  subflow: ScannedSubflow,
  before: ScannedSubflow | undefined,
): void {
  const since = before ?? NOTHING;
  let totals = connection.totals.get(subflow.localAddress);
  if (totals === undefined) {
    totals = { ...NOTHING };
    connection.totals.set(subflow.localAddress, totals);
  }
  const acked = Math.max(0, subflow.acked - since.acked);
  const received = Math.max(0, subflow.received - since.received);
  totals.acked += acked;
  totals.received += received;
  totals.retransmits += Math.max(0, subflow.retransmits - since.retransmits);
  totals.busy += Math.max(0, subflow.busy - since.busy);
  connection.windowAcked += acked;
  connection.windowReceived += received;
}

/**
 * Whether a connection has moved as much as its paths can carry: as a sender it had more to send than
 * it could, as a receiver it got much and sent nothing itself.
 */
function judge(connection: Connection, at: number): void {
  const { windowBegan, windowAcked, windowReceived, looks, queued } = connection;
  const enough = BULK_RATE * (at - windowBegan);
  const sends = windowAcked >= enough && 2 * queued >= looks;
  const receives = windowReceived >= enough && 200 * windowAcked <= windowReceived;
  // The first window may contain data from before the first sample.
  connection.bulk = sends || receives;
  connection.idleWindows = connection.bulk ? 0 : connection.idleWindows + 1;
  connection.windowBegan = at;
  connection.windowAcked =
    connection.windowReceived =
    connection.looks =
    connection.queued =
      0;
}

function sampleOf(
  at: number,
  token: number | undefined,
  paths: readonly KnownPath[],
  watched: readonly Connection[],
  all: readonly Connection[],
): PolicySample {
  return {
    at,
    token,
    connections: watched.map(({ token }) => token),
    bulk: watched.filter(({ bulk }) => bulk).length,
    paths: paths.map((path) => ({ ...path, ...measure(path.path, watched, all) })),
  };
}

type Measured = Omit<PathSample, keyof KnownPath>;

function measure(
  address: string,
  watched: readonly Connection[],
  all: readonly Connection[],
): Measured {
  const sum = { ...NOTHING, inFlight: 0, unsent: 0 };
  let busiest: ScannedSubflow | undefined;
  let minRtt: number | undefined;
  for (const { totals, subflows } of watched) {
    const own = totals.get(address);
    if (own !== undefined) {
      sum.acked += own.acked;
      sum.received += own.received;
      sum.retransmits += own.retransmits;
      sum.busy += own.busy;
    }
    for (const subflow of subflows.values()) {
      if (subflow.localAddress !== address) continue;
      sum.inFlight += subflow.inFlight;
      sum.unsent += subflow.unsent;
      const shortest = subflow.minRtt > 0 ? subflow.minRtt : subflow.rtt;
      minRtt = Math.min(minRtt ?? Infinity, shortest);
      if (busiest === undefined || subflow.acked + subflow.received >= weightOf(busiest)) {
        busiest = subflow;
      }
    }
  }
  let subflows = 0;
  let initial = 0;
  for (const connection of watched.length > 0 ? watched : all) {
    for (const subflow of connection.subflows.values()) {
      if (subflow.localAddress !== address) continue;
      subflows++;
      if (subflow.initial) initial++;
    }
  }
  return { ...sum, subflows, initial, rtt: busiest?.rtt, minRtt };
}

function weightOf({ acked, received }: ScannedSubflow): number {
  return acked + received;
}
