/**
 * {@linkcode SocketOptions}: which kernel option is behind each, and how its value is encoded.
 *
 * @module
 */

import {
  AF_INET6,
  IP_FREEBIND,
  IP_TOS,
  IP_TRANSPARENT,
  IPV6_FREEBIND,
  IPV6_TCLASS,
  IPV6_TRANSPARENT,
  SO_BINDTODEVICE,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_MARK,
  SO_PRIORITY,
  SO_RCVBUF,
  SO_RCVLOWAT,
  SO_SNDBUF,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  SOL_TCP,
  TCP_CONGESTION,
  TCP_DEFER_ACCEPT,
  TCP_FASTOPEN,
  TCP_FASTOPEN_CONNECT,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_MAXSEG,
  TCP_NODELAY,
  TCP_NOTSENT_LOWAT,
} from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { libc } from "../../ffi/runtime.ts";
import { systemError, unsupportedError } from "../error.ts";
import { show } from "../show.ts";
import { readProc } from "../kernel/procfs.ts";
import { encodeLinger, getIntOption } from "../poll/socket.ts";
import type { KeepAlive, Protocol, SocketOptions } from "../types.ts";

/** The socket that options are set on. */
export interface OptionTarget {
  readonly fd: number;
  readonly role: "listen" | "connect";
  /** `AF_INET` or `AF_INET6`: of the traffic, so `AF_INET` for a mapped address. */
  readonly family: number;
  readonly protocol: Protocol;
}

/** A kernel option: its name in C, its level and number. */
type KernelOption = readonly [name: string, level: number, optname: number];

/** One `setsockopt`. */
type Setting = readonly [option: KernelOption, value: Uint8Array];

/** How one member of `SocketOptions` is checked and encoded. */
interface Option<T> {
  /** What the value should be, where it is not that. */
  expects(value: unknown): string | null;
  settings(value: T, target: OptionTarget): Setting[];
}

type Table = { readonly [K in keyof SocketOptions]-?: Option<NonNullable<SocketOptions[K]>> };

const MAX_INT = 0x7fffffff;

const OPTIONS: Table = {
  noDelay: flag(["TCP_NODELAY", SOL_TCP, TCP_NODELAY]),
  keepAlive: { expects: expectsKeepAlive, settings: keepAliveSettings },
  congestion: text(["TCP_CONGESTION", SOL_TCP, TCP_CONGESTION]),
  maxSegment: integer(1, 65535, ["TCP_MAXSEG", SOL_TCP, TCP_MAXSEG]),
  sendBuffer: integer(0, MAX_INT, ["SO_SNDBUF", SOL_SOCKET, SO_SNDBUF]),
  receiveBuffer: integer(0, MAX_INT, ["SO_RCVBUF", SOL_SOCKET, SO_RCVBUF]),
  initialReceiveBuffer: {
    expects: (value) => expectsInteger(value, 2, MAX_INT),
    settings: initialReceiveBufferSettings,
  },
  notSentLowat: integer(0, MAX_INT, ["TCP_NOTSENT_LOWAT", SOL_TCP, TCP_NOTSENT_LOWAT]),
  deferAccept: integer(0, MAX_INT, ["TCP_DEFER_ACCEPT", SOL_TCP, TCP_DEFER_ACCEPT]),
  fastOpen: integer(
    0,
    MAX_INT,
    ({ role }) =>
      role === "listen"
        ? ["TCP_FASTOPEN", SOL_TCP, TCP_FASTOPEN]
        : ["TCP_FASTOPEN_CONNECT", SOL_TCP, TCP_FASTOPEN_CONNECT],
  ),
  mark: integer(0, 0xffffffff, ["SO_MARK", SOL_SOCKET, SO_MARK]),
  priority: integer(0, MAX_INT, ["SO_PRIORITY", SOL_SOCKET, SO_PRIORITY]),
  tos: integer(
    0,
    255,
    byFamily(["IP_TOS", SOL_IP, IP_TOS], ["IPV6_TCLASS", SOL_IPV6, IPV6_TCLASS]),
  ),
  bindDevice: text(["SO_BINDTODEVICE", SOL_SOCKET, SO_BINDTODEVICE]),
  freebind: flag(
    byFamily(["IP_FREEBIND", SOL_IP, IP_FREEBIND], ["IPV6_FREEBIND", SOL_IPV6, IPV6_FREEBIND]),
  ),
  transparent: flag(
    byFamily(
      ["IP_TRANSPARENT", SOL_IP, IP_TRANSPARENT],
      ["IPV6_TRANSPARENT", SOL_IPV6, IPV6_TRANSPARENT],
    ),
  ),
  linger: {
    expects: expectsLinger,
    settings: (value) => [[["SO_LINGER", SOL_SOCKET, SO_LINGER], encodeLinger(value)]],
  },
};

/**
 * The kernel makes room for twice the mark at once, and continues tuning from there, which it does not
 * after `SO_RCVBUF` (sock.c, tcp_set_rcvlowat). Accepted sockets inherit the buffer.
 */
function initialReceiveBufferSettings(value: number): Setting[] {
  const option = ["SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT] as const;
  return [[option, intBytes(Math.ceil(value / 2))], [option, intBytes(1)]];
}

type Choice = KernelOption | ((target: OptionTarget) => KernelOption);

function choose(choice: Choice, target: OptionTarget): KernelOption {
  return typeof choice === "function" ? choice(target) : choice;
}

function byFamily(ipv4: KernelOption, ipv6: KernelOption): Choice {
  return ({ family }) => family === AF_INET6 ? ipv6 : ipv4;
}

function flag(choice: Choice): Option<boolean> {
  return {
    expects: (value) => typeof value === "boolean" ? null : "a boolean",
    settings: (value, target) => [[choose(choice, target), intBytes(Number(value))]],
  };
}

function integer(min: number, max: number, choice: Choice): Option<number> {
  return {
    expects: (value) => expectsInteger(value, min, max),
    settings: (value, target) => [[choose(choice, target), intBytes(value)]],
  };
}

function text(choice: Choice): Option<string> {
  return {
    expects: (value) =>
      typeof value === "string" && value !== "" && !value.includes("\0") ? null : "a name",
    settings: (value, target) => [[choose(choice, target), new TextEncoder().encode(value)]],
  };
}

function expectsInteger(value: unknown, min: number, max: number): string | null {
  const fits = Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
  return fits ? null : `an integer from ${min} to ${max}`;
}

function intBytes(value: number): Uint8Array {
  return new Uint8Array(new Int32Array([value]).buffer);
}

/** Each member of `keepAlive`, the kernel's option behind it and the kernel's own maximum. */
const KEEP_ALIVE: readonly [keyof KeepAlive, max: number, KernelOption][] = [
  ["idle", 32767, ["TCP_KEEPIDLE", SOL_TCP, TCP_KEEPIDLE]],
  ["interval", 32767, ["TCP_KEEPINTVL", SOL_TCP, TCP_KEEPINTVL]],
  ["count", 127, ["TCP_KEEPCNT", SOL_TCP, TCP_KEEPCNT]],
];

function expectsKeepAlive(value: unknown): string | null {
  if (typeof value === "boolean") return null;
  if (typeof value !== "object" || value === null) return "a boolean or { idle, interval, count }";
  for (const [key, max] of KEEP_ALIVE) {
    const member = (value as KeepAlive)[key];
    const problem = member === undefined ? null : expectsInteger(member, 1, max);
    if (problem !== null) return `an object whose ${key} is ${problem}`;
  }
  return null;
}

function keepAliveSettings(value: boolean | KeepAlive): Setting[] {
  const settings: Setting[] = [
    [["SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE], intBytes(Number(value !== false))],
  ];
  if (typeof value === "boolean") return settings;
  for (const [key, , option] of KEEP_ALIVE) {
    if (value[key] !== undefined) settings.push([option, intBytes(value[key])]);
  }
  return settings;
}

function expectsLinger(value: unknown): string | null {
  const problem = value === null ? null : expectsInteger(value, 0, 65535);
  return problem && `${problem}, or null`;
}

/** Throws a `TypeError` for a member that does not exist, has the wrong type, or the wrong role. */
export function checkSocketOptions(options: SocketOptions, role: OptionTarget["role"]): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Invalid socketOptions: expected an object, got ${show(options)}`);
  }
  for (const [key, value] of Object.entries(options)) {
    if (!Object.hasOwn(OPTIONS, key)) {
      throw new TypeError(
        `Unknown socket option "${key}": expected one of ${Object.keys(OPTIONS).join(", ")}`,
      );
    }
    if (value === undefined) continue;
    const expected = OPTIONS[key as keyof SocketOptions].expects(value);
    if (expected !== null) {
      throw new TypeError(
        `Invalid socketOptions.${key}: expected ${expected}, got ${show(value)}`,
      );
    }
  }
  if (role === "connect" && options.deferAccept !== undefined) {
    throw new TypeError("Invalid socketOptions.deferAccept: it only applies to listeners");
  }
}

/** Sets checked options on a socket that is neither bound nor connected. */
export function applySocketOptions(options: SocketOptions, target: OptionTarget): void {
  // Alike on both runtimes, and as servers expect; accepted connections inherit it.
  const all: SocketOptions = { noDelay: true, ...options };
  for (const key of Object.keys(all) as (keyof SocketOptions)[]) {
    if (all[key] === undefined) continue;
    const { settings } = OPTIONS[key] as Option<unknown>;
    for (const [[name, level, optname], value] of settings(all[key], target)) {
      const result = libc().setsockopt(target.fd, level, optname, value);
      if (result < 0) throw optionError(key, name, result, target);
    }
  }
  if (all.initialReceiveBuffer !== undefined) {
    checkReceiveBuffer(all.initialReceiveBuffer, target.fd);
  }
}

/** Throws where the kernel took the mark and left the buffer as it was: MPTCP before Linux 6.12. */
function checkReceiveBuffer(wanted: number, fd: number): void {
  const size = getIntOption(fd, SOL_SOCKET, SO_RCVBUF);
  if (size < 0 || size >= wanted || size >= largestReceiveBuffer()) return;
  throw unsupportedError(
    `socketOptions.initialReceiveBuffer: this kernel ignores it: the buffer has ${size} bytes. ` +
      "MPTCP sockets have it since Linux 6.12. Use receiveBuffer, or leave it out",
  );
}

/** The third member of `net.ipv4.tcp_rmem`, where the kernel caps the buffer; 0 if unknown. */
function largestReceiveBuffer(): number {
  return Number(readProc("/proc/sys/net/ipv4/tcp_rmem")?.trim().split(/\s+/)[2] ?? 0);
}

function optionError(key: string, name: string, result: number, target: OptionTarget): Error {
  const context = { operation: `socketOptions.${key}: ${name}` };
  const advice = refusalAdvice(result, target.protocol);
  return systemError("setsockopt", result, advice === null ? context : { ...context, advice });
}

function refusalAdvice(result: number, protocol: Protocol): string | null {
  if (result === -ERRNO.EPERM) return "This option or this value needs CAP_NET_ADMIN";
  const unsupported = result === -ERRNO.EOPNOTSUPP || result === -ERRNO.ENOPROTOOPT;
  if (!unsupported || protocol !== "mptcp") return null;
  return 'This kernel refuses the option on MPTCP sockets: leave it out, or use mptcp: "off"';
}
