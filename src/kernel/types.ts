/**
 * The public types of how the kernel is set up: endpoints, limits, sysctls, addresses.
 *
 * @module
 */

/** What an endpoint is for: `MPTCP_PM_ADDR_FLAG_*`. All are off unless said otherwise. */
export interface EndpointFlags {
  /** Announce the address to peers, which may then open subflows to it. A server's flag. */
  signal?: boolean;
  /** Open a subflow from the address to the peer. A client's flag. */
  subflow?: boolean;
  /** Have its subflows used only while no other path works. */
  backup?: boolean;
  /**
   * With `subflow`: open one to each address of the peer, not to the first alone. Not with `signal`.
   * Since 5.15.
   */
  fullmesh?: boolean;
  /** With `subflow`: use the address to answer announcements of the peer. Since 6.18. */
  laminar?: boolean;
}

/** An endpoint to add. */
export interface EndpointOptions extends EndpointFlags {
  /** An IPv4 or IPv6 address of this host. */
  address: string;
  /** 1 to 255; left out, the kernel takes the next free one. */
  id?: number;
  /**
   * Where to take subflows on an announced address; left out, it is the port of the connection. Only
   * with `signal` and without `subflow`: the kernel opens a listener of its own.
   */
  port?: number;
  /** The name of the interface that subflows from this address go out by. */
  device?: string;
}

/** An endpoint as the kernel has it. */
export interface Endpoint {
  /** 1 to 255; it is also the address id that peers see. */
  readonly id: number;
  /** An IPv4 or IPv6 address. */
  readonly address: string;
  /** Where the kernel listens for subflows; undefined where it is the port of the connection. */
  readonly port?: number | undefined;
  /** The name of the interface; undefined where none was chosen. */
  readonly device?: string | undefined;
  /** It is announced to peers. */
  readonly signal: boolean;
  /** Subflows are opened from it. */
  readonly subflow: boolean;
  /** Its subflows are used only while no other path works. */
  readonly backup: boolean;
  /** Subflows are opened from it to each address of the peer. */
  readonly fullmesh: boolean;
  /** It is used to answer announcements of the peer. */
  readonly laminar: boolean;
  /** Made by the kernel for a connection that came to an address without an endpoint. */
  readonly implicit: boolean;
}

/** How far the kernel's path manager goes, for each connection of a network namespace. */
export interface PathManagerLimits {
  /** Subflows beside the first. The kernel begins with 2, and knows the largest value. */
  subflows: number;
  /** Addresses announced by the peer that are used. The kernel begins with 0. */
  addAddrAccepted: number;
}

/**
 * The sysctls in `net.mptcp`, under their kernel names. One that the running kernel lacks is
 * `undefined`; "since" is the first kernel that has it.
 */
export interface MptcpSysctls {
  /** Whether MPTCP sockets can be made. Since 5.6. */
  readonly enabled?: boolean | undefined;
  /** The path manager: "kernel", or "userspace" for a program. Since 5.19, then as `pm_type`. */
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
