/**
 * The public types of the path manager.
 *
 * @module
 */

import type { Endpoint, PathManagerLimits } from "../kernel/types.ts";

export type {
  Endpoint,
  EndpointFlags,
  EndpointOptions,
  PathManagerLimits,
} from "../kernel/types.ts";

/** An IP address, and a port where there is one. */
export interface PathAddress {
  /** An IP address. */
  readonly hostname: string;
  /** 1 to 65535; undefined where none was given. */
  readonly port?: number | undefined;
}

/** The two ends of a subflow, as `Subflow` of a connection has them. */
export interface SubflowEnds {
  /** This end. */
  readonly localAddr: { readonly hostname: string; readonly port: number };
  /** The other end. */
  readonly remoteAddr: { readonly hostname: string; readonly port: number };
}

/** An address to announce on one connection. */
export interface AnnounceOptions {
  /** An IPv4 or IPv6 address of this host. */
  address: string;
  /** 1 to 255: the address id, the same for all that is done with this address. */
  id: number;
  /** Where to take subflows; left out, it is the port of the connection. */
  port?: number;
  /** The name of the interface. */
  device?: string;
}

/** A subflow to open on one connection. */
export interface CreateSubflowOptions {
  /** An IPv4 or IPv6 address of this host. */
  localAddress: string;
  /** 1 to 255: the address id of `localAddress`. */
  localId: number;
  /** The name of the interface to go out by. */
  device?: string;
  /** An address of the peer. */
  remoteAddress: string;
  /** The port there. */
  remotePort: number;
  /** Have the peer send on it only while no other path works. */
  backup?: boolean;
}

/** An MPTCP connection of this network namespace, of this process or of another. */
export interface KernelConnection {
  /** Names it, as in events. */
  readonly token: number;
  /** This end of the first subflow. */
  readonly localAddr: PathAddress;
  /** The other end of it. */
  readonly remoteAddr: PathAddress;
  /** Subflows, the first included; undefined before 6.8. */
  readonly subflowsTotal?: number | undefined;
}

/** A connection was made (`MPTCP_EVENT_CREATED`), or can have more subflows (`..._ESTABLISHED`). */
export interface ConnectionEvent {
  /** Says which of the two it is. */
  readonly type: "created" | "established";
  /** Names the connection: `info().token` of an `MptcpConn`. */
  readonly token: number;
  /** This end. */
  readonly localAddr: PathAddress;
  /** The other end. */
  readonly remoteAddr: PathAddress;
  /** True at the end that accepted. */
  readonly serverSide: boolean;
  /** The peer wants no subflow to the address that it was first reached at. */
  readonly denyJoinInitialAddr: boolean;
}

/** A connection has ended (`MPTCP_EVENT_CLOSED`). */
export interface ClosedEvent {
  /** Says which event it is. */
  readonly type: "closed";
  /** Names the connection. */
  readonly token: number;
}

/** The peer has announced an address (`MPTCP_EVENT_ANNOUNCED`). */
export interface AnnouncedEvent {
  /** Says which event it is. */
  readonly type: "announced";
  /** Names the connection. */
  readonly token: number;
  /** The peer's id for the address. */
  readonly remoteId: number;
  /** The address, with the port that subflows would go to. */
  readonly remoteAddr: PathAddress;
}

/** The peer has withdrawn an address (`MPTCP_EVENT_REMOVED`). */
export interface RemovedEvent {
  /** Says which event it is. */
  readonly type: "removed";
  /** Names the connection. */
  readonly token: number;
  /** The peer's id for the address. */
  readonly remoteId: number;
}

/** A subflow came, went, or changed its priority (`MPTCP_EVENT_SUB_*`). */
export interface SubflowEvent {
  /** Says which of the three it is. */
  readonly type: "subflow-established" | "subflow-closed" | "subflow-priority";
  /** Names the connection. */
  readonly token: number;
  /** This end. */
  readonly localAddr: PathAddress;
  /** The other end. */
  readonly remoteAddr: PathAddress;
  /** The address id of this end; 0 is the first subflow's. */
  readonly localId: number;
  /** The address id of the other end. */
  readonly remoteId: number;
  /** Whether the peer asks to send on it only while no other works. This end's own asking does not show. */
  readonly backup: boolean;
  /** The name of an errno, as "ECONNRESET", where the subflow failed. */
  readonly error?: string | undefined;
  /** Why the peer reset the subflow: the reason of MP_TCPRST (RFC 8684, 3.6). */
  readonly resetReason?: number | undefined;
  /** The index of the interface that the subflow is bound to, where it is to one. */
  readonly interfaceIndex?: number | undefined;
}

/**
 * A socket has begun to listen for MPTCP, a program's or the kernel's for an announced port, or does
 * so no more (`MPTCP_EVENT_LISTENER_*`). Since 6.2.
 */
export interface ListenerEvent {
  /** Says which of the two it is. */
  readonly type: "listener-created" | "listener-closed";
  /** This end. */
  readonly localAddr: PathAddress;
}

/**
 * Events came faster than they were read, and some are lost. The events before it happened before the
 * gap; a {@linkcode StateEvent} follows.
 */
export interface LostEvent {
  /** Says which event it is. */
  readonly type: "lost";
}

/** What there is at this moment, after a gap: to begin anew from. */
export interface StateEvent {
  /** Says which event it is. */
  readonly type: "state";
  /** The MPTCP connections of the namespace; the one that the subscription is about, if it is about one. */
  readonly connections: readonly KernelConnection[];
  /** The endpoints, by id. */
  readonly endpoints: readonly Endpoint[];
  /** The limits. */
  readonly limits: PathManagerLimits;
}

/** An event that this module does not know: of a newer kernel. */
export interface UnknownEvent {
  /** Says which event it is. */
  readonly type: "unknown";
  /** Its number in `enum mptcp_event_type`. */
  readonly number: number;
  /** Names the connection, where the event is about one. */
  readonly token?: number | undefined;
}

/** What happens to the MPTCP connections of a network namespace. */
export type MptcpEvent =
  | ConnectionEvent
  | ClosedEvent
  | AnnouncedEvent
  | RemovedEvent
  | SubflowEvent
  | ListenerEvent
  | LostEvent
  | StateEvent
  | UnknownEvent;
