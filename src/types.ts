/**
 * The public types. They are structural: they name no type of Deno or Bun, and have the shape of
 * `Deno.TcpConn` and `Deno.TcpListener`.
 *
 * @module
 */

import type { MptcpInfo, TcpInfo } from "./kernel/info_types.ts";

/**
 * Whether a connection uses MPTCP:
 *
 * - `"prefer"`: MPTCP if the kernel offers it, otherwise TCP; `fallback` says why.
 * - `"require"`: an MPTCP socket or an error. The *peer* may still not support MPTCP: `protocol` tells
 *   once connected.
 * - `"require-peer"`: an MPTCP connection or an error. A peer that only speaks TCP is an `MptcpError`
 *   with code "ERR_MPTCP_PEER", whose `fallback` says why. Connections only.
 * - `"off"`: TCP.
 *
 * The environment variable `NO_MPTCP=1` turns `"prefer"` into `"off"` for a whole process, and makes
 * `"require"` and `"require-peer"` fail.
 */
export type MptcpMode = "prefer" | "require" | "require-peer" | "off";

/** Whether a listener uses MPTCP. It accepts TCP clients too, so it cannot require MPTCP of peers. */
export type ListenMode = Exclude<MptcpMode, "require-peer">;

/** The protocol of a listener, or of a connection whose protocol is known. */
export type Protocol = "mptcp" | "tcp";

/** An address and port, as `Deno.NetAddr`. IPv4-mapped IPv6 addresses are shown as IPv4. */
export interface NetAddr {
  /** Always `"tcp"`, for MPTCP too. */
  transport: "tcp";
  /** An IP address. Link-local IPv6 addresses end with `%` and the interface index. */
  hostname: string;
  /** 1 to 65535. */
  port: number;
}

/** Why something is TCP and not MPTCP. */
export interface Fallback {
  /**
   * - `"off"`: the caller or `NO_MPTCP` switched MPTCP off.
   * - `"not-linux"`: MPTCP does not exist on this system; the runtime's own TCP is used.
   * - `"kernel"`: the kernel refused an MPTCP socket, and `code` has the errno; or it created one but
   *   could not request MPTCP with it.
   * - `"peer"`: the peer, or a device on the path, does not support MPTCP.
   * - `"blackhole"`: the kernel stopped requesting MPTCP after connections that failed.
   * - `"descriptor"`: the descriptor passed to the function is a TCP socket.
   */
  readonly reason: "off" | "not-linux" | "kernel" | "peer" | "blackhole" | "descriptor";
  /** The C name of the errno, if any, such as "ENOPROTOOPT". */
  readonly code?: string;
  /** A sentence for people: what happened and, if useful, what to do. */
  readonly detail: string;
}

/** Keep-alive probes, in the kernel's terms. Omitted members keep the system's default. */
export interface KeepAlive {
  /** Seconds without data before the first probe (`TCP_KEEPIDLE`). */
  idle?: number;
  /** Seconds between probes (`TCP_KEEPINTVL`). */
  interval?: number;
  /** Unanswered probes before the connection, or the subflow, is given up (`TCP_KEEPCNT`). */
  count?: number;
}

/**
 * Kernel options of a socket, set before it is bound or connected. Accepted connections inherit the
 * options of the listener. If the kernel refuses an option, the call throws an `MptcpError` that names
 * it. TCP sockets support all of them; "since" is the first Linux version whose MPTCP sockets do.
 */
export interface SocketOptions {
  /** `TCP_NODELAY`: send small writes at once. Default `true`. Since 5.17. */
  noDelay?: boolean;
  /** `SO_KEEPALIVE` (since 5.13); an object: `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT` (since 6.10). */
  keepAlive?: boolean | KeepAlive;
  /** `TCP_CONGESTION`: the congestion control, such as "cubic", "reno" or "bbr". Since 5.13. */
  congestion?: string;
  /** `TCP_MAXSEG`: the maximum segment size, in bytes. Since 6.17. */
  maxSegment?: number;
  /**
   * `SO_SNDBUF` in bytes; the kernel doubles it, caps it at `net.core.wmem_max` and stops tuning it.
   * Since 5.13.
   */
  sendBuffer?: number;
  /**
   * `SO_RCVBUF` in bytes; the kernel doubles it, caps it at `net.core.rmem_max` and stops tuning it.
   * Since 5.13.
   */
  receiveBuffer?: number;
  /**
   * The initial size of the receive buffer in bytes; the kernel tunes it up from there. It is set with
   * `SO_RCVLOWAT`: to half the size, then back to 1. The kernel's default is 128 KiB
   * (`net.ipv4.tcp_rmem`), its maximum the third value of that sysctl. Memory is only used for data in
   * the buffer, but a peer can fill the buffer of every connection that is not read: raise it with
   * care. Since 6.12; throws if the kernel ignores it.
   */
  initialReceiveBuffer?: number;
  /** `TCP_NOTSENT_LOWAT` in bytes: unsent data above which a socket is not writable. Since 6.9. */
  notSentLowat?: number;
  /**
   * `TCP_DEFER_ACCEPT` in seconds: accept a connection only after it has sent data. Listeners only.
   * It delays additional subflows of MPTCP connections as well, because they carry no data at first.
   * Since 5.19.
   */
  deferAccept?: number;
  /** `TCP_FASTOPEN`, the queue length, on a listener; `TCP_FASTOPEN_CONNECT`, 0 or 1, on connect. Since 6.2. */
  fastOpen?: number;
  /** `SO_MARK`, for policy routing. Needs `CAP_NET_ADMIN`. Since 5.13. */
  mark?: number;
  /** `SO_PRIORITY`, 0 to 6 without `CAP_NET_ADMIN`. Since 5.13. */
  priority?: number;
  /** `IP_TOS` (since 5.17) or `IPV6_TCLASS` (not on MPTCP sockets up to 6.18), 0 to 255. */
  tos?: number;
  /** `SO_BINDTODEVICE`: the name of a network interface. */
  bindDevice?: string;
  /** `IP_FREEBIND` or `IPV6_FREEBIND`: bind an address that the host does not have (yet). Since 5.17. */
  freebind?: boolean;
  /** `IP_TRANSPARENT` or `IPV6_TRANSPARENT`. Needs `CAP_NET_ADMIN`. Since 5.17. */
  transparent?: boolean;
  /** `SO_LINGER` in seconds, 0 to reset on close; `null` for the kernel's default. Since 5.13. */
  linger?: number | null;
}

/** Options of `listenMptcp`. */
export interface ListenMptcpOptions {
  /**
   * The descriptor of a socket that is already listening, instead of `hostname`, `port`, `ipv6Only`,
   * `reusePort` and `netns`; see `listenFds`. The listener then owns it. If `listenMptcp` throws, you
   * still own the descriptor, and it stays open.
   */
  fd?: number;
  /**
   * An IP address or a name of this machine. `"::"` accepts IPv4 too, unless `ipv6Only` is set.
   * @default {"0.0.0.0"}
   */
  hostname?: string;
  /**
   * 0 to 65535; 0 lets the kernel choose.
   * @default {0}
   */
  port?: number;
  /**
   * Whether to use MPTCP: `"prefer"`, `"require"` or `"off"`.
   * @default {"prefer"}
   */
  mptcp?: ListenMode;
  /**
   * How many connections may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
   * @default {511}
   */
  tcpBacklog?: number;
  /**
   * `SO_REUSEPORT`: several listeners share one port and the kernel spreads connections over them.
   * @default {false}
   */
  reusePort?: boolean;
  /**
   * `IPV6_V6ONLY`: an IPv6 listener does not accept IPv4 connections.
   * @default {false}
   */
  ipv6Only?: boolean;
  /** A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. */
  netns?: string;
  /** Kernel options of the listener, which accepted connections inherit. */
  socketOptions?: SocketOptions;
}

/** Options of `connectMptcp`. */
export interface ConnectMptcpOptions {
  /**
   * An IP address or a name.
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /** 0 to 65535. */
  port: number;
  /**
   * Whether to use MPTCP: `"prefer"`, `"require"`, `"require-peer"` or `"off"`.
   * @default {"prefer"}
   */
  mptcp?: MptcpMode;
  /** Aborts the attempt: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /**
   * Happy Eyeballs (RFC 8305): try the next address in parallel if an attempt is slow. With `false`
   * the addresses of a name are tried one after another.
   * @default {true}
   */
  autoSelectFamily?: boolean;
  /**
   * Milliseconds before the next attempt is started in parallel with a slow one.
   * @default {250}
   */
  autoSelectFamilyAttemptDelay?: number;
  /** The IP address to connect from. */
  localAddress?: string;
  /** The port to connect from; 0 lets the kernel choose. */
  localPort?: number;
  /**
   * Connect to IPv4 addresses with an IPv6 socket, so that paths of both families can join the MPTCP
   * connection. The kernel never adds IPv6 paths to an IPv4 socket.
   * @default {true}
   */
  dualStack?: boolean;
  /**
   * A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. Host names are
   * looked up in the namespace of the process.
   */
  netns?: string;
  /** Kernel options of the connection. */
  socketOptions?: SocketOptions;
}

/** Options of `shutdown` of a server, a client or a proxy. */
export interface ShutdownOptions {
  /**
   * Milliseconds for work in progress to finish; after that it is cut off.
   * @default {Infinity}
   */
  timeout?: number;
}

/** A descriptor that a service manager passed to this process. */
export interface ListenFd {
  /** The descriptor. */
  readonly fd: number;
  /** Its name (`FileDescriptorName=` of systemd); "unknown" if it has none. */
  readonly name: string;
}

/** The state of a TCP or MPTCP socket in the kernel. */
export interface MptcpState {
  /** The protocol it uses now; for a listener, the kind of socket. */
  readonly protocol: Protocol | "unknown";
  /** Why it is TCP, as far as the descriptor reveals; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
  /** Whether it is listening. */
  readonly isListening: boolean;
  /** This end. */
  readonly localAddr: NetAddr;
  /** The other end; `null` if it is not connected. */
  readonly remoteAddr: NetAddr | null;
  /** The kernel's figures about an MPTCP connection; `null` for anything else. */
  readonly info: MptcpInfo | null;
  /** The paths in use; a TCP connection is one subflow. */
  readonly subflows: Subflow[];
}

/** A listening socket. It has all members of `Deno.TcpListener`, and more. */
export interface MptcpListener extends AsyncIterable<MptcpConn>, Disposable {
  /**
   * Waits for the next connection.
   *
   * @throws {MptcpError} name "BadResource" if the listener is closed, before or during the call;
   * "Busy" if another `accept` is waiting; codes "EMFILE" and "ENFILE" if no descriptor is left (the
   * connection stays in the backlog).
   */
  accept(): Promise<MptcpConn>;
  /** Stops listening. Accepted connections stay open; the others are reset. */
  close(): void;
  /** The address and port that it listens on. */
  readonly addr: NetAddr;
  /** Iterates over new connections until the listener is closed. Leaving the loop closes it. */
  [Symbol.asyncIterator](): AsyncIterableIterator<MptcpConn>;
  /** Makes a waiting `accept` keep the process alive, which is the default. */
  ref(): void;
  /** Allows the process to exit while an `accept` is waiting. */
  unref(): void;
  /**
   * The file descriptor. The socket still owns it: do not close it. -1 once closed or detached, and if
   * the runtime's own TCP is used.
   */
  readonly fd: number;
  /** The kind of socket. An MPTCP listener accepts TCP clients too. */
  readonly protocol: Protocol;
  /** Why it is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
  /**
   * Transfers ownership of the descriptor to the caller. It is non-blocking and close-on-exec. A
   * waiting `accept` is rejected as by `close`.
   *
   * @throws {MptcpError} code "ERR_UNSUPPORTED" if the runtime's own TCP is used.
   */
  detach(): number;
}

/** A connection. It has all members of `Deno.TcpConn`, and more. */
export interface MptcpConn extends Disposable {
  /**
   * Waits for data, reads at least one byte into `p`, and resolves to the number of bytes; `null` at
   * the end of the stream. An empty `p` resolves to 0 at once. Reads are served in the order of the
   * calls.
   *
   * @throws {MptcpError} code "ECONNRESET" and others from the network; name "Interrupted", code
   * "EINTR" if the connection is closed during the read; name "BadResource" if it was closed before.
   */
  read(p: Uint8Array): Promise<number | null>;
  /**
   * Waits for room, writes at least one byte of `p`, and resolves to the number of bytes, which may be
   * fewer than the length of `p`. {@linkcode MptcpConn.writable} writes all bytes. An empty `p`
   * resolves to 0 at once.
   *
   * @throws {MptcpError} code "EPIPE" or "ECONNRESET" if the peer has closed or reset the connection;
   * otherwise as for `read`.
   */
  write(p: Uint8Array): Promise<number>;
  /**
   * Closes both directions. Pending reads and writes are rejected with name "Interrupted".
   *
   * Over TCP, a peer that continues to send is reset. Over MPTCP it is not: it can fill the receive
   * buffer of this end, and then waits for `net.mptcp.close_timeout`, 60 s by default. To stop such a
   * peer, set `socketOptions.linger` to 0, which makes `close` a reset, or call `closeWrite` and read
   * to the end first.
   */
  close(): void;
  /** Closes the outgoing direction after pending writes: the peer reads end of stream. */
  closeWrite(): Promise<void>;
  /** Makes a waiting `read` or `write` keep the process alive, which is the default. */
  ref(): void;
  /** Allows the process to exit while a `read` or `write` is waiting. */
  unref(): void;
  /** Turns `TCP_NODELAY` on or off; it is on by default. */
  setNoDelay(noDelay?: boolean): void;
  /** Turns keep-alive probes on or off; they are off by default. */
  setKeepAlive(keepAlive?: boolean): void;
  /** This end. */
  readonly localAddr: NetAddr;
  /** The other end. */
  readonly remoteAddr: NetAddr;
  /**
   * The incoming bytes as a byte stream with the kernel's own back-pressure. Cancelling it closes the
   * connection. So does the end of the stream, unless `writable` is in use: then the connection stays
   * open for writing. `pipeTo` the `writable` of another connection, without a signal, copies the bytes
   * through one buffer of at most 64 KiB instead of stream chunks.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Writes all of each chunk. Closing or aborting it closes the connection. */
  readonly writable: WritableStream<Uint8Array<ArrayBufferLike>>;
  /**
   * The file descriptor. The socket still owns it: do not close it. -1 once closed or detached, and if
   * the runtime's own TCP is used.
   */
  readonly fd: number;
  /**
   * The protocol in use now. Each call asks the kernel, because a connection can fall back from MPTCP
   * to TCP until its first data has been acknowledged. `"unknown"` before the handshake is complete
   * (only with `fastOpen`) and on kernels before 5.16. After closing, the last known protocol.
   */
  readonly protocol: Protocol | "unknown";
  /** Why it is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
  /** The kernel's figures about an MPTCP connection; `null` if it is TCP or closed. */
  info(): MptcpInfo | null;
  /**
   * The paths in use; since Linux 6.5, a consistent snapshot. A TCP connection has one subflow. A
   * closed connection has none, and neither does an MPTCP connection that lost all paths and waits for
   * a new one.
   */
  subflows(): Subflow[];
  /**
   * Transfers ownership of the descriptor to the caller. It is non-blocking and close-on-exec. Pending
   * reads and writes are rejected as by `close`. `Deno.startTls` does this to its connection.
   *
   * @throws {MptcpError} code "ERR_UNSUPPORTED" if the runtime's own TCP is used.
   */
  detach(): number;
}

/** One path of a connection: a TCP connection of its own, on the wire. */
export interface Subflow {
  /**
   * The number of the subflow, counted from 1 in the order in which the subflows of the connection were
   * established. It is not an address id. Since 6.5; undefined before, and for a TCP connection.
   */
  readonly id?: number | undefined;
  /** This end. */
  readonly localAddr: NetAddr;
  /** The other end. */
  readonly remoteAddr: NetAddr;
  /** The kernel's figures about it; empty if the runtime's own TCP is used. */
  readonly tcp: TcpInfo;
}

/** A parsed address: the result of `parseAddress`. */
export interface ParsedAddress {
  /** From the prefix: `mptcp@` is "require", `tcp@` is "off", no prefix is "prefer". */
  readonly mptcp: ListenMode;
  /** 4 or 6 if the prefix selects the family (`mptcp4@`, `tcp6@`); otherwise undefined. */
  readonly family?: 4 | 6 | undefined;
  /** An IP address without brackets, or a name. Empty if the text has none (`:8080`). */
  readonly hostname: string;
  /** The first port; undefined if the text has none. */
  readonly port?: number | undefined;
  /** The last port of a range; equal to `port` if there is no range. */
  readonly lastPort?: number | undefined;
}
