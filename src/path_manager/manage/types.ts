/**
 * The public types of {@linkcode managePaths}.
 *
 * @module
 */

import type { PathManagerLimits } from "../../kernel/types.ts";

/**
 * The role of a path. "primary": used from the start. "backup": used only while no other path works.
 * "metered": like "backup", but the policy "overflow" may also use it when the other paths are full.
 */
export type PathRole = "primary" | "backup" | "metered";

/** A working path of this machine: an address with a route via its interface. */
export interface PathInfo {
  /** The id of the path: its address. */
  readonly path: string;
  /** The name of the interface. */
  readonly device: string;
  /** The IP version. */
  readonly family: 4 | 6;
  /** The role from the options; undefined if they set none. */
  readonly role: PathRole | undefined;
  /** Whether it has the best default route or the role "primary": connections start on it. */
  readonly preferred: boolean;
}

/** The kernel's figures about all subflows on one path. Counters never decrease. */
export interface PathSample extends PathInfo {
  /** Whether the path is marked as backup now. */
  readonly backup: boolean;
  /** Established subflows. */
  readonly subflows: number;
  /** How many of them are the first subflow of their connection. */
  readonly initial: number;
  /** Bytes acknowledged by the peers. */
  readonly acked: number;
  /** Bytes that have been received. */
  readonly received: number;
  /** Bytes in flight. */
  readonly inFlight: number;
  /** Bytes that have not been sent yet. */
  readonly unsent: number;
  /** Segments retransmitted. */
  readonly retransmits: number;
  /** Milliseconds with data in flight, summed over the subflows. */
  readonly busy: number;
  /** The smoothed round-trip time of the busiest subflow, in milliseconds; undefined if there is none. */
  readonly rtt: number | undefined;
  /** The shortest round-trip time seen, in milliseconds. */
  readonly minRtt: number | undefined;
}

/** The input of a policy. */
export interface PolicySample {
  /** When it was taken, in milliseconds of a monotonic clock. */
  readonly at: number;
  /**
   * The token of the connection; undefined if the sample covers all connections. That is the case with
   * the kernel's path manager, where a change of a path affects all its connections.
   */
  readonly token: number | undefined;
  /** The tokens of the connections that were measured. */
  readonly connections: readonly number[];
  /** How many of them send or receive as fast as their paths allow. */
  readonly bulk: number;
  /** Every path of this machine. */
  readonly paths: readonly PathSample[];
}

/** A change requested by a policy. */
export interface PathChange {
  /** The path, by its address. */
  readonly path: string;
  /** Whether to use it only while no other path works. */
  readonly backup: boolean;
  /** Why, in a sentence. */
  readonly reason: string;
  /** Close its subflows, so that stuck data is sent over the others. Only done with `closeStuck`. */
  readonly close?: boolean;
}

/** The decision of a policy. */
export interface PolicyAnswer {
  /** The changes; empty for none. */
  readonly changes: readonly PathChange[];
  /** Milliseconds until the next sample should be taken; 0 for at once. */
  readonly again: number;
}

/**
 * Decides which paths carry data. One object decides for one connection, or for all connections of the
 * machine under the kernel's path manager.
 */
export interface PathPolicy {
  /** The name shown with its decisions. */
  readonly name: string;
  /** Whether a new path starts as backup. */
  beginsAsBackup(path: PathInfo): boolean;
  /** Looks at a sample. It must not throw. */
  decide(sample: PolicySample): PolicyAnswer;
}

/** The policies that come with this module. */
export type PolicyName = "adaptive" | "active-backup" | "overflow" | "none";

/** Options of {@linkcode managePaths}. */
export interface ManagePathsOptions {
  /**
   * The interfaces and addresses to use: interface names, which may contain "*" and "?", addresses, or
   * networks such as "10.0.0.0/8". By default, all interfaces except loopback, container bridges, veth
   * pairs and tunnels.
   */
  include?: readonly string[];
  /** The interfaces and addresses not to use, written as in `include`. It overrides `include`. */
  exclude?: readonly string[];
  /** The roles of interfaces or addresses, keyed by the same patterns; the first match is used. */
  roles?: Readonly<Record<string, PathRole>>;
  /**
   * The side of this machine. "client": subflows are opened from its addresses. "server": its addresses
   * are announced.
   * @default {"client"}
   */
  side?: "client" | "server";
  /** With `side: "client"`: open subflows from each address to each address of the peer. Since 5.15. */
  fullmesh?: boolean;
  /**
   * With `side: "client"`: answer an announced address from each of these addresses, instead of only
   * the one that routing chooses. Since 6.18.
   */
  laminar?: boolean;
  /**
   * The policy: a name, or a function that creates one. The function is called once with the kernel's
   * path manager, and once per connection with the userspace one. "none" uses all paths at all times.
   * @default {"adaptive"}
   */
  policy?: PolicyName | (() => PathPolicy);
  /**
   * A test that a path must pass before it is used: "HOST:PORT" to connect to over TCP, or a function
   * that returns whether the path works. Without it, an address and a route are enough; the path still
   * carries no data until a subflow is established.
   */
  probe?: string | ((path: PathInfo, signal: AbortSignal) => Promise<boolean>);
  /** Add missing rules and routes, so that packets from an address leave via its interface. */
  addRoutes?: boolean;
  /**
   * How many milliseconds a path may be down before its endpoint is removed. Until then it is a backup,
   * and connections keep their subflows.
   * @default {3000}
   */
  linger?: number;
  /**
   * Close a subflow whose path has stopped working, instead of waiting for the data stuck there. A
   * transfer then continues within a third of a second, but without that path. Off by default, because
   * Linux 6.18 sometimes delivers wrong bytes when a path is cut.
   * @default {false}
   */
  closeStuck?: boolean;
  /** Decide and report, but change nothing. */
  dryRun?: boolean;
  /** A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. */
  netns?: string;
  /** Aborting it has the same effect as {@linkcode ManagedPaths.close}. */
  signal?: AbortSignal;
}

/**
 * The state of a path. "ready": its endpoint exists. "leaving": its address or route is gone, and the
 * endpoint will be removed. "probing": the probe has not succeeded yet. "incomplete": something is
 * missing. "foreign": another program created the endpoint; it is not touched. "failed": the kernel
 * refused the endpoint. "excluded": by an option, or because of the kind of interface.
 */
export type PathState =
  | "ready"
  | "leaving"
  | "probing"
  | "incomplete"
  | "foreign"
  | "failed"
  | "excluded";

/** Something that a path lacks, and how to fix it. */
export interface MissingPart {
  /** What is missing, in a sentence. */
  readonly text: string;
  /** The commands that fix it; empty if no command can. */
  readonly commands: readonly string[];
}

/** A path of this machine, or an address or interface that could become one. */
export interface ManagedPath {
  /** The address; undefined for an interface without one. */
  readonly address: string | undefined;
  /** The name of the interface. */
  readonly device: string;
  /** The IP version; undefined without an address. */
  readonly family: 4 | 6 | undefined;
  /** Its state. */
  readonly state: PathState;
  /** The reason for the state, if it is not obvious. */
  readonly detail: string | undefined;
  /** The role from the options. */
  readonly role: PathRole | undefined;
  /** Whether connections start on it. */
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

/** A decision of a policy, or one that follows from a network change. */
export interface PathDecision {
  /** When, in milliseconds since 1970. */
  readonly time: number;
  /** The name of the policy that decided, or "network". */
  readonly by: string;
  /** The path, by its address. */
  readonly path: string;
  /** The name of the interface. */
  readonly device: string;
  /** What was done. */
  readonly action: "add" | "remove" | "promote" | "demote" | "retry" | "skip";
  /** Why, in a sentence. */
  readonly reason: string;
  /** The token of the connection; undefined for all connections. */
  readonly token: number | undefined;
  /** The kernel's error, if it refused. */
  readonly error: string | undefined;
}

/** How many decisions of a kind there were. */
export interface PathDecisionCount {
  /** The name of the policy that decided, or "network". */
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
  /** The kind of event. */
  readonly type: "decision";
  /** The decision. */
  readonly decision: PathDecision;
}

/** The paths of the machine have changed. */
export interface PathsEvent {
  /** The kind of event. */
  readonly type: "paths";
  /** All of them now. */
  readonly paths: readonly ManagedPath[];
}

/** Something failed. Each cause is reported once. */
export interface ProblemEvent {
  /** The kind of event. */
  readonly type: "problem";
  /** What failed, and what to do about it. */
  readonly message: string;
  /** The name of the errno, such as "EPERM". */
  readonly code: string | undefined;
}

/** An event of {@linkcode ManagedPaths}. Plain data. */
export type ManagedPathsEvent = DecisionEvent | PathsEvent | ProblemEvent;

/** The state of {@linkcode ManagedPaths}. Plain data. */
export interface ManagedPathsState {
  /** The paths, and the interfaces that could become paths. */
  readonly paths: readonly ManagedPath[];
  /** The limits of the kernel's path manager. */
  readonly limits: PathManagerLimits | undefined;
  /** The path manager of this namespace: "kernel" or "userspace"; undefined before 5.19. */
  readonly pathManager: string | undefined;
  /** The name of the policy. */
  readonly policy: string;
  /** What failed, each cause once. */
  readonly problems: readonly string[];
}
