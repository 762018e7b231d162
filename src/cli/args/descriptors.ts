/**
 * Sockets that are already listening, as addresses of a command.
 *
 * @module
 */

import process from "node:process";
import { listenFds, type ListenMptcpOptions } from "../../../mod.ts";
import { show } from "../../show.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import { readListenMode } from "./modes.ts";

/** The prefix of an address that is a descriptor. */
const PREFIX = "fd@";

/** The paragraph of the help on such addresses. */
export const DESCRIPTOR_DETAILS =
  `An address can also name a socket that is already listening: fd@3 is descriptor 3, fd@web the sockets
named "web" that a service manager such as systemd passed to this process, and fd@ all of them.`;

/**
 * The listening sockets for an address such as "fd@3", "fd@web" or "fd@", as options for
 * `listenMptcp`; `null` for any other address.
 */
export function readDescriptors(text: string, args: Arguments): ListenMptcpOptions[] | null {
  if (!text.startsWith(PREFIX)) return null;
  const mptcp = readListenMode(args, "prefer");
  return numbersOf(text.slice(PREFIX.length)).map((fd) => ({ fd, mptcp }));
}

function numbersOf(name: string): number[] {
  if (/^\d{1,9}$/.test(name)) return [Number(name)];
  const handed = listenFds();
  const found = name === "" ? handed : handed.filter((one) => one.name === name);
  if (found.length > 0) return found.map(({ fd }) => fd);
  throw new UsageError(`${PREFIX}${name}: ${whyNone(handed)}`);
}

/** Why none was found. */
function whyNone(handed: readonly { readonly name: string }[]): string {
  if (handed.length > 0) {
    const names = [...new Set(handed.map(({ name }) => show(name)))].join(", ");
    return `no socket with that name was passed to this process; the names are ${names}`;
  }
  const { LISTEN_FDS: count, LISTEN_PID: pid } = process.env;
  if (!count) {
    return "no socket was passed to this process (LISTEN_FDS is not set): start it from a .socket unit";
  }
  if (pid !== String(process.pid)) {
    return `the sockets are for process ${pid ?? "(LISTEN_PID is not set)"}, and this is ` +
      `${process.pid}: start the program directly or with exec, not through a shell or npx`;
  }
  return "LISTEN_FDS is 0";
}
