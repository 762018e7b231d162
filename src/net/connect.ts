/**
 * `connectMptcp`, with Happy Eyeballs (RFC 8305).
 *
 * @module
 */

import {
  AF_INET,
  AF_INET6,
  IPV6_V6ONLY,
  SO_BINDTOIFINDEX,
  SOL_IPV6,
  SOL_SOCKET,
} from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { libc, unsupportedPlatform } from "../../ffi/runtime.ts";
import { addZone, encodeSockaddr, toIpv4Mapped } from "../../ffi/linux/sockaddr.ts";
import {
  adviceOnInvalid,
  checkNetPermission,
  literalTarget,
  resolveTargets,
  type Target,
} from "./address.ts";
import { mptcpClientOrigin } from "../policy/blackhole.ts";
import { Conn } from "./conn.ts";
import { check, type ErrorContext, MptcpError, systemError } from "../error.ts";
import { abortable, type Contender, happyEyeballs, interleave } from "./happy_eyeballs.ts";
import { type ConnectRequest, toConnectRequest } from "./request.ts";
import { reactor } from "../poll/reactor.ts";
import { connectByRuntime } from "./runtime_tcp.ts";
import { getIntOption, setIntOption } from "../poll/socket.ts";
import { applySocketOptions } from "./socket_options.ts";
import { Stream } from "../poll/fd.ts";
import {
  type OpenedSocket,
  openStream,
  PEER_OF_CLIENT,
  peerRequiredError,
  runtimeFallback,
} from "../policy/fallback.ts";
import { formatHostPort } from "../show.ts";
import type { ConnectMptcpOptions, MptcpConn } from "../types.ts";

/**
 * Connects over MPTCP if the kernel supports it. If the server does not support MPTCP, the same
 * attempt falls back to TCP; `protocol` and `fallback` of the connection report the result.
 *
 * Names are looked up with libc, and their addresses are tried as in RFC 8305: families alternate, and
 * the next attempt starts after 250 ms or as soon as one has failed.
 *
 * Requires `--allow-ffi` in Deno. FFI is not subject to `--allow-net`, but addresses denied by
 * `--deny-net` are refused.
 *
 * On systems other than Linux on x86-64 or aarch64, the runtime's own TCP is used, with
 * `fallback.reason` "not-linux". It needs `--allow-net` in Deno, and an option that it does not support
 * throws an error with code "ERR_UNSUPPORTED" that names it.
 *
 * @param options Options, or an address such as "mptcp@example.com:443"; see `parseAddress`.
 * @returns The connection.
 * @throws {MptcpError} codes "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "ENOTFOUND" and others. If
 * several addresses were tried, the message names the first, and `cause.errors` has all errors. With
 * `mptcp: "require-peer"`, code "ERR_MPTCP_PEER" if the connection is TCP; `fallback` says why.
 * @throws {TypeError} if an option has the wrong type.
 * @throws {RangeError} if a port is not 0 to 65535.
 *
 * @example
 * ```ts
 * import { connectMptcp, listenMptcp } from "@multipath/mptcp";
 *
 * using listener = listenMptcp({ hostname: "127.0.0.1" });
 * using conn = await connectMptcp({ port: listener.addr.port });
 * console.log(conn.protocol, conn.fallback?.detail);
 * ```
 */
export async function connectMptcp(options: ConnectMptcpOptions | string): Promise<MptcpConn> {
  const request = toConnectRequest(options);
  request.signal?.throwIfAborted();
  const platform = unsupportedPlatform();
  if (platform === null) return await connectByLibc(request);
  return await connectByRuntime(request, runtimeFallback(platform, request.mptcp));
}

async function connectByLibc(request: ConnectRequest): Promise<MptcpConn> {
  checkNetPermission(request.hostname, request.port);
  const local = findLocal(request);
  const targets = await findTargets(request, local);
  const attempts = targets.map((target) => new Attempt(target, local, request));
  return await happyEyeballs(attempts, request);
}

/** What `localAddress` is; `null` to let the kernel choose. */
function findLocal({ localAddress, localPort = 0, netns }: ConnectRequest): Target | null {
  return localAddress === undefined ? null : literalTarget(localAddress, localPort, netns);
}

/** The addresses to try, in the order to try them. */
async function findTargets(request: ConnectRequest, local: Target | null): Promise<Target[]> {
  const { hostname, port, signal, family, netns } = request;
  const literal = literalTarget(hostname, port, netns);
  const found = literal !== null
    ? [literal]
    : interleave(await abortable(resolveTargets(hostname, port, family), signal));
  const targets = found.filter(({ family }) => family === (local?.family ?? family));
  if (targets.length === 0) {
    throw new MptcpError(
      `connect ${
        formatHostPort(hostname, port)
      }: it has no address of the same family as localAddress ` +
        request.localAddress,
      { code: "EAFNOSUPPORT", address: hostname, port },
    );
  }
  for (const target of targets) {
    if (target.hostname !== hostname) checkNetPermission(target.hostname, port);
  }
  return targets;
}

/** One socket on its way to one address. */
class Attempt implements Contender<MptcpConn> {
  readonly #target: Target;
  readonly #local: Target | null;
  readonly #request: ConnectRequest;
  #stream: Stream | null = null;

  constructor(target: Target, local: Target | null, request: ConnectRequest) {
    this.#target = target;
    this.#local = local;
    this.#request = request;
  }

  async connect(): Promise<MptcpConn> {
    // Made first: it may find no descriptor for its epoll, and nobody would close the socket then.
    reactor();
    const { fallback, domain, fd } = this.#open();
    const stream = this.#stream = new Stream(fd);
    this.#prepare(domain, fallback === null ? "mptcp" : "tcp");
    const sockaddr = this.#sockaddr(this.#target, domain);
    try {
      await stream.connect(sockaddr);
    } catch (error) {
      throw this.#located(error);
    }
    const origin = fallback === null
      ? mptcpClientOrigin(fd, sockaddr, this.#request.netns)
      : { fallback, peer: PEER_OF_CLIENT };
    const conn = new Conn(stream, addZone(sockaddr, this.#boundDevice(fd)), origin);
    if (this.#request.mptcp === "require-peer") this.#requirePeer(conn);
    this.#stream = null;
    return conn;
  }

  #requirePeer({ protocol, fallback }: Conn): void {
    if (protocol === "mptcp") return;
    const { hostname, port } = this.#target;
    throw peerRequiredError(hostname, port, fallback);
  }

  /** Closes the socket unless it has become a connection. */
  cancel(): void {
    const stream = this.#stream;
    this.#stream = null;
    stream?.close();
  }

  #open(): OpenedSocket {
    const { mptcp, dualStack, netns } = this.#request;
    // The kernel adds paths of both families to an IPv6 socket, and of one to an IPv4 socket.
    const domains = this.#target.family === AF_INET && dualStack
      ? [AF_INET6, AF_INET]
      : [this.#target.family];
    return openStream(domains, mptcp, netns);
  }

  #prepare(domain: number, protocol: "mptcp" | "tcp"): void {
    const fd = this.#stream!.fd;
    if (domain === AF_INET6 && this.#target.family === AF_INET) {
      // The default is a sysctl, net.ipv6.bindv6only.
      check("setsockopt", setIntOption(fd, SOL_IPV6, IPV6_V6ONLY, 0), { operation: "IPV6_V6ONLY" });
    }
    const { socketOptions } = this.#request;
    const { family } = this.#target;
    applySocketOptions(socketOptions, { fd, role: "connect", family, protocol });
    this.#bind(fd, domain);
  }

  #bind(fd: number, domain: number): void {
    const { localPort } = this.#request;
    const local = this.#local;
    if (local === null && localPort === undefined) return;
    const sockaddr = local !== null
      ? this.#sockaddr(local, domain)
      : encodeSockaddr(new Uint8Array(domain === AF_INET ? 4 : 16), localPort!);
    const result = libc().bind(fd, sockaddr);
    check("bind", result, {
      operation: "connect from",
      address: local?.hostname ?? "*",
      port: local?.port ?? localPort!,
      ...(local !== null && adviceOn(result, local)),
    });
  }

  #sockaddr({ family, address, port, scopeId }: Target, domain: number): Uint8Array {
    const mapped = domain === AF_INET6 && family === AF_INET;
    return encodeSockaddr(mapped ? toIpv4Mapped(address) : address, port, scopeId);
  }

  #located(error: unknown): unknown {
    if (!(error instanceof MptcpError) || error.syscall !== "connect") return error;
    const { hostname: address, port } = this.#target;
    const result = -error.errno!;
    return systemError("connect", result, { address, port, ...adviceOn(result, this.#target) });
  }

  /** The zone of a link-local address that was given without: that of the device it is bound to. */
  #boundDevice(fd: number): number {
    if (this.#request.socketOptions.bindDevice === undefined) return 0;
    return Math.max(getIntOption(fd, SOL_SOCKET, SO_BINDTOIFINDEX), 0);
  }
}

function adviceOn(result: number, target: Target): ErrorContext {
  const advice = result === -ERRNO.EINVAL ? adviceOnInvalid(target) : null;
  return advice === null ? {} : { advice };
}
