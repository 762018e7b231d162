/**
 * The policy that uses further paths where they help, and never lets them make things slower.
 *
 * Data on a path that is slow or far holds up all that follows it, so a transfer over 100 + 2 Mbit/s
 * can be several times slower than over the 100 alone. This policy therefore lets a transfer begin on
 * the preferred path, waits until its rate no longer grows, and then tries one further path after the
 * other: first by a few packets, which tell its rate; then, if that is worth it, for good, as long as
 * the whole does not get slower. It remembers what it learns about a path.
 *
 * @module
 */

import { RateHistory, rateText } from "./rate_history.ts";
import type {
  PathChange,
  PathInfo,
  PathPolicy,
  PathSample,
  PolicyAnswer,
  PolicySample,
} from "./types.ts";

/** What may be adjusted. Times are in milliseconds. */
export interface AdaptiveOptions {
  /** The name of the policy. */
  name: string;
  /** How long the preferred path has to have been full before another is tried. */
  patience: number;
  /** Whether paths with the role "metered" may be used. */
  metered: boolean;
}

const DEFAULTS: AdaptiveOptions = { name: "adaptive", patience: 400, metered: false };

/** A path that carries a smaller part of what the others do is not worth what it holds up. */
const WORTH = 0.15;
/** Bytes that the others send while something is on its way on a farther path: more need more memory than a socket has. */
const STRANDED = 1_800_000;
/** A rate that grows by less than this from one window to the next no longer grows. */
const STEADY = 1.15;
const RAMP_WINDOW = 200;
const LONG_WINDOW = 1500;
const RECOVERY_LIMIT = 5000;
/** For how long after it moved much a transfer that stopped is worth a rescue. */
const RESCUE = 1000;
const RESCUE_LIMIT = 4000;
/** What takes longer than this to arrive is stuck. */
const STUCK = 300;
/** A transfer that still grows then is tried as it is. */
const RAMP_LIMIT = 1500;
/** How long a path may take to carry the packets of a test, beyond its round trip. */
const SLOW_TEST = 60;
/** Bytes that tell something: a link may let through 32 KiB at once, however slow it is. */
const TEST_BYTES = 100_000;
const TESTS = 5;
/** How long to wait for the sender to use a path at all. */
const TEST_PATIENCE = 100;
/** How often the packets of a test are looked at. */
const TEST_STEP = 2;
const AT_ONCE = 0;
/** For how long a path is left alone after the first failure, and at most. */
const FIRST_BAN = 30_000;
const LONGEST_BAN = 600_000;
/** The same for a preferred path, and for one that has helped before. */
const PREFERRED_BAN = 3000;
const HELPER_BAN = 5000;
/** How long a path that helped is taken without a test. */
const TRUST = 600_000;
/** A transfer may pause for this long without being another one. */
const PAUSE = 400;
/** Without traffic for this long, paths are as at the start: also those that carry this part of the others. */
const REST = 2000;
const EQUAL = 0.4;
/** A path that carries nothing for this long, though it should, has failed. */
const STALL = 150;

interface Memory {
  bannedUntil: number;
  strikes: number;
  helpedAt: number | undefined;
  /** The rate of the others without it, when it helped. */
  alone: number;
  /** What it carried then, as a part of what the others did. */
  part: number;
}

/** The test of a path by a few packets. */
interface Test {
  readonly path: string;
  readonly alone: number;
  /** When it was promoted, and what it had carried then. */
  began: number;
  base: number;
  /** Since when something moves, and when the last of it came. */
  movedAt: number | undefined;
  lastAt: number;
  last: number;
  /** For how long something came, without the time in which the sender had to wait for an answer. */
  active: number;
  /** Bytes received in that time. */
  arrived: number;
  open: boolean;
  count: number;
  bytes: number;
}

/** A path in use, on probation. */
interface Trial {
  readonly path: string;
  readonly began: number;
  readonly alone: number;
  readonly length: number;
  /** It is used because nothing else carries anything. */
  readonly isRescue: boolean;
}

/** After a path was dropped: whether it was the right one. */
interface Recovery {
  readonly dropped: string;
  /** The rate that there was with fewer paths. */
  readonly before: number;
  readonly began: number;
  readonly isSecond: boolean;
  /** What the dropped path had carried when it last carried something, and when that was. */
  moved: number;
  movedAt: number;
}

type Phase = "rest" | "ramp" | "test" | "trial" | "steady" | "recovery";

/** See the module's documentation. */
export class AdaptivePolicy implements PathPolicy {
  readonly name: string;
  readonly #options: AdaptiveOptions;
  readonly #history = new RateHistory();
  readonly #memory: Map<string, Memory> = new Map();
  #phase: Phase = "rest";
  #since = 0;
  #connections: readonly number[] = [];
  #busyAt = -Infinity;
  #test: Test | null = null;
  #trial: Trial | null = null;
  #recovery: Recovery | null = null;
  /** The rate before the last path was added. */
  #alone = 0;
  #slowSince: number | null = null;
  #movedAt = 0;
  #acked = 0;
  #received = 0;
  /** Whether this end receives more than it sends. */
  #receives = false;

  constructor(options: Partial<AdaptiveOptions> = {}) {
    this.#options = { ...DEFAULTS, ...options };
    this.name = this.#options.name;
  }

  beginsAsBackup(path: PathInfo): boolean {
    return path.role === undefined ? !path.preferred : path.role !== "primary";
  }

  decide(sample: PolicySample): PolicyAnswer {
    const { at, paths, bulk, connections } = sample;
    this.#history.add(at, paths);
    this.#note(at, paths);
    if (bulk > 0) this.#busyAt = at;
    const pause = paths.some(({ subflows }) => subflows > 0) ? PAUSE : 0;
    const isRescue = this.#trial?.isRescue && connections.length > 0 &&
      at - this.#trial.began < RESCUE_LIMIT;
    if (bulk === 0 && at - this.#busyAt >= pause && this.#phase !== "test" && !isRescue) {
      return this.#rest(sample);
    }
    if (bulk > 0 && connections.some((token) => !this.#connections.includes(token))) {
      this.#restart(sample);
    }
    const failed = this.#trial?.isRescue ? null : this.#failOver(sample);
    if (failed !== null) return failed;
    switch (this.#phase) {
      case "test":
        return this.#continueTest(sample);
      case "trial":
        return this.#judgeTrial(sample);
      case "steady":
        return this.#watch(sample);
      case "recovery":
        return this.#recover(sample);
      default:
        return this.#ramp(sample);
    }
  }

  /** Notes when something moved last, and in which direction. */
  #note(at: number, paths: readonly PathSample[]): void {
    const [acked, received] = paths.reduce(
      ([acked, received], path) => [acked + path.acked, received + path.received],
      [0, 0],
    );
    if (acked === this.#acked && received === this.#received) return;
    this.#receives = received - this.#received > acked - this.#acked;
    [this.#acked, this.#received, this.#movedAt] = [acked, received, at];
  }

  /** More connections than before: what was measured says nothing about them. */
  #restart({ at, connections, paths }: PolicySample): void {
    this.#connections = connections;
    this.#movedAt = at;
    if (this.#phase === "test" || this.#phase === "trial") return;
    this.#history.clear();
    this.#history.add(at, paths);
    this.#phase = "ramp";
    this.#since = at;
    this.#slowSince = null;
    const helpers = paths.filter((path) => isUsed(path) && !path.preferred);
    this.#alone = Math.max(0, ...helpers.map((path) => this.#remember(path).alone));
  }

  /** Little moves: paths go back to how connections begin. */
  #rest({ at, paths }: PolicySample): PolicyAnswer {
    this.#connections = [];
    this.#phase = "rest";
    this.#trial = null;
    const changes = paths.flatMap((path) => {
      const backup = this.beginsAsBackup(path);
      // A path that carries much is good from the start: the next transfer may come at once.
      const waits = backup && this.#remember(path).part >= EQUAL && at - this.#busyAt < REST;
      if (path.backup === backup || waits) return [];
      const reason = backup
        ? "no data is moving: the next transfer starts without it"
        : "no data is moving: the next transfer starts with it";
      return [{ path: path.path, backup, reason }];
    });
    return { changes, again: 250 };
  }

  /** Waits until what is in use is full, and then tries a further path. */
  #ramp(sample: PolicySample): PolicyAnswer {
    const { at } = sample;
    if (this.#phase === "rest") [this.#phase, this.#since] = ["ramp", at];
    const base = this.#chooseBase(sample);
    if (base.length > 0) return { changes: base, again: 50 };
    const elapsed = at - this.#since;
    const now = this.#history.rate(RAMP_WINDOW);
    const before = this.#history.rate(2 * RAMP_WINDOW, RAMP_WINDOW);
    const isSteady = elapsed >= 2 * RAMP_WINDOW && now < STEADY * before;
    if (elapsed < this.#options.patience || !isSteady && elapsed < RAMP_LIMIT) {
      return { changes: [], again: 50 };
    }
    return this.#tryNext(sample);
  }

  /** Connections begin where routing says, which need not be the preferred path. */
  #chooseBase({ paths }: PolicySample): PathChange[] {
    if (paths.some(isUsed)) return [];
    const waiting = paths.filter(({ subflows }) => subflows > 0)
      .toSorted((a, b) => b.initial - a.initial || movedBy(b) - movedBy(a));
    const [first] = waiting;
    if (first === undefined) return [];
    return [{ path: first.path, backup: false, reason: "connections use it" }];
  }

  #tryNext(sample: PolicySample): PolicyAnswer {
    const { at, paths } = sample;
    const alone = this.#history.rate(2 * RAMP_WINDOW);
    const used = new Set(paths.flatMap((path) => isUsed(path) ? path.device : []));
    for (const path of paths) {
      if (used.has(path.device) || !this.#isSpare(path) || this.#isBusy(path)) continue;
      const memory = this.#remember(path);
      if (at < memory.bannedUntil) continue;
      const tooFar = this.#tooFar(path, paths, alone);
      if (tooFar !== null) {
        this.#ban(path, at);
        return { changes: [{ path: path.path, backup: true, reason: tooFar }], again: 50 };
      }
      if (memory.helpedAt !== undefined && at - memory.helpedAt < TRUST) {
        return this.#beginTrial(path, at, alone, "it has helped before");
      }
      return this.#beginTest(path, at, alone);
    }
    this.#phase = "steady";
    return { changes: [], again: 50 };
  }

  /** Whether a path waits, and may be used beside others. */
  #isSpare({ role, backup, subflows }: PathSample): boolean {
    return backup && subflows > 0 &&
      (role === undefined || role === "primary" || role === "metered" && this.#options.metered);
  }

  /** Whether something is still on its way: a test would only come behind it. */
  #isBusy(path: PathSample): boolean {
    return outstandingOf(path) > 0 || this.#history.rateOf(path.path, RAMP_WINDOW) > 0;
  }

  /** Why the way is too long for what the others carry; `null` where it is not. */
  #tooFar(path: PathSample, paths: readonly PathSample[], alone: number): string | null {
    const nearest = Math.min(
      ...paths.flatMap(({ backup, minRtt }) => backup || minRtt === undefined ? [] : minRtt),
    );
    if (path.minRtt === undefined || nearest === Infinity) return null;
    const longer = path.minRtt - nearest;
    if (longer * alone <= STRANDED) return null;
    return `its round trip is ${longer.toFixed(0)} ms longer: at ${
      rateText(alone)
    }, the buffers cannot hold the data that waits for it`;
  }

  #beginTest(path: PathSample, at: number, alone: number): PolicyAnswer {
    this.#phase = "test";
    this.#test = {
      path: path.path,
      alone,
      began: at,
      base: movedBy(path) + outstandingOf(path),
      movedAt: undefined,
      lastAt: at,
      last: movedBy(path),
      active: 0,
      arrived: 0,
      open: true,
      count: 1,
      bytes: 0,
    };
    const reason = "testing its speed with a few packets";
    return { changes: [{ path: path.path, backup: false, reason }], again: AT_ONCE };
  }

  /** Promoted until something is sent over the path; then demoted, to measure how long that takes. */
  #continueTest(sample: PolicySample): PolicyAnswer {
    const test = this.#test!;
    const path = sample.paths.find((path) => path.path === test.path);
    if (path === undefined || path.subflows === 0) {
      return this.#abandonTest(sample, "the path is gone");
    }
    const { at } = sample;
    const moved = movedBy(path);
    const used = moved + outstandingOf(path) - test.base;
    if (moved !== test.last) {
      // Packets come in a bunch for each round trip, until the sender has learnt how many may be out.
      const gap = at - test.lastAt;
      const isSameBunch = test.arrived > 0 && gap < Math.max(15, (path.minRtt ?? 0) / 2);
      test.active += isSameBunch ? gap : TEST_STEP;
      test.arrived += moved - test.last;
      [test.last, test.lastAt] = [moved, at];
    }
    if (test.movedAt === undefined) {
      if (used > 0) {
        test.movedAt = at;
        test.open = false;
        const reason = "waiting for the test packets to arrive";
        return { changes: [{ path: path.path, backup: true, reason }], again: TEST_STEP };
      }
      if (at - test.began < TEST_PATIENCE + 2 * (path.rtt ?? 0)) {
        // The longer it is open, the more data is put on a path that may be slow.
        return { changes: [], again: AT_ONCE };
      }
      return this.#abandonTest(sample, "nothing was sent over it", true);
    }
    // A receiver does not see what is on its way: it waits for more.
    const outstanding = outstandingOf(path);
    const quiet = 15 + (path.rtt ?? 0) / 2;
    const arrived = outstanding === 0 &&
      (path.busy > 0 && path.acked > 0 || at - test.lastAt > quiet);
    const allowed = SLOW_TEST + 6 * (path.minRtt ?? 0);
    const isClear = test.active >= SLOW_TEST / 2 && rateOf(test) < WORTH * test.alone;
    if (!arrived && !isClear && at - test.movedAt < allowed) {
      return { changes: [], again: TEST_STEP };
    }
    return this.#judgeTest(sample, path, used, arrived);
  }

  #judgeTest(
    sample: PolicySample,
    path: PathSample,
    used: number,
    arrived: boolean,
  ): PolicyAnswer {
    const test = this.#test!;
    const { at } = sample;
    test.bytes += used;
    // What is still on its way counts: its first packets may have gone through at once.
    const rate = arrived ? rateOf(test) : test.arrived / Math.max(1, at - test.movedAt!);
    const isSlow = !arrived || test.active > 10 && rate < WORTH * test.alone;
    if (isSlow) {
      this.#ban(path, at);
      this.#endTest(at);
      const reason = `it carries ${rateText(rate)}, too little compared with ${
        rateText(test.alone)
      }`;
      return { changes: [{ path: path.path, backup: true, reason }], again: 50 };
    }
    if (test.bytes < TEST_BYTES && test.count < TESTS) {
      Object.assign(test, {
        began: at,
        base: movedBy(path),
        movedAt: undefined,
        lastAt: at,
        last: movedBy(path),
        active: 0,
        arrived: 0,
        open: true,
        count: test.count + 1,
      });
      const reason = "testing its speed with a few more packets";
      return { changes: [{ path: path.path, backup: false, reason }], again: AT_ONCE };
    }
    const { alone } = test;
    this.#endTest(at);
    return this.#beginTrial(path, at, alone, "it has carried a few packets quickly");
  }

  #abandonTest(sample: PolicySample, reason: string, ban = false): PolicyAnswer {
    const { path } = this.#test!;
    const found = sample.paths.find((sampled) => sampled.path === path);
    if (ban && found !== undefined) this.#ban(found, sample.at, PREFERRED_BAN);
    this.#endTest(sample.at);
    const changes = found === undefined || found.backup ? [] : [{ path, backup: true, reason }];
    return { changes, again: 50 };
  }

  #endTest(at: number): void {
    this.#test = null;
    this.#phase = "ramp";
    this.#since = at - RAMP_WINDOW;
  }

  #beginTrial(path: PathSample, at: number, alone: number, why: string): PolicyAnswer {
    this.#phase = "trial";
    const length = 300 + 4 * (path.minRtt ?? 0);
    this.#trial = { path: path.path, began: at, alone, length, isRescue: false };
    const reason = `${why}: using it with the others, which carry ${rateText(alone)}`;
    return { changes: [{ path: path.path, backup: false, reason }], again: 50 };
  }

  #judgeTrial(sample: PolicySample): PolicyAnswer {
    const trial = this.#trial!;
    const { at } = sample;
    const path = sample.paths.find((path) => path.path === trial.path);
    const elapsed = at - trial.began;
    if (path === undefined || path.subflows === 0) {
      this.#endTrial(at);
      return { changes: [], again: 50 };
    }
    if (trial.isRescue) return this.#judgeRescue(sample, path);
    const now = this.#history.rate(Math.min(elapsed, 200));
    const settled = 200 + 6 * (path.minRtt ?? 0);
    const collapsed = elapsed >= settled && now < 0.6 * trial.alone;
    if (!collapsed && elapsed < trial.length) return { changes: [], again: 50 };
    if (!collapsed && now >= 1.02 * trial.alone) {
      const memory = this.#remember(path);
      memory.helpedAt = at;
      memory.strikes = 0;
      memory.alone = trial.alone;
      memory.part = this.#history.rateOf(path.path, 200) / trial.alone;
      this.#endTrial(at);
      return { changes: [], again: 50 };
    }
    if (!collapsed && elapsed < 3 * trial.length) return { changes: [], again: 50 };
    this.#ban(path, at);
    this.#endTrial(at);
    const reason = `${rateText(now)} with it, ${rateText(trial.alone)} without it`;
    return { changes: [{ path: path.path, backup: true, reason }], again: 50 };
  }

  #endTrial(at: number): void {
    this.#alone = this.#trial!.alone;
    this.#trial = null;
    this.#phase = "ramp";
    this.#since = at - RAMP_WINDOW;
    this.#slowSince = null;
  }

  /** Nothing is tried: the whole must not get slower than it was with fewer paths. */
  #watch(sample: PolicySample): PolicyAnswer {
    const { at, paths } = sample;
    const used = paths.filter(isUsed);
    const now = this.#history.rate(RAMP_WINDOW);
    // A sender that has nothing to send is not slow. A receiver sees only that nothing comes.
    const wants = sample.bulk > 0 && (paths.some(({ unsent }) => unsent > 0) ||
      !paths.some(({ inFlight }) => inFlight > 0) && this.#history.rate(50) > 0);
    if (used.length > 1 && now < 0.8 * this.#alone && wants) {
      this.#slowSince ??= at;
      if (at - this.#slowSince >= 100) return this.#dropWorst(sample, used, now);
      return { changes: [], again: 25 };
    }
    this.#slowSince = null;
    const lately = this.#history.rate(LONG_WINDOW);
    const isLong = this.#history.length >= LONG_WINDOW && at - this.#since >= LONG_WINDOW;
    if (used.length > 1 && isLong && lately < 0.98 * this.#alone && wants) {
      return this.#dropWorst(sample, used, lately);
    }
    const next = paths.some((path) =>
      this.#isSpare(path) && at >= this.#remember(path).bannedUntil &&
      !used.some(({ device }) => device === path.device)
    );
    if (next) [this.#phase, this.#since] = ["ramp", at - RAMP_WINDOW];
    return { changes: [], again: used.length > 1 ? 50 : 100 };
  }

  /** The path with the most outstanding for what it carries is the one that holds up the others. */
  #dropWorst(
    { at }: PolicySample,
    used: readonly PathSample[],
    now: number,
  ): PolicyAnswer {
    const drain = (path: PathSample) =>
      outstandingOf(path) / Math.max(1, this.#history.rateOf(path.path, RAMP_WINDOW));
    // A path that carries what it did before is not the one.
    const kept = (path: PathSample) => {
      const before = this.#history.rateOf(path.path, LONG_WINDOW, 500);
      return before > 0 ? this.#history.rateOf(path.path, 100) / before : 1;
    };
    const suspects = used.filter((path) => kept(path) < 0.7);
    const [worst] = (suspects.length > 0 ? suspects : used).toSorted((a, b) =>
      drain(b) - drain(a) || Number(a.preferred) - Number(b.preferred)
    );
    const before = this.#alone;
    this.#ban(worst!, at);
    this.#beginRecovery(worst!, at, before, false);
    const reason = `the total fell to ${rateText(now)}, below the ${
      rateText(before)
    } of fewer paths, and this path slows it down`;
    const close = drain(worst!) >= STUCK;
    return { changes: [{ path: worst!.path, backup: true, reason, close }], again: 25 };
  }

  #beginRecovery(dropped: PathSample, at: number, before: number, isSecond: boolean): void {
    this.#phase = "recovery";
    this.#slowSince = null;
    this.#alone = 0;
    this.#recovery = {
      dropped: dropped.path,
      before,
      began: at,
      isSecond,
      moved: movedBy(dropped),
      movedAt: at,
    };
  }

  /**
   * What is on its way on the dropped path has to arrive first. If nothing is left there and the others
   * are as slow as before, it was one of them.
   */
  #recover({ at, paths }: PolicySample): PolicyAnswer {
    const recovery = this.#recovery!;
    const dropped = paths.find(({ path }) => path === recovery.dropped);
    const isOver = at - recovery.began >= RECOVERY_LIMIT ||
      this.#history.rate(100) >= 0.7 * recovery.before;
    if (dropped === undefined || isOver) {
      [this.#phase, this.#since, this.#recovery] = ["ramp", at, null];
      return { changes: [], again: 50 };
    }
    const moved = movedBy(dropped);
    if (moved !== recovery.moved) [recovery.moved, recovery.movedAt] = [moved, at];
    const isQuiet = outstandingOf(dropped) === 0 && at - recovery.movedAt >= RAMP_WINDOW;
    const guilty = paths.find((path) => isUsed(path) && path.path !== dropped.path);
    if (!isQuiet || recovery.isSecond || guilty === undefined || dropped.subflows === 0) {
      return { changes: [], again: 25 };
    }
    this.#ban(guilty, at);
    this.#remember(dropped).bannedUntil = at;
    this.#beginRecovery(guilty, at, recovery.before, true);
    return {
      changes: [
        { path: dropped.path, backup: false, reason: "transfers were no faster without it" },
        { path: guilty.path, backup: true, reason: "it slows down the other path" },
      ],
      again: 25,
    };
  }

  /** What carries nothing though it should is replaced at once. */
  #failOver({ at, paths }: PolicySample): PolicyAnswer | null {
    if (this.#phase === "test" || this.#phase === "recovery") return null;
    const stall = Math.max(STALL, ...paths.map(({ rtt, backup }) => backup ? 0 : 3 * (rtt ?? 0)));
    if (at - this.#movedAt < stall) return null;
    const stuck = paths.filter((path) => !path.backup && outstandingOf(path) > 0);
    // Any is better than none, whatever its role.
    const spare = paths.filter(({ backup, subflows, device }) =>
      backup && subflows > 0 && !stuck.some((path) => path.device === device)
    );
    if (stuck.length === 0) return this.#rescue(at, paths, spare, stall);
    if (spare.length === 0) return null;
    const [best] = spare.toSorted((a, b) => (a.minRtt ?? 0) - (b.minRtt ?? 0));
    for (const path of stuck) this.#ban(path, at, PREFERRED_BAN);
    [this.#phase, this.#since, this.#trial] = ["ramp", at, null];
    this.#movedAt = at;
    this.#alone = 0;
    const time = `${stall.toFixed(0)} ms`;
    return {
      changes: [
        {
          path: best!.path,
          backup: false,
          reason: `the other paths have carried nothing for ${time}`,
        },
        ...stuck.map(({ path }) => ({
          path,
          backup: true,
          reason: `nothing was acknowledged for ${time}`,
        })),
      ],
      again: 50,
    };
  }

  /**
   * A receiver does not see what is on its way. Where nothing comes any more it lets the sender use a
   * further path, until the others carry something again.
   */
  #rescue(
    at: number,
    paths: readonly PathSample[],
    spare: readonly PathSample[],
    stall: number,
  ): PolicyAnswer | null {
    const isReceiver = this.#receives && this.#connections.length > 0 &&
      !paths.some((path) => outstandingOf(path) > 0);
    const [best] = spare.toSorted((a, b) => (a.minRtt ?? 0) - (b.minRtt ?? 0));
    if (!isReceiver || best === undefined || at - this.#busyAt > RESCUE) return null;
    this.#phase = "trial";
    this.#trial = { path: best.path, began: at, alone: 0, length: 0, isRescue: true };
    const reason = `nothing was received for ${stall.toFixed(0)} ms`;
    return { changes: [{ path: best.path, backup: false, reason }], again: 25 };
  }

  /** Whether what was in use before carries something again. */
  #judgeRescue({ at, paths }: PolicySample, path: PathSample): PolicyAnswer {
    const others = paths.some((other) =>
      isUsed(other) && other.path !== path.path && this.#history.rateOf(other.path, 100) > 0
    );
    const began = this.#trial!.began;
    // What is underway arrives first.
    if (!others || at - began < RAMP_WINDOW) return { changes: [], again: 50 };
    [this.#phase, this.#since, this.#trial] = ["ramp", at, null];
    const reason = "the other paths carry data again";
    return { changes: [{ path: path.path, backup: true, reason }], again: 50 };
  }

  /** The addresses of an interface are one way. */
  #remember({ device }: PathSample): Memory {
    let memory = this.#memory.get(device);
    if (memory === undefined) {
      memory = { bannedUntil: -Infinity, strikes: 0, helpedAt: undefined, alone: 0, part: 0 };
      this.#memory.set(device, memory);
    }
    return memory;
  }

  /** Leaves a path alone: for longer each time. */
  #ban(path: PathSample, at: number, first?: number): void {
    const memory = this.#remember(path);
    const helped = memory.helpedAt !== undefined;
    first ??= path.preferred ? PREFERRED_BAN : helped ? HELPER_BAN : FIRST_BAN;
    memory.bannedUntil = at + Math.min(LONGEST_BAN, first * 2 ** memory.strikes);
    memory.strikes++;
    memory.helpedAt = undefined;
  }
}

/** What a path has carried while it did, in a test. */
function rateOf({ arrived, active }: Test): number {
  return arrived / Math.max(TEST_STEP, active);
}

function isUsed({ backup, subflows }: PathSample): boolean {
  return !backup && subflows > 0;
}

function movedBy({ acked, received }: PathSample): number {
  return acked + received;
}

function outstandingOf({ inFlight, unsent }: PathSample): number {
  return inFlight + unsent;
}
