/**
 * The public types. They are structural: nothing here names a type of Deno or Bun, and what looks
 * like `Deno.TcpConn` or `Deno.TcpListener` is assignable to it.
 *
 * @module
 */

import type { MptcpInfo, TcpInfo } from "./kernel/info_types.ts";

/**
 * Whether a connection uses MPTCP:
 *
 * - `"prefer"`: MPTCP where the kernel offers it, else TCP; `fallback` says why.
 * - `"require"`: an MPTCP socket or an error. The *peer* may still not speak MPTCP: that shows in
 *   `protocol` once connected.
 * - `"require-peer"`: an MPTCP connection or an error. A peer that only speaks TCP is an `MptcpError`
 *   with code "ERR_MPTCP_PEER", whose `fallback` says why. Connections only.
 * - `"off"`: TCP.
 *
 * The environment variable `NO_MPTCP=1` turns `"prefer"` into `"off"` for a whole process, and makes
 * `"require"` and `"require-peer"` fail.
 */
export type MptcpMode = "prefer" | "require" | "require-peer" | "off";

/** Whether a listener uses MPTCP. An MPTCP listener takes TCP clients too, so it cannot require peers. */
export type ListenMode = Exclude<MptcpMode, "require-peer">;

/** What a listener uses, and a connection whose protocol is known. */
export type Protocol = "mptcp" | "tcp";

/** An address and port, as `Deno.NetAddr`. IPv4-mapped IPv6 addresses are shown as IPv4. */
export interface NetAddr {
  /** Always `"tcp"`: what MPTCP looks like to a program. */
  transport: "tcp";
  /** An IP address. Link-local IPv6 addresses have their interface index behind a `%`. */
  hostname: string;
  /** 1 to 65535. */
  port: number;
}

/** Why something is TCP and not MPTCP. */
export interface Fallback {
  /**
   * - `"off"`: the caller or `NO_MPTCP` switched MPTCP off.
   * - `"not-linux"`: this system cannot have it; the runtime's own TCP stands in.
   * - `"kernel"`: the kernel refused an MPTCP socket, and `code` has the errno; or it made one and
   *   could not ask for MPTCP by it.
   * - `"peer"`: the other end, or something between, does not speak MPTCP.
   * - `"blackhole"`: the kernel has stopped asking for MPTCP after connections that failed.
   * - `"descriptor"`: a descriptor that was given is a TCP socket.
   */
  readonly reason: "off" | "not-linux" | "kernel" | "peer" | "blackhole" | "descriptor";
  /** The C name of the errno where there was one, as "ENOPROTOOPT". */
  readonly code?: string;
  /** A sentence for people: what happened, and where it helps, what to do. */
  readonly detail: string;
}

/** Keep-alive probes, in the kernel's terms. What is left out keeps the system's default. */
export interface KeepAlive {
  /** Seconds without data before the first probe (`TCP_KEEPIDLE`). */
  idle?: number;
  /** Seconds between probes (`TCP_KEEPINTVL`). */
  interval?: number;
  /** Unanswered probes before the connection, or the subflow, is given up (`TCP_KEEPCNT`). */
  count?: number;
}

/**
 * Kernel options of a socket, set before it is bound or connected; accepted connections inherit a
 * listener's. One that the kernel refuses makes the call throw an `MptcpError` that names it. TCP
 * sockets take all of them; "since" is the first Linux whose MPTCP sockets do.
 */
export interface SocketOptions {
  /** `TCP_NODELAY`: send small writes at once. Default `true`. Since 5.17. */
  noDelay?: boolean;
  /** `SO_KEEPALIVE` (since 5.13); an object: `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT` (since 6.10). */
  keepAlive?: boolean | KeepAlive;
  /** `TCP_CONGESTION`: the congestion control by name, as "cubic", "reno", "bbr". Since 5.13. */
  congestion?: string;
  /** `TCP_MAXSEG`: the largest segment, in bytes. Since 6.17. */
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
   * What the receive buffer begins with, in bytes, and is tuned up from: `SO_RCVLOWAT`, set to half of
   * it and back to 1. The kernel begins with 128 KiB (`net.ipv4.tcp_rmem`), caps it at the third
   * member of that, and takes memory for what is in the buffer alone: a peer can fill as much for each
   * connection that nobody reads, which is why it is no default. Since 6.12; a kernel that ignores it
   * is an error.
   */
  initialReceiveBuffer?: number;
  /** `TCP_NOTSENT_LOWAT` in bytes: unsent data above which a socket is not writable. Since 6.9. */
  notSentLowat?: number;
  /**
   * `TCP_DEFER_ACCEPT` in seconds: accept only once data has come. Listeners alone. Further subflows
   * of an MPTCP connection are established that much later, as they carry no data at first. Since 5.19.
   */
  deferAccept?: number;
  /** `TCP_FASTOPEN`, the queue length, on a listener; `TCP_FASTOPEN_CONNECT`, 0 or 1, on connect. Since 6.2. */
  fastOpen?: number;
  /** `SO_MARK`, for policy routing. Needs `CAP_NET_ADMIN`. Since 5.13. */
  mark?: number;
  /** `SO_PRIORITY`, 0 to 6 without `CAP_NET_ADMIN`. Since 5.13. */
  priority?: number;
  /** `IP_TOS` (since 5.17) or `IPV6_TCLASS` (no MPTCP socket takes it up to 6.18), 0 to 255. */
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

/** What `listenMptcp` takes. */
export interface ListenMptcpOptions {
  /**
   * The descriptor of a socket that listens already, in place of `hostname`, `port`, `ipv6Only`,
   * `reusePort` and `netns`; see `listenFds`. The listener owns it from then on. When `listenMptcp`
   * throws, the descriptor stays yours and open.
   */
  fd?: number;
  /**
   * An IP address, or a name that is one of this machine's. `"::"` takes IPv4 too unless `ipv6Only`.
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
   * `IPV6_V6ONLY`: an IPv6 listener takes no IPv4 connections.
   * @default {false}
   */
  ipv6Only?: boolean;
  /** A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. */
  netns?: string;
  /** Kernel options of the listener, which accepted connections inherit. */
  socketOptions?: SocketOptions;
}

/** What `connectMptcp` takes. */
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
  /** Ends the attempt: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /**
   * Happy Eyeballs (RFC 8305): start another attempt while one is slow. With `false` the addresses
   * of a name are tried one after the other.
   * @default {true}
   */
  autoSelectFamily?: boolean;
  /**
   * Milliseconds before the next attempt is started beside a slow one.
   * @default {250}
   */
  autoSelectFamilyAttemptDelay?: number;
  /** The IP address to connect from. */
  localAddress?: string;
  /** The port to connect from; 0 lets the kernel choose. */
  localPort?: number;
  /**
   * Reach IPv4 addresses through an IPv6 socket, so that paths of both families can join one MPTCP
   * connection. The kernel never adds IPv6 paths to an IPv4 socket.
   * @default {true}
   */
  dualStack?: boolean;
  /**
   * A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. Names are looked
   * up in the process's own.
   */
  netns?: string;
  /** Kernel options of the connection. */
  socketOptions?: SocketOptions;
}

/** How a server, a client or a proxy is shut down. */
export interface ShutdownOptions {
  /**
   * Milliseconds that work under way has to finish; what is left is cut off.
   * @default {Infinity}
   */
  timeout?: number;
}

/** A descriptor that a service manager has handed to this process. */
export interface ListenFd {
  /** The descriptor. */
  readonly fd: number;
  /** Its name (`FileDescriptorName=` of systemd); "unknown" where it has none. */
  readonly name: string;
}

/** What the kernel knows of a TCP or MPTCP socket. */
export interface MptcpState {
  /** What it speaks now; of a listener what kind of socket it is. */
  readonly protocol: Protocol | "unknown";
  /** Why it is TCP, as far as its descriptor tells; `null` while it is not. */
  readonly fallback: Fallback | null;
  /** Whether it listens. */
  readonly isListening: boolean;
  /** This end. */
  readonly localAddr: NetAddr;
  /** The other end; `null` when there is none. */
  readonly remoteAddr: NetAddr | null;
  /** The kernel's figures about an MPTCP connection; `null` for anything else. */
  readonly info: MptcpInfo | null;
  /** The paths in use; a TCP connection is one subflow. */
  readonly subflows: Subflow[];
}

/** A socket that takes connections; a `Deno.TcpListener` by structure, and more. */
export interface MptcpListener extends AsyncIterable<MptcpConn>, Disposable {
  /**
   * Waits for the next connection.
   *
   * @throws {MptcpError} name "BadResource" when the listener is or gets closed; "Busy" when another
   * `accept` is waiting; codes "EMFILE" and "ENFILE" when no descriptor is left (the connection stays
   * in the backlog).
   */
  accept(): Promise<MptcpConn>;
  /** Stops listening. Connections live on; one that nobody accepted is reset. */
  close(): void;
  /** The address and port that it listens on. */
  readonly addr: NetAddr;
  /** The connections as they come, until the listener is closed. Leaving the loop closes it. */
  [Symbol.asyncIterator](): AsyncIterableIterator<MptcpConn>;
  /** Lets a waiting `accept` keep the process alive: how a listener begins. */
  ref(): void;
  /** Lets the process end though an `accept` waits. */
  unref(): void;
  /**
   * The file descriptor, borrowed: never close it. -1 once closed or detached, and where the runtime's
   * own TCP stands in.
   */
  readonly fd: number;
  /** What kind of socket listens. An MPTCP listener takes TCP clients too. */
  readonly protocol: Protocol;
  /** Why it is TCP; `null` while it is MPTCP. */
  readonly fallback: Fallback | null;
  /**
   * Gives the descriptor away, non-blocking and close-on-exec, and forgets it: the caller owns it.
   * A waiting `accept` is rejected as by `close`.
   *
   * @throws {MptcpError} code "ERR_UNSUPPORTED" where the runtime's own TCP stands in.
   */
  detach(): number;
}

/** A connection; a `Deno.TcpConn` by structure, and more. */
export interface MptcpConn extends Disposable {
  /**
   * Reads at least one byte into `p`, waiting for it, and gives the number of bytes; `null` at the
   * end of the stream. An empty `p` gives 0 at once. Reads are served in the order of the calls.
   *
   * @throws {MptcpError} code "ECONNRESET" and others from the network; name "Interrupted", code
   * "EINTR" when the connection is closed meanwhile; name "BadResource" when it already was.
   */
  read(p: Uint8Array): Promise<number | null>;
  /**
   * Writes at least one byte of `p`, waiting for room, and gives the number of bytes: it may be
   * fewer than `p` has. {@linkcode MptcpConn.writable} writes all. An empty `p` gives 0 at once.
   *
   * @throws {MptcpError} code "EPIPE" or "ECONNRESET" when the peer is gone; otherwise as `read`.
   */
  write(p: Uint8Array): Promise<number>;
  /**
   * Closes both directions. What waits is rejected with name "Interrupted".
   *
   * A peer that sends after that is reset over TCP. Over MPTCP it is not: it can send until the buffer
   * of this end is full, and then waits until `net.mptcp.close_timeout` is over, 60 s by default. To
   * leave a peer that goes on sending, set `socketOptions.linger` to 0, which makes `close` a reset, or
   * end your direction with `closeWrite` and read to the end first.
   */
  close(): void;
  /** Ends the outgoing direction, behind what is being written: the peer reads end of stream. */
  closeWrite(): Promise<void>;
  /** Lets a waiting `read` or `write` keep the process alive: how a connection begins. */
  ref(): void;
  /** Lets the process end though a `read` or `write` waits. */
  unref(): void;
  /** Turns `TCP_NODELAY` on or off; it is on to begin with. */
  setNoDelay(noDelay?: boolean): void;
  /** Turns keep-alive probes on or off; they are off to begin with. */
  setKeepAlive(keepAlive?: boolean): void;
  /** This end. */
  readonly localAddr: NetAddr;
  /** The other end. */
  readonly remoteAddr: NetAddr;
  /**
   * The incoming bytes as a byte stream with the kernel's own back-pressure. Cancelling closes the
   * connection; so does the end of the stream, unless `writable` is in use: then it stays open for
   * writing. `pipeTo` the `writable` of a connection, without a signal, takes the bytes there by one
   * buffer of at most 64 KiB, and not by a stream's chunks.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Writes all of each chunk. Closing or aborting it closes the connection. */
  readonly writable: WritableStream<Uint8Array<ArrayBufferLike>>;
  /**
   * The file descriptor, borrowed: never close it. -1 once closed or detached, and where the runtime's
   * own TCP stands in.
   */
  readonly fd: number;
  /**
   * What the connection speaks now: each call asks the kernel. A connection can fall back from MPTCP
   * to TCP until its first data has been acknowledged. `"unknown"` before a handshake is over (only
   * with `fastOpen`) and on kernels before 5.16. Once closed: what it was.
   */
  readonly protocol: Protocol | "unknown";
  /** Why it is TCP; `null` while it is not. */
  readonly fallback: Fallback | null;
  /** The kernel's figures about an MPTCP connection; `null` when it is TCP, or closed. */
  info(): MptcpInfo | null;
  /**
   * The paths in use, since Linux 6.5 all at one moment. A TCP connection is one subflow, a closed one
   * has none, and neither has an MPTCP connection that has lost every path and waits for a new one.
   */
  subflows(): Subflow[];
  /**
   * Gives the descriptor away, non-blocking and close-on-exec, and forgets it: the caller owns it.
   * What waits is rejected as by `close`.
   * `Deno.startTls` does this to the connection that it is given.
   *
   * @throws {MptcpError} code "ERR_UNSUPPORTED" where the runtime's own TCP stands in.
   */
  detach(): number;
}

/** One path of a connection: a TCP connection of its own, on the wire. */
export interface Subflow {
  /**
   * Numbers the subflows of one connection from 1 in the order in which they were established; no address
   * id. Since 6.5; undefined before, and for a TCP connection.
   */
  readonly id?: number | undefined;
  /** This end. */
  readonly localAddr: NetAddr;
  /** The other end. */
  readonly remoteAddr: NetAddr;
  /** The kernel's figures about it; none where the runtime's own TCP stands in. */
  readonly tcp: TcpInfo;
}

/** An address in text, taken apart: what `parseAddress` gives. */
export interface ParsedAddress {
  /** From the prefix: `mptcp@` requires, `tcp@` switches off, none prefers. */
  readonly mptcp: ListenMode;
  /** 4 or 6 where the prefix fixes the family (`mptcp4@`, `tcp6@`); else undefined. */
  readonly family?: 4 | 6 | undefined;
  /** An IP address without brackets, or a name. Empty where the text has none (`:8080`). */
  readonly hostname: string;
  /** The first port; undefined where the text has none. */
  readonly port?: number | undefined;
  /** The last port of a range; equal to `port` where there is no range. */
  readonly lastPort?: number | undefined;
}
