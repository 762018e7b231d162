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

/** An IP address, and a port if there is one. */
export interface PathAddress {
  /** An IP address. */
  readonly hostname: string;
  /** 1 to 65535; undefined if none was given. */
  readonly port?: number | undefined;
}

/** The two ends of a subflow, as in `Subflow`. */
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
  /** 1 to 255: the address id. Use the same id for every operation on this address. */
  id: number;
  /** The port that accepts subflows; if omitted, the port of the connection. */
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
  /** The name of the interface to use. */
  device?: string;
  /** An address of the peer. */
  remoteAddress: string;
  /** The port there. */
  remotePort: number;
  /** Ask the peer to send on it only while no other path works. */
  backup?: boolean;
}

/** An MPTCP connection of this network namespace, of this process or of another. */
export interface KernelConnection {
  /** Identifies it, as in events. */
  readonly token: number;
  /** This end of the first subflow. */
  readonly localAddr: PathAddress;
  /** The other end of it. */
  readonly remoteAddr: PathAddress;
  /** Subflows, including the first; undefined before 6.8. */
  readonly subflowsTotal?: number | undefined;
}

/** A connection was created (`MPTCP_EVENT_CREATED`), or can have more subflows (`..._ESTABLISHED`). */
export interface ConnectionEvent {
  /** The kind of event. */
  readonly type: "created" | "established";
  /** Identifies the connection: `info().token` of an `MptcpConn`. */
  readonly token: number;
  /** This end. */
  readonly localAddr: PathAddress;
  /** The other end. */
  readonly remoteAddr: PathAddress;
  /** True at the end that accepted. */
  readonly serverSide: boolean;
  /** The peer does not accept further subflows to the address that it was first connected to. */
  readonly denyJoinInitialAddr: boolean;
}

/** A connection has ended (`MPTCP_EVENT_CLOSED`). */
export interface ClosedEvent {
  /** The kind of event. */
  readonly type: "closed";
  /** Identifies the connection. */
  readonly token: number;
}

/** The peer has announced an address (`MPTCP_EVENT_ANNOUNCED`). */
export interface AnnouncedEvent {
  /** The kind of event. */
  readonly type: "announced";
  /** Identifies the connection. */
  readonly token: number;
  /** The peer's id for the address. */
  readonly remoteId: number;
  /** The address, with the port that subflows would go to. */
  readonly remoteAddr: PathAddress;
}

/** The peer has withdrawn an address (`MPTCP_EVENT_REMOVED`). */
export interface RemovedEvent {
  /** The kind of event. */
  readonly type: "removed";
  /** Identifies the connection. */
  readonly token: number;
  /** The peer's id for the address. */
  readonly remoteId: number;
}

/** A subflow was established or closed, or its priority changed (`MPTCP_EVENT_SUB_*`). */
export interface SubflowEvent {
  /** The kind of event. */
  readonly type: "subflow-established" | "subflow-closed" | "subflow-priority";
  /** Identifies the connection. */
  readonly token: number;
  /** This end. */
  readonly localAddr: PathAddress;
  /** The other end. */
  readonly remoteAddr: PathAddress;
  /** The address id of this end; 0 for the first subflow. */
  readonly localId: number;
  /** The address id of the other end. */
  readonly remoteId: number;
  /** Whether the peer asked to use it as a backup. A request of this end is not shown. */
  readonly backup: boolean;
  /** The name of the errno, such as "ECONNRESET", if the subflow failed. */
  readonly error?: string | undefined;
  /** Why the peer reset the subflow: the reason of MP_TCPRST (RFC 8684, 3.6). */
  readonly resetReason?: number | undefined;
  /** The index of the interface that the subflow is bound to, if any. */
  readonly interfaceIndex?: number | undefined;
}

/**
 * A socket started or stopped listening for MPTCP: one of a program, or of the kernel for an announced
 * port (`MPTCP_EVENT_LISTENER_*`). Since 6.2.
 */
export interface ListenerEvent {
  /** The kind of event. */
  readonly type: "listener-created" | "listener-closed";
  /** This end. */
  readonly localAddr: PathAddress;
}

/**
 * Events arrived faster than they were read, and some were lost at this point. A
 * {@linkcode StateEvent} follows.
 */
export interface LostEvent {
  /** The kind of event. */
  readonly type: "lost";
}

/** The current state, after events were lost. */
export interface StateEvent {
  /** The kind of event. */
  readonly type: "state";
  /** The MPTCP connections of the namespace, or the one that the subscription is about. */
  readonly connections: readonly KernelConnection[];
  /** The endpoints, by id. */
  readonly endpoints: readonly Endpoint[];
  /** The limits. */
  readonly limits: PathManagerLimits;
}

/** An event of a newer kernel, which this module does not know. */
export interface UnknownEvent {
  /** The kind of event. */
  readonly type: "unknown";
  /** Its number in `enum mptcp_event_type`. */
  readonly number: number;
  /** Identifies the connection, if the event is about one. */
  readonly token?: number | undefined;
}

/** An event of the MPTCP connections of a network namespace. */
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
