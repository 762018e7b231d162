/**
 * Paths that look after themselves: follows the network, keeps the endpoints, and lets a policy say
 * which of them carry data.
 *
 * @module
 */

import { clearTimeout, nextTurn, now, setTimeout, type Timer } from "../../../ffi/event_loop.ts";
import { MptcpError } from "../../error.ts";
import { KernelPathManager } from "../../kernel/mptcp_pm.ts";
import type { Network } from "../../kernel/network.ts";
import { readSysctls } from "../../kernel/sysctls.ts";
import type { Endpoint } from "../../kernel/types.ts";
import { type Candidate, findCandidates, type Selection, selectionOf } from "./candidates.ts";
import { DecisionLog } from "./decision_log.ts";
import { EndpointKeeper } from "./endpoint_keeper.ts";
import { EventHint } from "./event_hint.ts";
import { EventQueue } from "./event_queue.ts";
import { NetworkWatch } from "./network_watch.ts";
import { policyMaker } from "./policies.ts";
import { type KnownPath, Sampler } from "./sampler.ts";
import { type Reach, ReachProbe } from "./reach_probe.ts";
import { SourceRoutes } from "./source_routes.ts";
import type {
  ManagedPath,
  ManagedPathsEvent,
  ManagedPathsState,
  ManagePathsOptions,
  MissingPart,
  PathDecision,
  PathDecisionCount,
  PathInfo,
  PathPolicy,
  PolicySample,
} from "./types.ts";
import { SubflowRetry } from "./subflow_retry.ts";
import { UserspacePaths } from "./userspace_paths.ts";

/** How often the connections are looked for, in milliseconds: while there are none, idle ones, or new ones. */
const SCAN_NONE = 30_000;
const SCAN_IDLE = 500;
const SCAN_NEW = 100;
const SCAN_BUSY = 250;
/** For how long after an event connections count as new. */
const NEW = 1500;
const DEFAULT_LINGER = 3000;

/** The running path management. */
export interface ManagedPaths extends Disposable, AsyncDisposable {
  /** The current state. Plain data. */
  state(): ManagedPathsState;
  /** The most recent decisions, oldest first. Plain data. */
  decisions(): PathDecision[];
  /** How many decisions there were, by who decided, action and interface. Plain data. */
  decisionCounts(): PathDecisionCount[];
  /** New events. */
  events(options?: { signal?: AbortSignal }): AsyncIterableIterator<ManagedPathsEvent, undefined>;
  /** Reads the network and the connections now instead of at the next change. */
  refresh(): void;
  /** Stops, and removes everything that was created. */
  close(): void;
  /** Resolves when it has been closed. */
  readonly finished: Promise<void>;
}

/** {@linkcode ManagedPaths} as `managePaths` makes it. */
export class PathsManager implements ManagedPaths {
  readonly #options: ManagePathsOptions;
  readonly #selection: Selection;
  readonly #linger: number;
  readonly #makePolicy: () => PathPolicy;
  readonly #policies: Map<number | undefined, PathPolicy> = new Map();
  readonly #policy: PathPolicy;
  readonly #kernel: KernelPathManager;
  readonly #keeper: EndpointKeeper;
  readonly #watch: NetworkWatch;
  readonly #sampler: Sampler;
  readonly #hint: EventHint | null;
  readonly #probe: ReachProbe | null;
  readonly #routes: SourceRoutes;
  readonly #retry: SubflowRetry = new SubflowRetry();
  readonly #userspace: UserspacePaths | null;
  readonly #pathManager: string | undefined;
  readonly #queue: EventQueue<ManagedPathsEvent> = new EventQueue();
  readonly #decisions: DecisionLog = new DecisionLog();
  readonly #problems: Map<string, string> = new Map();
  readonly #finished: PromiseWithResolvers<void> = Promise.withResolvers();
  /** What a policy wants of a path while that is leaving. */
  readonly #wanted: Map<string, boolean> = new Map();
  readonly #failures: Map<string, string> = new Map();
  /** What a dry run has told. */
  readonly #announced: Set<string> = new Set();
  #network: Network | null = null;
  #candidates: readonly Candidate[] = [];
  #paths: readonly ManagedPath[] = [];
  #pathsText = "";
  #timer: Timer | undefined;
  #dueAt = Infinity;
  #newUntil = 0;
  #closed = false;

  constructor(options: ManagePathsOptions) {
    const { netns, signal, linger = DEFAULT_LINGER, side = "client" } = options;
    if (side !== "client" && side !== "server") {
      throw new TypeError(`Invalid side: expected client or server, got ${JSON.stringify(side)}`);
    }
    if (!(linger >= 0)) {
      throw new RangeError(`Invalid linger: expected milliseconds, got ${linger}`);
    }
    signal?.throwIfAborted();
    this.#options = options;
    this.#linger = linger;
    this.#selection = selectionOf(options);
    this.#makePolicy = policyMaker(options.policy);
    this.#policy = this.#makePolicy();
    this.#pathManager = readSysctls(netns).pathManager;
    using stack = new DisposableStack();
    this.#kernel = stack.use(new KernelPathManager(netns));
    const isUserspace = this.#pathManager === "userspace";
    this.#sampler = stack.use(new Sampler(netns, isUserspace));
    this.#watch = stack.use(
      new NetworkWatch(netns, (network) => this.#follow(network), (error) => this.#report(error)),
    );
    this.#hint = isUserspace ? null : EventHint.open(netns, () => this.#onConnections());
    if (this.#hint !== null) stack.use(this.#hint);
    this.#userspace = isUserspace ? this.#openUserspace() : null;
    this.#keeper = new EndpointKeeper(this.#kernel, {
      netns,
      flags: side === "server" ? { signal: true } : {
        subflow: true,
        ...(options.fullmesh && { fullmesh: true }),
        ...(options.laminar && { laminar: true }),
      },
      bindDevice: side === "client",
    });
    this.#probe = options.probe === undefined
      ? null
      : new ReachProbe(options.probe, netns, () => this.refresh());
    this.#routes = new SourceRoutes(this.#watch.questions, options.addRoutes === true);
    signal?.addEventListener("abort", this.#onAbort);
    stack.move();
    this.#follow(this.#watch.read());
    this.#schedule(0);
  }

  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  state(): ManagedPathsState {
    return {
      paths: this.#paths,
      limits: this.#closed ? undefined : this.#keeper.limits(),
      pathManager: this.#pathManager,
      policy: this.#policy.name,
      problems: [...this.#problems.values()],
    };
  }

  decisions(): PathDecision[] {
    return this.#decisions.last();
  }

  decisionCounts(): PathDecisionCount[] {
    return this.#decisions.counts();
  }

  events({ signal }: { signal?: AbortSignal } = {}): AsyncIterableIterator<
    ManagedPathsEvent,
    undefined
  > {
    return this.#queue.read(signal);
  }

  refresh(): void {
    if (this.#closed) return;
    this.#follow(this.#watch.read());
    this.#newUntil = now() + NEW;
    this.#schedule(0);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    clearTimeout(this.#timer);
    this.#probe?.close();
    this.#userspace?.close();
    this.#hint?.close();
    try {
      this.#routes.close();
      this.#keeper.close();
    } catch (error) {
      this.#report(error);
    }
    this.#watch.close();
    this.#sampler.close();
    this.#kernel.close();
    this.#queue.end();
    this.#finished.resolve();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  readonly #onAbort = (): void => this.close();

  #openUserspace(): UserspacePaths | null {
    try {
      return new UserspacePaths(this.#kernel, this.#options, {
        onChange: () => this.#onConnections(),
        decided: (decision) => this.#decided(decision),
        failed: (error) => this.#report(error),
      });
    } catch (error) {
      this.#report(error);
      return null;
    }
  }

  // --- The network -------------------------------------------------------------------------------

  #follow(network: Network): void {
    if (this.#closed) return;
    this.#network = network;
    this.#candidates = this.#routes.complete(
      findCandidates(network, this.#selection),
      network,
      this.#options,
    );
    try {
      if (this.#userspace !== null) this.#userspace.setPaths(this.#usable());
      else this.#keepEndpoints();
    } catch (error) {
      this.#report(error);
    }
    this.#show();
  }

  /** The candidates that can be paths now. */
  #usable(): Candidate[] {
    return this.#candidates.filter((candidate) =>
      candidate.address !== undefined && candidate.excluded === undefined &&
      candidate.missing.length === 0 && this.#reach(candidate) === "reached"
    );
  }

  #reach(candidate: Candidate): Reach {
    return this.#probe?.reach(infoOf(candidate)) ?? "reached";
  }

  #keepEndpoints(): void {
    const endpoints = this.#keeper.list();
    const usable = this.#usable();
    for (const candidate of usable) this.#keepEndpoint(candidate, endpoints);
    for (const made of [...this.#keeper.made.values()]) {
      if (usable.some(({ address }) => address === made.address)) continue;
      this.#leave(made.address);
    }
    this.#probe?.forgetAllBut(this.#candidates.flatMap(({ address }) => address ?? []));
    if (this.#keeper.made.size > 0 && !this.#options.dryRun) {
      this.#attempt("", () => this.#keeper.raiseLimits(this.#options.side !== "server"));
    }
  }

  #keepEndpoint(candidate: Candidate, endpoints: readonly Endpoint[]): void {
    const address = candidate.address!;
    const info = infoOf(candidate);
    const backup = this.#policy.beginsAsBackup(info);
    const made = this.#keeper.made.get(address);
    if (made !== undefined && made.leavingSince !== undefined && made.link === candidate.link) {
      this.#keeper.setLeaving(made, false);
      const wanted = this.#wanted.get(address) ?? backup;
      this.#attempt(address, () => this.#keeper.setBackup(address, wanted));
      return;
    }
    if (this.#options.dryRun) {
      if (!endpoints.some((endpoint) => endpoint.address === address)) {
        this.#decideOnce(info, `it has an address and a route${backup ? "; used as backup" : ""}`);
      }
      return;
    }
    const outcome = this.#keeper.ensure(candidate, backup, endpoints);
    if (outcome.state === "failed") {
      this.#failures.set(address, outcome.error.message);
      this.#report(outcome.error);
    } else this.#failures.delete(address);
    if (outcome.state !== "made" || !outcome.isNew) return;
    this.#wanted.set(address, backup);
    const reason = `it has an address and a route${backup ? "; it starts as backup" : ""}`;
    this.#decide("network", info, "add", reason);
    this.#onConnections();
  }

  #decideOnce(info: PathInfo, reason: string): void {
    if (this.#announced.has(info.path)) return;
    this.#announced.add(info.path);
    this.#decide("network", info, "add", reason);
  }

  /** Its address or its route is gone: it may come back soon, and connections keep their subflows. */
  #leave(address: string): void {
    const made = this.#keeper.made.get(address)!;
    const isNew = made.leavingSince === undefined;
    this.#keeper.setLeaving(made, true);
    if (now() - made.leavingSince! >= this.#linger) {
      this.#attempt(address, () => this.#keeper.remove(address));
      this.#wanted.delete(address);
      this.#decide("network", gone(made), "remove", "its address or route is gone");
    } else {
      if (isNew) this.#attempt(address, () => this.#keeper.setBackup(address, true));
      this.#schedule(this.#linger);
    }
  }

  // --- The connections ---------------------------------------------------------------------------

  #onConnections(): void {
    this.#newUntil = now() + NEW;
    this.#schedule(10);
  }

  /** Has {@linkcode PathsManager.#tick} come in so many milliseconds, or sooner. */
  #schedule(wait: number): void {
    if (this.#closed) return;
    const dueAt = now() + wait;
    if (this.#timer !== undefined && this.#dueAt <= dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    // A timer takes a millisecond or two: too long for what a policy wants at once.
    if (wait <= 0 && this.#sampler.isBusy) {
      this.#timer = undefined;
      return nextTurn(this.#tick);
    }
    this.#timer = setTimeout(this.#tick, wait);
    this.#timer.unref();
  }

  readonly #tick = (): void => {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#dueAt = Infinity;
    if (this.#closed) return;
    let wait = SCAN_IDLE;
    try {
      wait = this.#work();
    } catch (error) {
      this.#report(error);
    }
    this.#schedule(wait);
  };

  #work(): number {
    const began = now();
    for (const made of this.#keeper.made.values()) {
      if (made.leavingSince !== undefined && began - made.leavingSince >= this.#linger) {
        this.#follow(this.#watch.read());
        break;
      }
    }
    const isScan = this.#nextScan(began) <= began;
    if (isScan) {
      this.#sampler.scan();
      this.#retryFailed();
    } else this.#sampler.look();
    const paths = this.#knownPaths();
    let again = Infinity;
    for (const sample of this.#sampler.samples(paths)) {
      again = Math.min(again, this.#ask(sample));
    }
    for (const token of this.#policies.keys()) {
      if (token !== undefined && !this.#sampler.has(token)) this.#policies.delete(token);
    }
    if (isScan) this.#sampler.noteCost(now() - began);
    const scan = this.#nextScan(now()) - now();
    const soon = this.#sampler.isBusy ? Math.min(again, scan) : scan;
    return Math.max(0, soon);
  }

  #nextScan(at: number): number {
    const sampler = this.#sampler;
    if (sampler.isBusy) return sampler.nextScan(SCAN_BUSY, true);
    if (at < this.#newUntil) return sampler.nextScan(SCAN_NEW, true);
    // An event reports new ones.
    const isNone = sampler.size === 0 && this.#hint !== null;
    return sampler.nextScan(isNone ? SCAN_NONE : SCAN_IDLE);
  }

  /** The paths that a policy may decide about. */
  #knownPaths(): KnownPath[] {
    return this.#usable().flatMap((candidate) => {
      const info = infoOf(candidate);
      if (this.#userspace !== null) return [{ ...info, backup: true }];
      const made = this.#keeper.made.get(info.path);
      return made === undefined ? [] : [{ ...info, backup: made.backup }];
    });
  }

  #ask(sample: PolicySample): number {
    const { token } = sample;
    let policy = token === undefined ? this.#policy : this.#policies.get(token);
    if (policy === undefined) this.#policies.set(token, policy = this.#makePolicy());
    const asked = this.#userspace?.complete(sample, this.#sampler) ?? sample;
    const { changes, again } = policy.decide(asked);
    for (const { path, backup, reason, close } of changes) {
      const info = asked.paths.find((known) => known.path === path);
      if (info === undefined) continue;
      if (info.backup === backup) this.#decide(policy.name, info, "skip", reason, token);
      else this.#change(policy, info, backup, reason, token);
      if (close && this.#options.closeStuck && !this.#options.dryRun) {
        this.#attempt("", () => this.#sampler.closeStuck(path));
      }
    }
    return again;
  }

  #change(
    policy: PathPolicy,
    info: PathInfo,
    backup: boolean,
    reason: string,
    token: number | undefined,
  ): void {
    if (this.#options.dryRun) return;
    const error = this.#attempt(info.path, () => {
      if (token === undefined) this.#keeper.setBackup(info.path, backup);
      else this.#userspace?.setBackup(token, info.path, backup, this.#sampler);
    });
    if (token === undefined) this.#wanted.set(info.path, backup);
    this.#decide(policy.name, info, backup ? "demote" : "promote", reason, token, error);
  }

  /** A subflow that could not be opened is tried again: the kernel itself does not. */
  #retryFailed(): void {
    if (this.#options.side === "server" || this.#options.dryRun || this.#userspace !== null) return;
    const subflows = this.#sampler.subflows();
    for (const made of [...this.#keeper.made.values()]) {
      if (made.leavingSince !== undefined || !this.#retry.isDue(made, subflows)) continue;
      const candidate = this.#candidates.find(({ address }) => address === made.address);
      if (candidate === undefined) continue;
      this.#attempt(made.address, () => {
        this.#keeper.remove(made.address);
        // Data in the moment of a join can be put in the wrong place (docs/kernel/README.md).
        this.#keeper.ensure(candidate, true, this.#keeper.list());
      });
      this.#decide(
        "network",
        infoOf(candidate),
        "retry",
        "no connection has a subflow from it: trying again",
      );
    }
  }

  // --- What is told ------------------------------------------------------------------------------

  #attempt(address: string, action: () => unknown): string | undefined {
    try {
      action();
      return undefined;
    } catch (error) {
      this.#report(error);
      const message = error instanceof Error ? error.message : String(error);
      if (address !== "") this.#failures.set(address, message);
      return message;
    }
  }

  /** Each cause once. */
  #report(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof MptcpError ? error.code : undefined;
    const isPermission = code === "EPERM";
    const key = isPermission ? code : message;
    if (this.#problems.has(key)) return;
    const text = isPermission
      ? "Changing paths needs CAP_NET_ADMIN in the user namespace that owns the network namespace. " +
        "Without it, paths are only watched"
      : message;
    this.#problems.set(key, text);
    this.#queue.push({ type: "problem", message: text, code });
  }

  #decide(
    by: string,
    { path, device }: Pick<PathInfo, "path" | "device">,
    action: PathDecision["action"],
    reason: string,
    token?: number,
    error?: string,
  ): void {
    this.#decided({ time: Date.now(), by, path, device, action, reason, token, error });
  }

  #decided(decision: PathDecision): void {
    this.#decisions.add(decision);
    this.#queue.push({ type: "decision", decision });
    if (decision.action === "promote" || decision.action === "demote") this.#show();
  }

  /** Describes the paths again, and reports it if something has changed. */
  #show(): void {
    if (this.#network === null || this.#closed) return;
    const endpoints = this.#keeper.list();
    this.#paths = this.#candidates.map((candidate) => this.#describe(candidate, endpoints))
      .concat(this.#describeLeaving());
    const text = JSON.stringify(this.#paths);
    if (text === this.#pathsText) return;
    this.#pathsText = text;
    this.#queue.push({ type: "paths", paths: this.#paths });
  }

  #describe(candidate: Candidate, endpoints: readonly Endpoint[]): ManagedPath {
    const { address, device, family, role, preferred, gateway, missing } = candidate;
    const made = address === undefined ? undefined : this.#keeper.made.get(address);
    const other = endpoints.find((endpoint) => endpoint.address === address && !endpoint.implicit);
    const [state, detail] = this.#stateOf(candidate, made !== undefined, other);
    return {
      address,
      device,
      family,
      state,
      detail,
      role,
      preferred,
      gateway,
      endpoint: made?.id ?? other?.id,
      backup: made?.backup ?? other?.backup,
      missing: state === "excluded" ? [] : [...missing, ...this.#probeMissing(candidate)],
    };
  }

  #stateOf(
    candidate: Candidate,
    isMade: boolean,
    other: Endpoint | undefined,
  ): [ManagedPath["state"], string | undefined] {
    const { address, excluded, missing } = candidate;
    const leaving = isMade && this.#keeper.made.get(address!)?.leavingSince !== undefined;
    if (leaving) return ["leaving", "its route is gone"];
    if (isMade) return ["ready", undefined];
    if (other !== undefined) return ["foreign", "another program created its endpoint"];
    if (excluded !== undefined) return ["excluded", excluded];
    if (missing.length > 0) return ["incomplete", undefined];
    if (this.#reach(candidate) !== "reached") {
      return ["probing", "the probe has not succeeded yet"];
    }
    const failure = this.#failures.get(address!);
    if (failure !== undefined) return ["failed", failure];
    if (this.#userspace !== null) return ["ready", "subflows are opened per connection"];
    return this.#options.dryRun
      ? ["incomplete", "an endpoint would be created"]
      : ["failed", [...this.#problems.values()][0]];
  }

  #probeMissing(candidate: Candidate): MissingPart[] {
    if (this.#probe === null || candidate.missing.length > 0) return [];
    const reason = candidate.address === undefined ? null : this.#probe.reason(candidate.address);
    return reason === null ? [] : [{ text: reason, commands: [] }];
  }

  /** Endpoints whose address is not among the candidates any more. */
  #describeLeaving(): ManagedPath[] {
    return [...this.#keeper.made.values()]
      .filter(({ address }) => !this.#candidates.some((known) => known.address === address))
      .map(({ address, device, id, backup }) => ({
        address,
        device,
        family: address.includes(":") ? 6 : 4,
        state: "leaving",
        detail: "its address is gone",
        role: undefined,
        preferred: false,
        gateway: undefined,
        endpoint: id,
        backup,
        missing: [],
      }));
  }
}

function infoOf({ address, device, family, role, preferred }: Candidate): PathInfo {
  return { path: address!, device, family: family!, role, preferred };
}

function gone({ address, device }: { address: string; device: string }) {
  return { path: address, device };
}
