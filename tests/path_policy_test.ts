import { assert, assertEquals } from "@std/assert";
import { AdaptivePolicy } from "../src/path_manager/manage/adaptive.ts";
import { ActiveBackupPolicy, policyMaker } from "../src/path_manager/manage/policies.ts";
import type {
  PathChange,
  PathPolicy,
  PathRole,
  PathSample,
  PolicyName,
} from "../src/path_manager/mod.ts";
import { test } from "./harness.ts";

/** A path of the simulated machine: its rate in bytes per millisecond. */
interface SimulatedPath {
  readonly device: string;
  rate: number;
  readonly rtt?: number;
  readonly role?: PathRole;
  /** Bytes that go through at once. */
  readonly burst?: number;
}

const MBIT = 125;

/**
 * A sender with as much to send as it can, and a kernel that fills every path which is no backup: what
 * is on a slow path holds up what is behind it, as long as it is on its way.
 */
class Simulation {
  at = 0;
  bulk = 1;
  connection = 1;
  /** Whether this end is the one that receives: it sees less. */
  receives = false;
  readonly log: (PathChange & { at: number })[] = [];
  readonly #policy: PathPolicy;
  readonly #paths: (SimulatedPath & {
    backup: boolean;
    acked: number;
    queue: number;
    busy: number;
    tokens: number;
  })[];

  constructor(policy: PathPolicy, paths: readonly SimulatedPath[]) {
    this.#policy = policy;
    this.#paths = paths.map((path, i) => ({
      ...path,
      backup: policy.beginsAsBackup({
        path: `10.0.${i}.1`,
        device: path.device,
        family: 4,
        role: path.role,
        preferred: i === 0,
      }),
      acked: 0,
      queue: 0,
      busy: 0,
      tokens: path.burst ?? 0,
    }));
  }

  /** What has arrived, in bytes. */
  get total(): number {
    return this.#paths.reduce((sum, { acked }) => sum + acked, 0);
  }

  isBackup(i: number): boolean {
    return this.#paths[i]!.backup;
  }

  setRate(i: number, rate: number): void {
    this.#paths[i]!.rate = rate;
  }

  /** Lets time pass. */
  run(milliseconds: number): void {
    const end = this.at + milliseconds;
    while (this.at < end) {
      const { changes, again } = this.#policy.decide(this.#sample());
      for (const change of changes) {
        this.log.push({ ...change, at: this.at });
        this.#paths.find((path) => pathOf(path, this.#paths) === change.path)!.backup =
          change.backup;
      }
      const wait = Math.max(1, again);
      for (let i = 0; i < wait; i++) this.#step();
    }
  }

  #step(): void {
    this.at++;
    // More than this cannot be on its way: the rest waits for what is late.
    const room = 700_000 - this.#paths.reduce((sum, { queue }) => sum + queue, 0);
    const slowest = Math.max(...this.#paths.map(({ queue, rate }) => queue / rate));
    for (const path of this.#paths) {
      const most = 16_000 + 40 * path.rate;
      const mayFill = this.bulk > 0 && !path.backup && room > 0 && slowest < 60;
      if (mayFill) path.queue = Math.max(path.queue, most);
      if (path.queue > 0) path.busy++;
      const moved = Math.min(path.queue, path.rate + path.tokens);
      path.tokens = Math.max(0, path.tokens - moved);
      path.queue -= moved;
      path.acked += moved;
    }
  }

  #sample() {
    return {
      at: this.at,
      token: undefined,
      connections: this.bulk > 0 ? [this.connection] : [],
      bulk: this.bulk,
      paths: this.#paths.map((path, i): PathSample => ({
        path: pathOf(path, this.#paths),
        device: path.device,
        family: 4,
        role: path.role,
        preferred: i === 0,
        backup: path.backup,
        subflows: 1,
        initial: i === 0 ? 1 : 0,
        acked: this.receives ? 0 : path.acked,
        received: this.receives ? path.acked : 0,
        inFlight: this.receives ? 0 : Math.min(path.queue, 10_000),
        unsent: this.receives ? 0 : Math.max(0, path.queue - 10_000),
        retransmits: 0,
        busy: path.busy,
        rtt: path.rtt ?? 1,
        minRtt: path.rtt ?? 1,
      })),
    };
  }
}

function pathOf(path: SimulatedPath, all: readonly SimulatedPath[]): string {
  return `10.0.${all.indexOf(path)}.1`;
}

const FAST: SimulatedPath = { device: "eth0", rate: 100 * MBIT };

function simulate(second: Partial<SimulatedPath>, policy: PolicyName = "adaptive"): Simulation {
  const path = { device: "wwan0", rate: 50 * MBIT, ...second };
  return new Simulation(policyMaker(policy)(), [FAST, path]);
}

test("a second path begins as backup and is used once the first is full", () => {
  const simulation = simulate({ rate: 50 * MBIT });
  assert(simulation.isBackup(1));
  simulation.run(300);
  assertEquals(simulation.log, []);
  simulation.run(2000);
  assert(!simulation.isBackup(1));
  const promoted = simulation.log.at(-1)!;
  assert(promoted.at < 1000, `promoted after ${promoted.at} ms`);
  assert(promoted.reason.includes("100 Mbit/s"), promoted.reason);
});

test("a path of one fiftieth is tried with a few packets and left alone for long", () => {
  const simulation = simulate({ rate: 2 * MBIT });
  simulation.run(20_000);
  assert(simulation.isBackup(1));
  const tests = simulation.log.filter(({ backup }) => !backup);
  assertEquals(tests.length, 1, JSON.stringify(simulation.log));
  assert(simulation.log.at(-1)!.reason.includes("too little"), simulation.log.at(-1)!.reason);
  simulation.run(20_000);
  assertEquals(simulation.log.filter(({ backup }) => !backup).length, 2);
});

test("a link that lets the first packets through at once is found out by the next ones", () => {
  const simulation = simulate({ rate: 2 * MBIT, burst: 40_000 });
  simulation.run(5000);
  assert(simulation.isBackup(1));
  assert(simulation.log.some(({ reason }) => reason.includes("a few more packets")));
});

test("a path whose round trip is too long is not even tried", () => {
  const simulation = simulate({ rate: 100 * MBIT, rtt: 200 });
  simulation.run(5000);
  assertEquals(simulation.log.filter(({ backup }) => !backup), []);
  assert(simulation.log[0]!.reason.includes("199 ms longer"), simulation.log[0]!.reason);
});

test("a path that turns bad is dropped within half a second", () => {
  const simulation = simulate({ rate: 100 * MBIT });
  simulation.run(3000);
  assert(!simulation.isBackup(1));
  simulation.setRate(1, 1 * MBIT);
  simulation.run(500);
  assert(simulation.isBackup(1), JSON.stringify(simulation.log.slice(-2)));
  assert(simulation.log.at(-1)!.close);
});

test("the preferred path is dropped when it is the one that turned bad", () => {
  const simulation = simulate({ rate: 100 * MBIT });
  simulation.run(3000);
  simulation.setRate(0, 1 * MBIT);
  simulation.run(500);
  assert(simulation.isBackup(0), JSON.stringify(simulation.log.slice(-2)));
  assert(!simulation.isBackup(1));
});

test("a preferred path that stops is replaced at once", () => {
  const simulation = simulate({ rate: 2 * MBIT });
  simulation.run(3000);
  assert(simulation.isBackup(1));
  simulation.setRate(0, 0);
  simulation.run(300);
  assert(simulation.isBackup(0));
  assert(!simulation.isBackup(1));
});

test("a receiver to whom nothing comes any more asks for a further path until the first is back", () => {
  const simulation = simulate({ rate: 2 * MBIT });
  simulation.receives = true;
  simulation.run(3000);
  assert(simulation.isBackup(1));
  simulation.setRate(0, 0);
  simulation.run(400);
  assert(!simulation.isBackup(1), JSON.stringify(simulation.log.slice(-2)));
  assert(!simulation.isBackup(0));
  simulation.setRate(0, 100 * MBIT);
  simulation.run(1000);
  assert(simulation.isBackup(1), JSON.stringify(simulation.log.slice(-2)));
});

test("a sender that has nothing more to send asks for no further path", () => {
  const simulation = simulate({ rate: 2 * MBIT });
  simulation.run(3000);
  const before = simulation.log.length;
  simulation.bulk = 0;
  simulation.run(5000);
  assertEquals(simulation.log.slice(before), []);
});

test("a receiver whose transfer is over asks for no further path", () => {
  const simulation = simulate({ rate: 2 * MBIT });
  simulation.receives = true;
  simulation.run(3000);
  const before = simulation.log.length;
  simulation.bulk = 0;
  simulation.run(5000);
  assertEquals(simulation.log.slice(before), []);
});

test("what a path has carried is remembered for the next transfer", () => {
  const simulation = simulate({ rate: 25 * MBIT });
  simulation.run(3000);
  simulation.bulk = 0;
  simulation.run(3000);
  assert(simulation.isBackup(1), "it begins as backup again");
  const before = simulation.log.length;
  simulation.bulk = 1;
  simulation.run(1500);
  const since = simulation.log.slice(before);
  assertEquals(since.length, 1, JSON.stringify(since));
  assert(since[0]!.reason.includes("it has helped before"));
});

test("a transfer that follows at once begins anew, and slowly, without blame for a path", () => {
  const simulation = simulate({ rate: 100 * MBIT });
  simulation.run(3000);
  assert(!simulation.isBackup(1));
  const before = simulation.log.length;
  simulation.connection++;
  simulation.setRate(0, 5 * MBIT);
  simulation.setRate(1, 5 * MBIT);
  simulation.run(300);
  simulation.setRate(0, 100 * MBIT);
  simulation.setRate(1, 100 * MBIT);
  simulation.run(1000);
  assertEquals(simulation.log.slice(before), []);
});

test("a metered path is for overflow alone, and only after a while", () => {
  const adaptive = simulate({ role: "metered" });
  adaptive.run(10_000);
  assertEquals(adaptive.log, []);
  const overflow = simulate({ role: "metered" }, "overflow");
  overflow.run(1900);
  assertEquals(overflow.log, []);
  overflow.run(2000);
  assert(!overflow.isBackup(1));
});

test("a backup path is used by no policy while another works", () => {
  for (const policy of ["adaptive", "overflow", "active-backup"] as const) {
    const simulation = simulate({ role: "backup" }, policy);
    simulation.run(10_000);
    assertEquals(simulation.log, [], policy);
  }
});

test("nothing is tried while little moves", () => {
  const simulation = simulate({});
  simulation.bulk = 0;
  simulation.run(10_000);
  assertEquals(simulation.log, []);
});

test("two runs of one simulation decide alike", () => {
  const run = () => {
    const simulation = simulate({ rate: 30 * MBIT });
    simulation.run(5000);
    simulation.setRate(1, MBIT);
    simulation.run(5000);
    return simulation.log;
  };
  assertEquals(run(), run());
});

test("active-backup keeps all but the preferred path in reserve", () => {
  const policy = new ActiveBackupPolicy();
  const path = { path: "10.0.0.1", device: "eth0", family: 4, role: undefined } as const;
  assert(!policy.beginsAsBackup({ ...path, preferred: true }));
  assert(policy.beginsAsBackup({ ...path, preferred: false }));
  assert(!policy.beginsAsBackup({ ...path, preferred: false, role: "primary" }));
  assertEquals(new AdaptivePolicy().name, "adaptive");
});
