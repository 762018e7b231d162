/**
 * `listenFds`: the sockets that a service manager has opened for this process.
 *
 * @module
 */

import process from "node:process";
import { getenv, unsupportedPlatform } from "../../ffi/runtime.ts";
import { closeOnExec } from "./descriptor.ts";
import { MptcpError } from "../error.ts";
import { show } from "../show.ts";
import type { ListenFd } from "../types.ts";

/** The first descriptor that is handed over, by sd_listen_fds(3). */
const FIRST = 3;

/**
 * The descriptors that systemd, or another service manager with socket activation, passed to this
 * process: `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` of sd_listen_fds(3). They are made
 * close-on-exec. Pass each to `listenMptcp({ fd })`, `serveMptcp` or `proxyMptcp`.
 *
 * systemd 257 or later creates MPTCP sockets if the `.socket` unit has `SocketProtocol=mptcp`.
 * Otherwise they are TCP, and `fallback` of the listener says so.
 *
 * Call it once, when the program starts: later, the same numbers may belong to other files. Requires
 * `--allow-ffi` in Deno.
 *
 * @returns The descriptors in order; none if the variables are not set or are for another process.
 * @throws {MptcpError} code "EINVAL" if a variable is invalid, "EBADF" if a descriptor is not open.
 *
 * @example
 * ```ts
 * import { listenFds, listenMptcp } from "@multipath/mptcp";
 *
 * const activated = listenFds().find(({ name }) => name === "web");
 * using listener = activated ? listenMptcp({ fd: activated.fd }) : listenMptcp({ port: 0 });
 * console.log(listener.addr.port, listener.protocol);
 * ```
 */
export function listenFds(): ListenFd[] {
  if (unsupportedPlatform() !== null) return [];
  const pid = integer("LISTEN_PID");
  const count = integer("LISTEN_FDS");
  // Children inherit the variables, and not the descriptors.
  if (pid === null || count === null || pid !== process.pid) return [];
  const names = namesOf(count);
  return Array.from({ length: count }, (_, i) => {
    const fd = FIRST + i;
    closeOnExec(fd);
    return { fd, name: names?.[i] ?? "unknown" };
  });
}

function namesOf(count: number): string[] | null {
  const text = getenv("LISTEN_FDNAMES");
  if (text === null) return null;
  const names = text === "" && count === 0 ? [] : text.split(":");
  if (names.length === count) return names;
  throw variableError(
    "LISTEN_FDNAMES",
    `expected ${count} names, as LISTEN_FDS says, got ${names.length}`,
  );
}

/** A variable that is a number; `null` where it is not set. */
function integer(name: string): number | null {
  const text = getenv(name);
  if (text === null || text === "") return null;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw variableError(name, `expected a number, got ${show(text)}`);
}

function variableError(name: string, problem: string): MptcpError {
  return new MptcpError(`environment variable ${name}: ${problem}`, { code: "EINVAL" });
}
