/**
 * The simulated network: who listens where, and how connections, bytes, ends and resets come across.
 *
 * @module
 */

import { IPPROTO_MPTCP, IPPROTO_TCP } from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { MptcpState, type SimSubflow } from "./mptcp.ts";
import { type Address, Flow, Sock } from "./sock.ts";
import type { World } from "./world.ts";

/** What a network is like. */
export interface NetworkSettings {
  readonly sendBuffer: number;
  readonly receiveBuffer: number;
  /** The largest segment. */
  readonly segment: number;
  /** Segments that are shorter than they could be, in percent. */
  readonly split: number;
  /** `recv` and `send` that move fewer bytes than they could, in percent. */
  readonly short: number;
  /** Whether something on the path takes the option of MPTCP away. */
  readonly stripsMptcp: boolean;
  /** Connections that fall back once data has been sent, in percent. */
  readonly lateFallback: number;
  /** Subflows that join, stall, go on and die: how many things happen to a connection at most. */
  readonly pathEvents: number;
}

/** A network without surprises. */
export const PLAIN: NetworkSettings = {
  sendBuffer: 64 * 1024,
  receiveBuffer: 64 * 1024,
  segment: 64 * 1024,
  split: 0,
  short: 0,
  stripsMptcp: false,
  lateFallback: 0,
  pathEvents: 0,
};

/** Milliseconds: until a SYN is sent again, and how often; net.mptcp.close_timeout. */
const SYN_TIMEOUT = 1000;
const SYN_ATTEMPTS = 4;
const CLOSE_TIMEOUT = 60_000;

/** Addresses that lead nowhere: nobody answers; there is no route. */
export const BLACKHOLE = "192.0.2.1";
export const UNREACHABLE = "192.0.2.2";

const WILDCARDS: readonly string[] = ["0.0.0.0", "::"];

/** What happens to subflows, for those who want to know. */
export interface PathObserver {
  onConnection(kind: "created" | "closed", client: Sock, server: Sock): void;
  onSubflow(kind: "joined" | "died" | "priority", end: Sock, subflow: SimSubflow): void;
}

/** See the module's documentation. */
export class Network {
  readonly world: World;
  readonly settings: NetworkSettings;
  readonly listeners: Sock[] = [];
  /** Both ends of every connection that is open, client first. */
  readonly pairs: Set<readonly [Sock, Sock]> = new Set();
  observer: PathObserver | null = null;
  #nextPort = 40_000;
  #nextToken = 0x1000;

  constructor(world: World, settings: NetworkSettings) {
    this.world = world;
    this.settings = settings;
  }

  /** 0 or `-errno`. */
  bind(sock: Sock, address: Address): number {
    if (!isLocal(address.ip)) return -ERRNO.EADDRNOTAVAIL;
    const port = address.port === 0 ? this.#nextPort++ : address.port;
    const taken = this.listeners.some(({ local }) =>
      local!.port === port && (local!.ip === address.ip || isWildcard(local!.ip))
    );
    if (taken) return -ERRNO.EADDRINUSE;
    sock.local = { ip: address.ip, port };
    return 0;
  }

  listen(sock: Sock, backlog: number): void {
    sock.local ??= { ip: sock.isIpv6 ? "::" : "0.0.0.0", port: this.#nextPort++ };
    sock.state = "listening";
    sock.maxBacklog = backlog;
    if (!this.listeners.includes(sock)) this.listeners.push(sock);
  }

  /** -EINPROGRESS, or another `-errno`. */
  connect(sock: Sock, remote: Address): number {
    if (sock.state === "connecting") return -ERRNO.EALREADY;
    if (sock.state === "connected") return -ERRNO.EISCONN;
    if (remote.ip === UNREACHABLE) return -ERRNO.ENETUNREACH;
    sock.state = "connecting";
    sock.remote = remote;
    if (sock.local === null || sock.local.port === 0) {
      sock.local = { ip: remote.ip, port: this.#nextPort++ };
    }
    this.world.outside(() => this.#syn(sock, 1));
    return -ERRNO.EINPROGRESS;
  }

  #syn(client: Sock, attempt: number): void {
    if (client.isReleased || client.state !== "connecting") return;
    const { ip, port } = client.remote!;
    const listener = this.#listenerAt(ip, port);
    const hasRoom = listener !== undefined && listener.backlog.length <= listener.maxBacklog;
    if (ip !== BLACKHOLE && listener === undefined) return this.#refuse(client, ERRNO.ECONNREFUSED);
    if (ip !== BLACKHOLE && hasRoom) return this.#establish(client, listener!);
    if (attempt === SYN_ATTEMPTS) return this.#refuse(client, ERRNO.ETIMEDOUT);
    this.world.outside(() => this.#syn(client, attempt + 1), SYN_TIMEOUT * 2 ** (attempt - 1));
  }

  #listenerAt(ip: string, port: number): Sock | undefined {
    return this.listeners.find(({ local }) =>
      local!.port === port && (local!.ip === ip || isWildcard(local!.ip))
    );
  }

  #refuse(client: Sock, error: number): void {
    client.error = error;
    client.state = "closed";
    client.wake();
  }

  #establish(client: Sock, listener: Sock): void {
    const isAgreed = client.isMptcpSocket && listener.isMptcpSocket && !this.settings.stripsMptcp;
    const server = new Sock(this, listener.domain, isAgreed ? IPPROTO_MPTCP : IPPROTO_TCP);
    for (const [name, value] of listener.options) server.options.set(name, value);
    server.local = client.remote;
    server.remote = client.local;
    if (isAgreed) this.#agree(client, server);
    else client.hasFallenBack = client.isMptcpSocket;
    client.outgoing = server.incoming = new Flow(client, server);
    server.outgoing = client.incoming = new Flow(server, client);
    this.pairs.add([client, server]);
    client.state = server.state = "connected";
    listener.backlog.push(server);
    listener.wake();
    this.world.outside(() => client.wake());
    if (isAgreed) this.observer?.onConnection("created", client, server);
  }

  #agree(client: Sock, server: Sock): void {
    const { random } = this.world;
    const state = new MptcpState(this.#nextToken++, this.#nextToken++);
    state.add(client.local!, client.remote!);
    client.mptcp = server.mptcp = state;
    const events = this.settings.pathEvents > 0 ? random.int(0, this.settings.pathEvents) : 0;
    for (let i = 0; i < events; i++) {
      this.world.outside(() => this.#disturb(client, server, state), random.int(0, 3000) / 1000);
    }
  }

  /** Something happens to the subflows of a connection. */
  #disturb(client: Sock, server: Sock, state: MptcpState): void {
    if (state.hasFallenBack || client.state !== "connected") return;
    const { random } = this.world;
    const subflow = state.subflows.length > 0 ? random.pick(state.subflows) : undefined;
    const what = random.pick(["join", "join", "stall", "stall", "die", "priority"] as const);
    if (what === "join" || subflow === undefined) {
      const client2 = { ip: `10.0.${state.count}.1`, port: this.#nextPort++ };
      this.join(client, server, client2, { ...client.remote!, ip: `10.0.${state.count}.2` });
    } else if (what === "stall") {
      subflow.isStalled = true;
      // Every path comes back, or nothing could be said of what arrives.
      this.world.outside(() => {
        subflow.isStalled = false;
        this.#moveBoth(client, server);
      }, random.int(0, 500));
    } else if (what === "priority") {
      subflow.backup = !subflow.backup;
      this.observer?.onSubflow("priority", client, subflow);
    } else if (state.subflows.length > 1) {
      state.subflows.splice(state.subflows.indexOf(subflow), 1);
      this.observer?.onSubflow("died", client, subflow);
    }
    // A subflow that comes or goes wakes those that wait, for no reason that they could see.
    if (random.percent(50)) random.pick([client, server]).wake();
    this.#moveBoth(client, server);
  }

  /** A subflow joins. */
  join(client: Sock, server: Sock, local: Address, remote: Address): SimSubflow {
    const subflow = client.mptcp!.add(local, remote);
    this.observer?.onSubflow("joined", client, subflow);
    this.#moveBoth(client, server);
    return subflow;
  }

  /** All subflows are gone: the connection waits for another, and is over at some time. */
  loseAll([client, server]: readonly [Sock, Sock]): void {
    client.mptcp!.subflows.length = 0;
    this.world.outside(() => {
      if (client.mptcp!.subflows.length > 0) return;
      client.break(0);
      server.break(0);
    }, CLOSE_TIMEOUT);
  }

  #moveBoth(client: Sock, server: Sock): void {
    if (client.outgoing !== null) this.move(client.outgoing);
    if (server.outgoing !== null) this.move(server.outgoing);
  }

  /** Fewer bytes than there could be, now and then. */
  clip(_call: "recv" | "send", count: number): number {
    const { random } = this.world;
    return count > 1 && random.percent(this.settings.short) ? random.int(1, count - 1) : count;
  }

  /** Has a sender that was short of memory told that it is no longer. */
  relieve(sock: Sock): void {
    this.world.outside(() => sock.onRoom());
  }

  /** Sends what there is to send and room for. */
  move(flow: Flow): void {
    if (flow.isMoving || flow.isOver || !this.#mayMove(flow)) return;
    flow.isMoving = true;
    this.world.outside(() => {
      flow.isMoving = false;
      this.#arrive(flow);
    });
  }

  #mayMove({ queue, fin, from, to }: Flow): boolean {
    if (from.mptcp !== null && !from.mptcp.isMoving) return false;
    if (queue.length === 0) return fin;
    return to.isReleased || to.received.length < to.receiveCapacity;
  }

  #arrive(flow: Flow): void {
    const { queue, from, to } = flow;
    if (from.state === "closed" || to.state === "closed" && !to.isReleased) {
      queue.clear();
      flow.isOver = true;
      return;
    }
    if (!this.#mayMove(flow)) return;
    if (queue.length > 0) {
      if (to.isReleased) return this.#onUnwanted(flow);
      const room = to.receiveCapacity - to.received.length;
      const { random } = this.world;
      const most = Math.min(queue.length, room, this.settings.segment);
      const count = random.percent(this.settings.split) ? random.int(1, most) : most;
      queue.moveTo(to.received, count);
      flow.arrived += count;
      this.#fallBackLate(from);
      to.wake();
      from.onRoom();
      return this.move(flow);
    }
    flow.isOver = true;
    to.hasEnd = true;
    if (!to.isReleased) to.wake();
  }

  /** Bytes for who has closed: TCP answers with a reset, MPTCP with nothing for a minute. */
  #onUnwanted(flow: Flow): void {
    const { queue, from } = flow;
    flow.isOver = true;
    if (from.isMptcpSocket) {
      this.world.outside(() => from.break(ERRNO.EPIPE), CLOSE_TIMEOUT);
      return;
    }
    queue.clear();
    this.world.outside(() => from.break(ERRNO.ECONNRESET));
  }

  #fallBackLate(sock: Sock): void {
    const state = sock.mptcp;
    if (state === null || state.hasFallenBack || state.subflows.length !== 1) return;
    if (this.world.random.percent(this.settings.lateFallback)) state.hasFallenBack = true;
  }

  /** The last descriptor of a socket was closed. */
  onRelease(sock: Sock): void {
    if (sock.state === "listening") {
      this.listeners.splice(this.listeners.indexOf(sock), 1);
      for (const pending of sock.backlog) this.#reset(pending);
    } else if (sock.state === "connected") {
      if (this.#closesByReset(sock)) return this.#reset(sock);
      sock.hasShut = true;
      sock.outgoing!.fin = true;
      this.move(sock.outgoing!);
      // What comes in now has nobody to read it.
      this.move(sock.incoming!);
    }
  }

  #closesByReset(sock: Sock): boolean {
    const linger = sock.options.get("SO_LINGER");
    if (linger !== undefined && linger[0] !== 0 && linger[4] === 0) return true;
    return sock.received.length > 0 && !(sock.isMptcpSocket && !sock.isMptcpOnWire);
  }

  #reset(sock: Sock): void {
    sock.isReleased = true;
    const { to, queue } = sock.outgoing!;
    sock.state = "closed";
    // What there was room for is under way already.
    const room = Math.max(to.receiveCapacity - to.received.length, 0);
    if (!to.isReleased) queue.moveTo(to.received, Math.min(queue.length, room));
    queue.clear();
    this.world.outside(() => to.break(ERRNO.ECONNRESET));
  }

  /** The peer or the network breaks the connection of `sock`. */
  resetFromOutside(sock: Sock): void {
    this.world.outside(() => {
      if (sock.state === "connected") sock.break(ERRNO.ECONNRESET);
    });
  }
}

/** Whether this host has the address. */
function isLocal(ip: string): boolean {
  return isWildcard(ip) || ip === "::1" || /^(127|10)\./.test(ip);
}

function isWildcard(ip: string): boolean {
  return WILDCARDS.includes(ip);
}
