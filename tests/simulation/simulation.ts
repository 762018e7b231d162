/**
 * One schedule: a world made from a seed, what runs in it, and what must never be.
 *
 * @module
 */

import { replaceEventLoop } from "../../ffi/event_loop.ts";
import { replaceCreateWaker, replaceLibc } from "../../ffi/runtime.ts";
import { Pace } from "../../src/poll/pace.ts";
import { reactor, replaceReactor } from "../../src/poll/reactor.ts";
import type { MptcpConn } from "../../src/types.ts";
import { Kernel, type KernelFaults } from "./kernel.ts";
import { NetlinkHost } from "./netlink.ts";
import { Network, type NetworkSettings } from "./network.ts";
import { Random } from "./random.ts";
import { type WakerKind, wakersOf, type WakerState } from "./wakers.ts";
import { Stuck, World, type WorldPace } from "./world.ts";

/** What a schedule is made of; what is left out the seed chooses. */
export interface Fixed {
  readonly network?: Partial<NetworkSettings>;
  readonly faults?: Partial<KernelFaults>;
  readonly pace?: Partial<WorldPace>;
  readonly waker?: WakerKind;
  readonly crowd?: number;
}

/** What came of a schedule. */
export interface Result {
  readonly steps: number;
  readonly calls: number;
  /** Differs where two schedules differ in any call. */
  readonly fingerprint: number;
}

/** Operations of others in a round: more than a round has. */
const CROWD = 200;

/** A world, and what runs in it. */
export class Simulation {
  readonly random: Random;
  readonly world: World;
  readonly network: Network;
  readonly kernel: Kernel;
  readonly netlink: NetlinkHost = new NetlinkHost();
  calls = 0;
  fingerprint = 0;
  readonly #waker: WakerKind;
  /** How often others use up what may be done at once, in percent of all rounds. */
  readonly #crowd: number;
  readonly #wakers: WakerState[] = [];

  constructor(seed: number, fixed: Fixed = {}) {
    const random = this.random = new Random(seed);
    this.world = new World(random, { ...drawPace(random), ...fixed.pace });
    this.network = new Network(this.world, { ...drawNetwork(random), ...fixed.network });
    this.network.observer = this.netlink;
    this.netlink.network = this.network;
    this.kernel = new Kernel(this.network, this.netlink);
    this.kernel.faults = { ...drawFaults(random), ...fixed.faults };
    this.#crowd = fixed.crowd ?? random.pick([0, 0, 0, 5, 50]);
    this.#waker = fixed.waker ?? random.pick(["ideal", "ideal", "thread", "staged"]);
    this.kernel.onCall = (name) => {
      this.calls++;
      this.fingerprint = Math.imul(this.fingerprint, 31) + name.length * 131 + name.charCodeAt(1) |
        0;
    };
  }

  /** Runs `body` in the world, and throws for what must never be. To be called in a macrotask. */
  run(body: (simulation: Simulation) => Promise<void>): Result {
    const { world, kernel } = this;
    const faults = kernel.faults;
    const libcBefore = replaceLibc(kernel.libc);
    const loopBefore = replaceEventLoop(world);
    const create = wakersOf(kernel, world, this.#waker, this.#wakers);
    const wakerBefore = replaceCreateWaker(create);
    const reactorBefore = replaceReactor(undefined);
    const { onLook } = Pace.prototype;
    const { random } = this;
    const crowd = this.#crowd;
    Pace.prototype.onLook = function (events, afterPause) {
      onLook.call(this, events, afterPause);
      if (!random.percent(crowd)) return;
      for (let i = random.int(1, CROWD); i > 0; i--) this.mayTry();
    };
    try {
      kernel.faults = { ...faults, EMFILE: 0, ENOBUFS: 0 };
      reactor();
      kernel.faults = faults;
      const open = kernel.openCount;
      world.onStep = () => this.#check();
      this.#run(() => body(this));
      this.#rest(open);
    } finally {
      Pace.prototype.onLook = onLook;
      replaceReactor(reactorBefore);
      replaceCreateWaker(wakerBefore);
      replaceEventLoop(loopBefore);
      replaceLibc(libcBefore);
    }
    return { steps: world.steps, calls: this.calls, fingerprint: this.fingerprint };
  }

  #run(body: () => Promise<void>): void {
    try {
      this.world.run(body);
    } catch (error) {
      if (!(error instanceof Stuck)) throw error;
      const { refed, unrefed } = reactor();
      throw new Stuck(
        `${error.message}; ${refed} + ${unrefed} operations wait; open: ${this.kernel.describe()}`,
      );
    }
  }

  /** What holds before every step. */
  #check(): void {
    const { refed, unrefed } = reactor();
    if (refed < 0 || unrefed < 0) throw new Error(`${refed} and ${unrefed} operations wait`);
    // A round that is under way ends what is armed.
    if (refed + unrefed > 0 || this.world.hasTurn) return;
    if (this.#wakers.some(({ isArmed }) => isArmed)) {
      throw new Error("A waker is armed, and nobody waits");
    }
  }

  /** What holds once all is over: nothing waits, nothing is armed, nothing is open. */
  #rest(open: number): void {
    const { world, kernel } = this;
    world.settle();
    const { refed, unrefed } = reactor();
    if (refed + unrefed !== 0) throw new Error(`${refed} + ${unrefed} operations still wait`);
    this.#check();
    if (this.#wakers.some(({ isOutstanding }) => isOutstanding)) {
      throw new Error("A wait is outstanding, and nobody waits");
    }
    if (world.alive.length > 0) throw new Error(`${world.alive.length} timers are still set`);
    if (kernel.openCount !== open) {
      throw new Error(`Descriptors are left open: ${kernel.describe()}`);
    }
  }

  /** Throws unless a connection says of its protocol what is so. */
  assertTruth(conn: MptcpConn): void {
    const sock = this.kernel.sock(conn.fd);
    if (sock === null || sock.state !== "connected") return;
    const truth = sock.isMptcpOnWire ? "mptcp" : "tcp";
    const { protocol, fallback } = conn;
    if (protocol !== truth) throw new Error(`protocol is ${protocol}, the truth is ${truth}`);
    if ((fallback === null) !== (truth === "mptcp")) {
      throw new Error(`protocol is ${protocol}, and fallback is ${JSON.stringify(fallback)}`);
    }
  }
}

function drawPace(random: Random): WorldPace {
  return {
    turnsFirst: random.pick([0, 10, 50, 90]),
    step: random.pick([0.001, 0.02, 0.2]),
    delay: random.pick([0, 0.01, 0.1, 1, 20]),
  };
}

function drawNetwork(random: Random): NetworkSettings {
  const size = () => random.pick([1, 7, 100, 1000, 5000, 20_000]);
  return {
    sendBuffer: Math.max(size(), 3),
    receiveBuffer: size(),
    segment: random.pick([1, 13, 500, 1460, 64_000]),
    split: 50,
    short: random.pick([0, 0, 10, 50]),
    stripsMptcp: random.percent(15),
    lateFallback: random.pick([0, 0, 0, 20]),
    pathEvents: random.pick([0, 0, 3, 8]),
  };
}

function drawFaults(random: Random): KernelFaults {
  const isHarsh = random.percent(40);
  return {
    EMFILE: isHarsh ? random.pick([0, 5, 30]) : 0,
    ENOBUFS: isHarsh ? random.pick([0, 2, 10]) : 0,
    EINTR: random.pick([0, 0, 5, 20]),
    spurious: random.pick([0, 0, 10, 50]),
    late: random.pick([0, 0, 10, 50]),
  };
}
