/**
 * The kernel's path manager, `mptcp_pm` of generic netlink: one command at a time, and its refusals
 * in words that say what is missing.
 *
 * @module
 */

import { SO_RCVBUFFORCE, SOL_SOCKET } from "../../ffi/linux/abi.ts";
import { MPTCP_PM_VER, NETLINK_GENERIC } from "../../ffi/linux/abi_netlink.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import type { MptcpError } from "../error.ts";
import { AttributeBuilder, type Attributes } from "../netlink/attributes.ts";
import { decodeGeneric, encodeGeneric, type Family, lookUpFamily } from "../netlink/generic.ts";
import { NetlinkSocket, type Reply } from "../netlink/socket.ts";
import { setIntOption } from "../poll/socket.ts";
import { type ErrorContext, systemError } from "../error.ts";

/** linux/mptcp_pm.h: `MPTCP_PM_NAME` and `MPTCP_PM_EV_GRP_NAME`. */
const FAMILY = "mptcp_pm";
const EVENT_GROUP = "mptcp_pm_events";

/** In bytes, which the kernel doubles: events that wait to be read, each with some 800 of its own. */
const EVENT_BUFFER = 1 << 20;

/** What a command is for, in the words of an error message. */
export interface CommandContext extends Pick<ErrorContext, "address" | "port"> {
  /** "add endpoint". */
  readonly operation: string;
  /** "MPTCP_PM_CMD_ADD_ADDR". */
  readonly name: string;
  /** The first kernel that has the command, as "5.19". */
  readonly since: string;
}

/** A connection to the path manager of one network namespace. */
export class KernelPathManager implements Disposable {
  readonly #socket: NetlinkSocket;
  readonly #family: Family;

  /**
   * Connects to it.
   *
   * @throws {MptcpError} code "ENOENT" where the kernel has none.
   */
  constructor(netns?: string) {
    this.#socket = new NetlinkSocket(NETLINK_GENERIC, netns);
    try {
      const family = lookUpFamily(this.#socket, FAMILY);
      if (typeof family === "number") throw familyError(family);
      this.#family = family;
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  /** The descriptor; -1 once closed. */
  get fd(): number {
    return this.#socket.fd;
  }

  /** Has something done, or asks for one thing. */
  command(command: number, attributes: AttributeBuilder, context: CommandContext): Attributes[] {
    const payload = encodeGeneric(command, MPTCP_PM_VER, attributes);
    return unpack(this.#socket.request(this.#family.id, payload), context);
  }

  /** Asks for all there is of something. */
  dump(command: number, context: CommandContext): Attributes[] {
    const payload = encodeGeneric(command, MPTCP_PM_VER, new AttributeBuilder());
    return unpack(this.#socket.dump(this.#family.id, payload), context);
  }

  /** Has the events of the namespace sent to this socket: 0 or `-errno`. */
  subscribe(): number {
    const group = this.#family.groups.get(EVENT_GROUP);
    if (group === undefined) return -ERRNO.EOPNOTSUPP;
    // Beyond net.core.rmem_max, as who may listen to events may. The default has room for some 250.
    setIntOption(this.fd, SOL_SOCKET, SO_RCVBUFFORCE, EVENT_BUFFER);
    return this.#socket.join(group);
  }

  /** Closes it, once. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function unpack({ result, text, messages }: Reply, context: CommandContext): Attributes[] {
  if (result < 0) throw refusal(result, text, context);
  return messages.flatMap((message) => decodeGeneric(message)?.attributes ?? []);
}

function familyError(result: number): MptcpError {
  return systemError("CTRL_CMD_GETFAMILY", result, {
    operation: "find the path manager",
    advice: "This kernel has none: it needs Linux 5.7 or later with CONFIG_MPTCP",
  });
}

/** What to say beside the kernel's own words, which differ a little from version to version. */
const ADVICE: readonly (readonly [words: string, advice: string])[] = [
  [
    "invalid token",
    "No MPTCP connection of this network namespace has that token: it was closed, or fell back to TCP",
  ],
  [
    "userspace PM not selected",
    "Commands for a single connection need a socket that was created while net.mptcp.path_manager " +
    "was userspace (pm_type=1 before Linux 6.15)",
  ],
  [
    "did not match address and id",
    "The address has another id, or the id belongs to another address",
  ],
];

function adviceOn(text: string): string | undefined {
  return ADVICE.find(([words]) => text.includes(words))?.[1];
}

/** The error for a command that the kernel refused. */
export function refusal(result: number, text: string, context: CommandContext): MptcpError {
  const { operation, name, since, address, port } = context;
  const sentences = [
    text === "" ? "" : `The kernel says: ${text}`,
    adviceOn(text) ?? adviceFor(result, since),
  ].filter((sentence) => sentence !== "");
  return systemError(name, result, {
    operation,
    ...(address !== undefined && { address }),
    ...(port !== undefined && { port }),
    ...(sentences.length > 0 && { advice: sentences.join(". ") }),
  });
}

function adviceFor(result: number, since: string): string {
  switch (result) {
    case -ERRNO.EPERM:
      return "It needs CAP_NET_ADMIN in the user namespace that owns the network namespace";
    case -ERRNO.EOPNOTSUPP:
      return `The command needs Linux ${since} or later`;
    case -ERRNO.ERANGE:
      return "The kernel's maximum number of endpoints is reached: remove one first";
    case -ERRNO.EEXIST:
      return "An endpoint with this address already exists: change or remove it";
    case -ERRNO.EBUSY:
      return "An endpoint with this id already exists";
    case -ERRNO.EADDRNOTAVAIL:
      return "To listen on a port of an address, the host must have that address";
    case -ERRNO.ESRCH:
      return "The connection has no such subflow";
    default:
      return "";
  }
}
