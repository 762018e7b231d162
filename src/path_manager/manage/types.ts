/**
 * The public types of {@linkcode managePaths}.
 *
 * @module
 */

import type { PathManagerLimits } from "../../kernel/types.ts";

/**
 * What a path is for. "primary": used from the start. "backup": used only while no other path works.
 * "metered": the same, but the policy "overflow" may use it for what the others cannot carry.
 */
export type PathRole = "primary" | "backup" | "metered";

/** A path that works on this machine: an address, and a route out by its interface. */
export interface PathInfo {
  /** Names the path: its address. */
  readonly path: string;
  /** The name of the interface. */
  readonly device: string;
  /** The version of IP. */
  readonly family: 4 | 6;
  /** The role from the options; undefined where they give none. */
  readonly role: PathRole | undefined;
  /** Whether it has the best default route, or the role "primary": connections begin there. */
  readonly preferred: boolean;
}

/** What the kernel says about all subflows on one path. Counters never go back. */
export interface PathSample extends PathInfo {
  /** Whether the path is marked as backup now. */
  readonly backup: boolean;
  /** Established subflows. */
  readonly subflows: number;
  /** How many of them their connections began with. */
  readonly initial: number;
  /** Bytes that the peers have acknowledged. */
  readonly acked: number;
  /** Bytes that have been received. */
  readonly received: number;
  /** Bytes that wait for an acknowledgement. */
  readonly inFlight: number;
  /** Bytes that have not been sent yet. */
  readonly unsent: number;
  /** Segments that were sent again. */
  readonly retransmits: number;
  /** For how long something has been in flight, in milliseconds, summed over the subflows. */
  readonly busy: number;
  /** The smoothed round-trip time in milliseconds, of the busiest subflow; undefined without one. */
  readonly rtt: number | undefined;
  /** The shortest round-trip time seen, in milliseconds. */
  readonly minRtt: number | undefined;
}

/** What a policy decides from. */
export interface PolicySample {
  /** When it was taken, in milliseconds of a clock that never goes back. */
  readonly at: number;
  /**
   * The connection that it is about, by its token; undefined when it is about all, as under the
   * kernel's path manager, where a change of a path is one for all its connections.
   */
  readonly token: number | undefined;
  /** The connections that were measured, by their tokens. */
  readonly connections: readonly number[];
  /** How many of them move as much data as their paths can carry. */
  readonly bulk: number;
  /** Every path of this machine. */
  readonly paths: readonly PathSample[];
}

/** A change that a policy asks for. */
export interface PathChange {
  /** The path, by its address. */
  readonly path: string;
  /** Whether it is to be used only while no other works. */
  readonly backup: boolean;
  /** Why, in a sentence. */
  readonly reason: string;
  /** Close its subflows: what is stuck there is sent over the others. Only done with `closeStuck`. */
  readonly close?: boolean;
}

/** The answer of a policy. */
export interface PolicyAnswer {
  /** What is to change; empty for nothing. */
  readonly changes: readonly PathChange[];
  /** In how many milliseconds the next sample should come; 0 for at once. */
  readonly again: number;
}

/**
 * Decides which paths carry data. One object decides for one connection, or for all connections of the
 * machine under the kernel's path manager.
 */
export interface PathPolicy {
  /** Shown beside its decisions. */
  readonly name: string;
  /** Whether a new path begins as backup. */
  beginsAsBackup(path: PathInfo): boolean;
  /** Looks at a sample. It must not throw. */
  decide(sample: PolicySample): PolicyAnswer;
}

/** The policies that come with this module. */
export type PolicyName = "adaptive" | "active-backup" | "overflow" | "none";

/** What {@linkcode managePaths} takes. */
export interface ManagePathsOptions {
  /**
   * The interfaces and addresses to use: names with "*" and "?", addresses, or networks as
   * "10.0.0.0/8". Left out, every interface but loopback, container bridges, veth pairs and tunnels.
   */
  include?: readonly string[];
  /** The interfaces and addresses to leave out, written as in `include`, which it overrules. */
  exclude?: readonly string[];
  /** The roles of interfaces or addresses, by the same patterns; the first that fits counts. */
  roles?: Readonly<Record<string, PathRole>>;
  /**
   * Which end this machine is. "client": subflows are opened from its addresses. "server": its
   * addresses are announced.
   * @default {"client"}
   */
  side?: "client" | "server";
  /** With `side: "client"`: open subflows from each address to each address of the peer. Since 5.15. */
  fullmesh?: boolean;
  /**
   * With `side: "client"`: answer an announced address from each of these addresses, in place of the
   * one that routing chooses. Since 6.18.
   */
  laminar?: boolean;
  /**
   * The policy, by its name or as a function that makes one: it is called once under the kernel's
   * path manager, and for each connection under the userspace one. "none": paths are kept, and never
   * changed.
   * @default {"adaptive"}
   */
  policy?: PolicyName | (() => PathPolicy);
  /**
   * What a path has to reach before it is used: "HOST:PORT" to connect to over TCP, or a function that
   * says whether the path works. Left out, an address and a route are enough, and the path carries no
   * data until a subflow has been established.
   */
  probe?: string | ((path: PathInfo, signal: AbortSignal) => Promise<boolean>);
  /** Add the rules and routes that an address needs to be reached by its own interface. */
  addRoutes?: boolean;
  /**
   * For how many milliseconds a path may be gone before its endpoint is removed. Until then it is a
   * backup, and connections keep their subflows.
   * @default {3000}
   */
  linger?: number;
  /**
   * Close a subflow whose path has turned bad, in place of waiting until what is stuck there has
   * arrived: a transfer then goes on in a third of a second, but the path is lost to it. Off by default,
   * because Linux 6.18 has been seen to mix up the bytes of a transfer when a path was cut.
   * @default {false}
   */
  closeStuck?: boolean;
  /** Only look: decide and report, but change nothing. */
  dryRun?: boolean;
  /** A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. */
  netns?: string;
  /** Stops it, as {@linkcode ManagedPaths.close} does. */
  signal?: AbortSignal;
}

/**
 * Where a path is. "ready": its endpoint is in place. "leaving": its address or route is gone, and the
 * endpoint will be removed. "probing": it has not been reached yet. "incomplete": something is missing.
 * "foreign": another program has made the endpoint, which is left alone. "failed": the kernel refused
 * the endpoint. "excluded": by the options, or a kind of interface that is left out by default.
 */
export type PathState =
  | "ready"
  | "leaving"
  | "probing"
  | "incomplete"
  | "foreign"
  | "failed"
  | "excluded";

/** What is missing for a path, and what mends it. */
export interface MissingPart {
  /** What is missing, in a sentence. */
  readonly text: string;
  /** The commands that mend it; empty where no command does. */
  readonly commands: readonly string[];
}

/** A path of this machine, or what could become one. */
export interface ManagedPath {
  /** The address; undefined for an interface without one. */
  readonly address: string | undefined;
  /** The name of the interface. */
  readonly device: string;
  /** The version of IP; undefined without an address. */
  readonly family: 4 | 6 | undefined;
  /** Where it is. */
  readonly state: PathState;
  /** Why it is there, where that is not obvious. */
  readonly detail: string | undefined;
  /** The role from the options. */
  readonly role: PathRole | undefined;
  /** Whether connections begin there. */
  readonly preferred: boolean;
  /** The gateway of its default route. */
  readonly gateway: string | undefined;
  /** The id of its endpoint. */
  readonly endpoint: number | undefined;
  /** Whether the endpoint is marked as backup. */
  readonly backup: boolean | undefined;
  /** What is missing. */
  readonly missing: readonly MissingPart[];
}

/** A decision of a policy, or of the part that follows the network. */
export interface PathDecision {
  /** When, in milliseconds since 1970. */
  readonly time: number;
  /** Who decided: the name of the policy, or "network". */
  readonly by: string;
  /** The path, by its address. */
  readonly path: string;
  /** The name of the interface. */
  readonly device: string;
  /** What was done. */
  readonly action: "add" | "remove" | "promote" | "demote" | "retry" | "skip";
  /** Why, in a sentence. */
  readonly reason: string;
  /** The connection that it is about; undefined for all. */
  readonly token: number | undefined;
  /** What the kernel said, where it refused. */
  readonly error: string | undefined;
}

/** How many decisions of a kind there were. */
export interface PathDecisionCount {
  /** Who decided: the name of the policy, or "network". */
  readonly by: string;
  /** The name of the interface; empty for all beyond the first few hundred kinds. */
  readonly device: string;
  /** What was done. */
  readonly action: PathDecision["action"];
  /** How many there were. */
  readonly count: number;
}

/** A decision was made. */
export interface DecisionEvent {
  /** Says which event it is. */
  readonly type: "decision";
  /** The decision. */
  readonly decision: PathDecision;
}

/** The paths of the machine have changed. */
export interface PathsEvent {
  /** Says which event it is. */
  readonly type: "paths";
  /** All of them now. */
  readonly paths: readonly ManagedPath[];
}

/** Something cannot be done. Each cause is reported once. */
export interface ProblemEvent {
  /** Says which event it is. */
  readonly type: "problem";
  /** What, and what to do about it. */
  readonly message: string;
  /** The name of the errno, as "EPERM". */
  readonly code: string | undefined;
}

/** What {@linkcode ManagedPaths} tells. Plain data. */
export type ManagedPathsEvent = DecisionEvent | PathsEvent | ProblemEvent;

/** What {@linkcode ManagedPaths} is doing now. Plain data. */
export interface ManagedPathsState {
  /** The paths, and the interfaces that could become some. */
  readonly paths: readonly ManagedPath[];
  /** The limits of the kernel's path manager. */
  readonly limits: PathManagerLimits | undefined;
  /** The path manager of this namespace: "kernel" or "userspace"; undefined before 5.19. */
  readonly pathManager: string | undefined;
  /** The name of the policy. */
  readonly policy: string;
  /** What cannot be done, each cause once. */
  readonly problems: readonly string[];
}
