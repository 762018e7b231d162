/**
 * The public types of `mptcpSupport`.
 *
 * @module
 */

import type { Endpoint, PathManagerLimits } from "./path_manager/types.ts";
import type { Fallback } from "./types.ts";

/** What the kernel says when it is asked for MPTCP, and how it is set up. */
export interface MptcpSupport {
  /** True if `listenMptcp` and `connectMptcp` would make MPTCP sockets now. */
  readonly supported: boolean;
  /** True if the kernel makes IPv4 MPTCP sockets. */
  readonly ipv4: boolean;
  /** True if the kernel makes IPv6 MPTCP sockets. */
  readonly ipv6: boolean;
  /** Why sockets would be TCP; `null` when supported. */
  readonly fallback: Fallback | null;
  /** The release of the kernel, as "6.18.44"; `null` where it is not Linux. */
  readonly kernel: string | null;
  /** The sysctls in `net.mptcp`. */
  readonly sysctls: MptcpSysctls;
  /** The limits of the path manager; `null` where there is none (before Linux 5.7). */
  readonly limits: PathManagerLimits | null;
  /** The endpoints of the path manager; `null` where there is none. */
  readonly endpoints: readonly Endpoint[] | null;
  /** The addresses of this host. */
  readonly addresses: readonly HostAddress[];
  /** What this process may do. */
  readonly capabilities: MptcpCapabilities;
  /** Sentences for people: what keeps connections from using more than one path, and what to do. */
  readonly hints: readonly string[];
}

/**
 * The sysctls in `net.mptcp`, under their kernel names. One that the running kernel lacks is
 * `undefined`; "since" is the first kernel that has it.
 */
export interface MptcpSysctls {
  /** Whether MPTCP sockets can be made. Since 5.6. */
  readonly enabled?: boolean | undefined;
  /** Who adds paths: "kernel", or "userspace" for a program. Since 5.19, then as `pm_type`. */
  readonly pathManager?: string | undefined;
  /** What `pathManager` can be. Since 6.15. */
  readonly availablePathManagers?: readonly string[] | undefined;
  /** What chooses a path for data: "default". Since 6.8. */
  readonly scheduler?: string | undefined;
  /** What `scheduler` can be. Since 6.10. */
  readonly availableSchedulers?: readonly string[] | undefined;
  /** Whether new connections want checksums on their data. Since 5.14. */
  readonly checksumEnabled?: boolean | undefined;
  /**
   * For how many seconds connections do not ask for MPTCP once SYNs that did were dropped on the way;
   * 0 for never. Twice as long each further time. Since 6.12.
   */
  readonly blackholeTimeout?: number | undefined;
  /** After how many retransmissions a SYN stops asking for MPTCP. Since 6.15. */
  readonly synRetransBeforeTcpFallback?: number | undefined;
  /** After how many losses in a row a subflow is stale: used only if there is no other. Since 5.16. */
  readonly staleLossCnt?: number | undefined;
  /** Seconds before an announcement without an echo is repeated. Since 5.10. */
  readonly addAddrTimeout?: number | undefined;
  /** Seconds that a connection without a subflow waits for a new one. Since 6.7. */
  readonly closeTimeout?: number | undefined;
  /** Whether peers may open subflows to the address that they first connected to. Since 5.14. */
  readonly allowJoinInitialAddrPort?: boolean | undefined;
}

/** An address of an interface of this host. */
export interface HostAddress {
  /** An IPv4 or IPv6 address. */
  readonly address: string;
  /** The version of IP. */
  readonly family: 4 | 6;
  /** The name of the interface. */
  readonly device: string;
  /** False for loopback and link-local addresses, which lead to no other network. */
  readonly global: boolean;
}

/** What this process may do about MPTCP. */
export interface MptcpCapabilities {
  /** Change endpoints and limits, and listen to events: `CAP_NET_ADMIN` over the network namespace. */
  readonly netAdmin: boolean;
  /** Enter network namespaces (`netns`): `CAP_SYS_ADMIN`. */
  readonly sysAdmin: boolean;
}
