/**
 * `listenMptcp`.
 *
 * @module
 */

import {
  AF_INET,
  IPV6_V6ONLY,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOL_IPV6,
  SOL_SOCKET,
} from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { closeOrphans, libc, unsupportedPlatform } from "../../ffi/runtime.ts";
import { encodeSockaddr } from "../../ffi/linux/sockaddr.ts";
import {
  adviceOnInvalid,
  checkNetPermission,
  literalTarget,
  resolveTargetsSync,
  type Target,
} from "./address.ts";
import { Listener } from "./listener.ts";
import {
  type DescriptorRequest,
  givenOptions,
  type ListenRequest,
  toDescriptorRequest,
  toListenRequest,
} from "./request.ts";
import { descriptorError, inspect, prepareDescriptor, TCP_DESCRIPTOR } from "./descriptor.ts";
import { listenByRuntime } from "./runtime_tcp.ts";
import { setIntOption } from "../poll/socket.ts";
import { applySocketOptions } from "./socket_options.ts";
import { openStream, requiredError, runtimeFallback } from "../policy/fallback.ts";
import { check, type ErrorContext } from "../error.ts";
import type { ListenMptcpOptions, MptcpListener } from "../types.ts";

/**
 * Listens for MPTCP and TCP connections, and returns at once.
 *
 * If the kernel refuses MPTCP sockets, the listener uses TCP and its `fallback` says why; with
 * `mptcp: "require"` it throws instead.
 *
 * Requires `--allow-ffi` in Deno. FFI is not subject to `--allow-net`, but addresses denied by
 * `--deny-net` are refused.
 *
 * On systems other than Linux on x86-64 or aarch64, the runtime's own TCP is used, with
 * `fallback.reason` "not-linux". It needs `--allow-net` in Deno, and an option that it does not support
 * throws an error with code "ERR_UNSUPPORTED" that names it.
 *
 * A Worker that is terminated, closes itself or throws cannot close its sockets. They are closed when
 * this module is used next in the process: for the first time in another Worker, or to listen on an
 * address that is in use. The same holds for sockets of the previous run under `deno run --watch`.
 *
 * @param options Options, or an address such as "mptcp@[::1]:8080"; see `parseAddress`.
 * @returns The listener: an async iterable of connections.
 * @throws {MptcpError} codes "EADDRINUSE", "EADDRNOTAVAIL", "EACCES" (a port below 1024), "EMFILE",
 * "ENOTFOUND" (the name), "ENOPROTOOPT", "ERR_MPTCP_OFF", "ERR_MPTCP_UNSUPPORTED" and others when MPTCP is
 * required but unavailable. For `fd` also "EBADF" (not open), "ENOTSOCK", "EAFNOSUPPORT" (not IP),
 * "EPROTOTYPE" (not TCP or MPTCP), "EINVAL" (not listening).
 * @throws {TypeError} if an option has the wrong type.
 * @throws {RangeError} if the port is not 0 to 65535.
 *
 * @example
 * ```ts
 * import { listenMptcp } from "@multipath/mptcp";
 *
 * using listener = listenMptcp({ port: 0 });
 * console.log(listener.addr.port, listener.protocol, listener.fallback?.detail);
 * ```
 */
export function listenMptcp(options: ListenMptcpOptions | string = {}): MptcpListener {
  const given = givenOptions<ListenMptcpOptions>(options);
  if ("fd" in given && given.fd !== undefined) {
    return listenOnDescriptor(toDescriptorRequest(given.fd, given));
  }
  const request = toListenRequest(given);
  const platform = unsupportedPlatform();
  if (platform === null) return listenByLibc(request);
  return listenByRuntime(request, runtimeFallback(platform, request.mptcp));
}

function listenByLibc(request: ListenRequest): MptcpListener {
  const { hostname, port, family, netns } = request;
  checkNetPermission(hostname, port);
  const target = literalTarget(hostname, port, netns) ??
    resolveTargetsSync(hostname, port, family)[0]!;
  checkNetPermission(target.hostname, port);
  return listenOn(target, request);
}

function listenOn(target: Target, request: ListenRequest): MptcpListener {
  const { mptcp, netns, socketOptions, tcpBacklog } = request;
  const opened = openStream([target.family], mptcp, netns);
  try {
    prepare(opened.fd, target, request);
    applySocketOptions(socketOptions, {
      fd: opened.fd,
      role: "listen",
      family: target.family,
      protocol: opened.protocol,
    });
    const where = { operation: "listen", address: target.hostname, port: target.port };
    const sockaddr = encodeSockaddr(target.address, target.port, target.scopeId);
    let bound = libc().bind(opened.fd, sockaddr);
    // The address may be that of a Worker, or of a run before this one, which has ended.
    if (bound === -ERRNO.EADDRINUSE && closeOrphans()) bound = libc().bind(opened.fd, sockaddr);
    check("bind", bound, { ...where, ...bindAdvice(bound, target) });
    check("listen", libc().listen(opened.fd, tcpBacklog), where);
    return new Listener(opened, socketOptions, target.scopeId);
  } catch (error) {
    libc().close(opened.fd);
    throw error;
  }
}

/** Takes over a socket that listens. It is left as it is, and to the caller, where this throws. */
function listenOnDescriptor(request: DescriptorRequest): MptcpListener {
  const { fd, mptcp, tcpBacklog, socketOptions } = request;
  const { domain: family, protocol, isListening } = inspect(fd);
  if (!isListening) {
    throw descriptorError(fd, "EINVAL", "is not listening: call listen(2) on it first");
  }
  const fallback = protocol === "tcp" ? TCP_DESCRIPTOR : null;
  if (mptcp === "require" && fallback !== null) throw requiredError(fallback);
  if (mptcp === "off" && fallback === null) {
    throw descriptorError(fd, "EPROTOTYPE", 'is an MPTCP socket, and mptcp is "off"');
  }
  prepareDescriptor(fd);
  applySocketOptions(socketOptions, { fd, role: "listen", family, protocol });
  if (tcpBacklog !== undefined) {
    check("listen", libc().listen(fd, tcpBacklog), { operation: `descriptor ${fd}` });
  }
  return new Listener({ fd, protocol, fallback }, socketOptions);
}

function prepare(fd: number, target: Target, request: ListenRequest): void {
  // A server that restarts must not wait for the connections of its predecessor to time out.
  check("setsockopt", setIntOption(fd, SOL_SOCKET, SO_REUSEADDR, 1), { operation: "SO_REUSEADDR" });
  if (request.reusePort) {
    const result = setIntOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    check("setsockopt", result, { operation: "SO_REUSEPORT" });
  }
  if (target.family === AF_INET) return;
  // Said in both cases: the default is a sysctl, net.ipv6.bindv6only.
  const only = Number(request.ipv6Only);
  check("setsockopt", setIntOption(fd, SOL_IPV6, IPV6_V6ONLY, only), { operation: "IPV6_V6ONLY" });
}

function bindAdvice(result: number, target: Target): ErrorContext {
  const advice = result === -ERRNO.EACCES
    ? "Ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE"
    : result === -ERRNO.EINVAL
    ? adviceOnInvalid(target)
    : null;
  return advice === null ? {} : { advice };
}
