/**
 * The public types of `@multipath/mptcp/node`.
 *
 * @module
 */

import type { ListenMode, MptcpMode, SocketOptions } from "../types.ts";

/** Socket options in addition to those of `net.Socket` and `net.connect`. */
export interface MptcpSocketMode {
  /**
   * Whether to use MPTCP: `"prefer"`, `"require"`, `"require-peer"` or `"off"`.
   * @default {"prefer"}
   */
  mptcp?: MptcpMode | undefined;
  /**
   * Connect to IPv4 addresses with an IPv6 socket, so that paths of both families can join the
   * connection.
   * @default {true}
   */
  dualStack?: boolean | undefined;
  /** A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. */
  netns?: string | undefined;
  /** Kernel options of the connection. */
  socketOptions?: SocketOptions | undefined;
}

/** A buffer to read into and a callback for the data: `onread` of `net.Socket`. */
export interface OnReadOptions {
  /** The buffer, or a function that returns one for each read. */
  buffer: Uint8Array | (() => Uint8Array);
  /** Called with the number of bytes and the buffer; returning `false` pauses the socket. */
  callback(bytesRead: number, buffer: Uint8Array): boolean | void;
}

/** Options of `new MptcpSocket()`: those of `net.Socket` and of this module. */
export interface MptcpSocketOptions extends MptcpSocketMode {
  /**
   * Whether the socket stays open for writing when the peer ends its side.
   * @default {false}
   */
  allowHalfOpen?: boolean | undefined;
  /** The descriptor of a connected socket, which the new socket then owns. */
  fd?: number | undefined;
  /** Destroys the socket when aborted. */
  signal?: AbortSignal | undefined;
  /** Reads into a buffer of the caller instead of emitting "data". */
  onread?: OnReadOptions | undefined;
  /** Bytes buffered for a slow reader before reading pauses. */
  readableHighWaterMark?: number | undefined;
  /** Bytes buffered for a slow peer before `write` returns `false`. */
  writableHighWaterMark?: number | undefined;
  /** Both high-water marks. */
  highWaterMark?: number | undefined;
}

/** An address of a name, as returned by `dns.lookup`. */
export interface LookupAddress {
  /** An IP address. */
  address: string;
  /** 4 or 6. */
  family: number;
}

/** A replacement for the system's name lookup: the `lookup` option of `net.connect`. */
export type LookupFunction = (
  hostname: string,
  options: { all?: boolean; family?: number; hints?: number },
  callback: (
    error: Error | null,
    address: string | LookupAddress[],
    family?: number,
  ) => void,
) => void;

/** Options of `socket.connect`: those of `net.connect` and of this module. */
export interface MptcpSocketConnectOptions extends MptcpSocketMode {
  /** 0 to 65535. */
  port: number | string;
  /**
   * An IP address or a name.
   * @default {"localhost"}
   */
  host?: string | undefined;
  /** The IP address to connect from. */
  localAddress?: string | undefined;
  /** The port to connect from. */
  localPort?: number | undefined;
  /** 4 or 6: the family to look the name up in; 0 for both. */
  family?: number | "IPv4" | "IPv6" | undefined;
  /** Hints for `lookup`. */
  hints?: number | undefined;
  /** Replaces the system's name lookup. */
  lookup?: LookupFunction | undefined;
  /** `TCP_NODELAY`; on by default, unlike in `node:net`. */
  noDelay?: boolean | undefined;
  /** `SO_KEEPALIVE`. */
  keepAlive?: boolean | undefined;
  /** Milliseconds without data before the first keep-alive probe. */
  keepAliveInitialDelay?: number | undefined;
  /**
   * Happy Eyeballs: try the next address in parallel if an attempt is slow. With `false` only the first
   * address of a name is tried.
   * @default {true}
   */
  autoSelectFamily?: boolean | undefined;
  /**
   * Milliseconds before the next attempt is started in parallel with a slow one.
   * @default {250}
   */
  autoSelectFamilyAttemptTimeout?: number | undefined;
}

/** Options of `setKeepAlive`; times are in milliseconds. */
export interface KeepAliveOptions {
  /** Whether probes are sent. */
  enable?: boolean | undefined;
  /** Time without data before the first probe. */
  initialDelay?: number | undefined;
  /** Time between probes. */
  interval?: number | undefined;
  /** Unanswered probes before the connection is given up. */
  count?: number | undefined;
}

/** The path of a Unix socket. This module refuses it, because MPTCP has no Unix sockets. */
export interface UnixSocketOptions {
  /** A path. */
  path: string;
}

/** Options of `createConnection`. */
export interface CreateConnectionOptions
  extends MptcpSocketConnectOptions, Omit<MptcpSocketOptions, keyof MptcpSocketMode> {
  /** Milliseconds without data before the socket emits "timeout". */
  timeout?: number | undefined;
}

/** Options of `createServer`: those of `net.createServer` and of this module. */
export interface MptcpSocketServerOptions {
  /**
   * Whether connections stay open for writing when the peer ends its side.
   * @default {false}
   */
  allowHalfOpen?: boolean | undefined;
  /**
   * Whether connections start paused.
   * @default {false}
   */
  pauseOnConnect?: boolean | undefined;
  /** `TCP_NODELAY` of connections; on by default, unlike in `node:net`. */
  noDelay?: boolean | undefined;
  /** `SO_KEEPALIVE` of connections. */
  keepAlive?: boolean | undefined;
  /** Milliseconds without data before the first keep-alive probe. */
  keepAliveInitialDelay?: number | undefined;
  /** Bytes that connections buffer in each direction. */
  highWaterMark?: number | undefined;
  /**
   * Whether to use MPTCP: `"prefer"`, `"require"` or `"off"`. TCP clients are always served.
   * @default {"prefer"}
   */
  mptcp?: ListenMode | undefined;
  /** A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. */
  netns?: string | undefined;
  /** Kernel options of the listener, which connections inherit. */
  socketOptions?: SocketOptions | undefined;
}

/** Options of `server.listen`. */
export interface MptcpServerListenOptions {
  /**
   * 0 to 65535; 0 lets the kernel choose.
   * @default {0}
   */
  port?: number | string | undefined;
  /** The descriptor of a socket that is already listening, instead of port and host. */
  fd?: number | undefined;
  /** An IP address or a name; every address of this machine by default. */
  host?: string | undefined;
  /** How many connections may wait to be accepted. */
  backlog?: number | undefined;
  /** An IPv6 listener does not accept IPv4 connections. */
  ipv6Only?: boolean | undefined;
  /** `SO_REUSEPORT`. */
  reusePort?: boolean | undefined;
  /** Ignored: sockets are not shared with a cluster. */
  exclusive?: boolean | undefined;
  /** Closes the server when aborted. */
  signal?: AbortSignal | undefined;
}

/** An IP address and port, in the format of `node:net`. */
export interface SocketAddressInfo {
  /** An IP address. IPv4-mapped IPv6 addresses are shown as IPv4. */
  address: string;
  /** `"IPv4"` or `"IPv6"`. */
  family: string;
  /** 1 to 65535. */
  port: number;
}

/** A connection closed because the server was full: the argument of the "drop" event. */
export interface DroppedConnection {
  /** The address of this end. */
  localAddress: string;
  /** The port of this end. */
  localPort: number;
  /** `"IPv4"` or `"IPv6"`. */
  localFamily: string;
  /** The address of the client. */
  remoteAddress: string;
  /** The port of the client. */
  remotePort: number;
  /** `"IPv4"` or `"IPv6"`. */
  remoteFamily: string;
}
