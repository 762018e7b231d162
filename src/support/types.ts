/**
 * The public types of `mptcpSupport`.
 *
 * @module
 */

import type { Endpoint, HostAddress, MptcpSysctls, PathManagerLimits } from "../kernel/types.ts";
import type { Fallback } from "../types.ts";

/** Whether the kernel offers MPTCP, and how it is configured. */
export interface MptcpSupport {
  /** True if `listenMptcp` and `connectMptcp` would make MPTCP sockets now. */
  readonly supported: boolean;
  /** True if the kernel makes IPv4 MPTCP sockets. */
  readonly ipv4: boolean;
  /** True if the kernel makes IPv6 MPTCP sockets. */
  readonly ipv6: boolean;
  /** Why sockets would be TCP; `null` if MPTCP is supported. */
  readonly fallback: Fallback | null;
  /** The kernel release, such as "6.18.44"; `null` if it is not Linux. */
  readonly kernel: string | null;
  /** The sysctls in `net.mptcp`. */
  readonly sysctls: MptcpSysctls;
  /** The limits of the path manager; `null` if the kernel has none (before Linux 5.7). */
  readonly limits: PathManagerLimits | null;
  /** The endpoints of the path manager; `null` if the kernel has none. */
  readonly endpoints: readonly Endpoint[] | null;
  /** The addresses of this host. */
  readonly addresses: readonly HostAddress[];
  /** What this process may do. */
  readonly capabilities: MptcpCapabilities;
  /**
   * Sentences for people: this kernel is known to deliver wrong bytes over several paths, or has
   * counted signs of it. Empty if nothing is known.
   */
  readonly warnings: readonly string[];
  /** Sentences for people: why connections cannot use more than one path, and what to do. */
  readonly hints: readonly string[];
}

/** What this process may do about MPTCP. */
export interface MptcpCapabilities {
  /** Change endpoints and limits, and listen to events: `CAP_NET_ADMIN` over the network namespace. */
  readonly netAdmin: boolean;
  /** Enter network namespaces (`netns`): `CAP_SYS_ADMIN`. */
  readonly sysAdmin: boolean;
}
