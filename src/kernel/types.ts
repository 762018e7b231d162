/**
 * The public types of how the kernel is set up: endpoints, limits, sysctls, addresses.
 *
 * @module
 */

/** The flags of an endpoint: `MPTCP_PM_ADDR_FLAG_*`. All are off by default. */
export interface EndpointFlags {
  /** Announce the address to peers, which may then open subflows to it. A server's flag. */
  signal?: boolean;
  /** Open a subflow from the address to the peer. A client's flag. */
  subflow?: boolean;
  /** Use its subflows only while no other path works. */
  backup?: boolean;
  /**
   * With `subflow`: open one to every address of the peer, not only the first. Not with `signal`.
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
  /** 1 to 255; if omitted, the kernel uses the next free id. */
  id?: number;
  /**
   * The port that accepts subflows on an announced address; if omitted, the port of the connection.
   * Only with `signal` and without `subflow`: the kernel opens a listener of its own.
   */
  port?: number;
  /** The name of the interface that subflows from this address use. */
  device?: string;
}

/** An endpoint as the kernel has it. */
export interface Endpoint {
  /** 1 to 255; it is also the address id that peers see. */
  readonly id: number;
  /** An IPv4 or IPv6 address. */
  readonly address: string;
  /** The port where the kernel listens for subflows; undefined if it is the port of the connection. */
  readonly port?: number | undefined;
  /** The name of the interface; undefined if none was set. */
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
  /** Created by the kernel for a connection that arrived at an address without an endpoint. */
  readonly implicit: boolean;
}

/** The limits of the kernel's path manager, for each connection of a network namespace. */
export interface PathManagerLimits {
  /** Subflows in addition to the first. The kernel's default is 2. */
  subflows: number;
  /** How many addresses announced by the peer are used. The kernel's default is 0. */
  addAddrAccepted: number;
}

/**
 * The sysctls in `net.mptcp`, under their kernel names. A sysctl that the running kernel lacks is
 * `undefined`; "since" is the first kernel that has it.
 */
export interface MptcpSysctls {
  /** Whether MPTCP sockets can be created. Since 5.6. */
  readonly enabled?: boolean | undefined;
  /** The path manager: "kernel", or "userspace" for a program. Since 5.19, then as `pm_type`. */
  readonly pathManager?: string | undefined;
  /** The possible values of `pathManager`. Since 6.15. */
  readonly availablePathManagers?: readonly string[] | undefined;
  /** The packet scheduler, which chooses the path for data: "default". Since 6.8. */
  readonly scheduler?: string | undefined;
  /** The possible values of `scheduler`. Since 6.10. */
  readonly availableSchedulers?: readonly string[] | undefined;
  /** Whether new connections request checksums on their data. Since 5.14. */
  readonly checksumEnabled?: boolean | undefined;
  /**
   * How many seconds connections do not request MPTCP after SYNs that did were dropped on the path.
   * Doubled each time; 0 switches this off. Since 6.12.
   */
  readonly blackholeTimeout?: number | undefined;
  /** After how many retransmissions a SYN stops requesting MPTCP. Since 6.15. */
  readonly synRetransBeforeTcpFallback?: number | undefined;
  /** After how many losses in a row a subflow is stale: used only if there is no other. Since 5.16. */
  readonly staleLossCnt?: number | undefined;
  /** Seconds before an announcement without an echo is repeated. Since 5.10. */
  readonly addAddrTimeout?: number | undefined;
  /** How many seconds a connection without subflows waits for a new one. Since 6.7. */
  readonly closeTimeout?: number | undefined;
  /** Whether peers may open subflows to the address that they first connected to. Since 5.14. */
  readonly allowJoinInitialAddrPort?: boolean | undefined;
}

/** An address of an interface of this host. */
export interface HostAddress {
  /** An IPv4 or IPv6 address. */
  readonly address: string;
  /** The IP version. */
  readonly family: 4 | 6;
  /** The name of the interface. */
  readonly device: string;
  /** False for loopback and link-local addresses, which do not reach other networks. */
  readonly global: boolean;
}
