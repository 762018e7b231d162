/**
 * Generic netlink: protocols known by name, whose numbers the kernel gives out.
 *
 * @module
 */

import {
  CTRL_ATTR_FAMILY_ID,
  CTRL_ATTR_FAMILY_NAME,
  CTRL_ATTR_MCAST_GROUPS,
  CTRL_ATTR_MCAST_GRP_ID,
  CTRL_ATTR_MCAST_GRP_NAME,
  CTRL_CMD_GETFAMILY,
  GENL_ID_CTRL,
  genlmsghdr,
} from "../../ffi/linux/abi_netlink.ts";
import { AttributeBuilder, Attributes } from "./attributes.ts";
import type { Message } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

/** A protocol of generic netlink. */
export interface Family {
  /** The type of its messages. */
  readonly id: number;
  /** The numbers of its multicast groups by their names. */
  readonly groups: ReadonlyMap<string, number>;
}

/** A message of generic netlink, taken apart. */
export interface GenericMessage {
  readonly command: number;
  readonly attributes: Attributes;
}

/** Asks for a family by its name; `-errno` where there is none. */
export function lookUpFamily(socket: NetlinkSocket, name: string): Family | number {
  const question = new AttributeBuilder().string(CTRL_ATTR_FAMILY_NAME, name);
  const payload = encodeGeneric(CTRL_CMD_GETFAMILY, 1, question);
  const { result, messages } = socket.request(GENL_ID_CTRL, payload);
  if (result < 0) return result;
  const answer = messages.map(decodeGeneric).find((message) => message !== null);
  const id = answer?.attributes.u16(CTRL_ATTR_FAMILY_ID) ?? 0;
  return { id, groups: groupsOf(answer?.attributes.nested(CTRL_ATTR_MCAST_GROUPS)) };
}

function groupsOf(list: Attributes | undefined): Map<string, number> {
  const groups = new Map<string, number>();
  for (const [, value] of list?.entries ?? []) {
    const group = new Attributes(value);
    const name = group.string(CTRL_ATTR_MCAST_GRP_NAME);
    const id = group.u32(CTRL_ATTR_MCAST_GRP_ID);
    if (name !== undefined && id !== undefined) groups.set(name, id);
  }
  return groups;
}

/** The payload of a command. */
export function encodeGeneric(
  command: number,
  version: number,
  attributes: AttributeBuilder,
): Uint8Array {
  const body = attributes.build();
  const payload = new Uint8Array(genlmsghdr.size + body.byteLength);
  payload[genlmsghdr.cmd] = command;
  payload[genlmsghdr.version] = version;
  payload.set(body, genlmsghdr.size);
  return payload;
}

/** Takes a payload apart; `null` where it is too short to be one. */
export function decodeGeneric({ payload }: Pick<Message, "payload">): GenericMessage | null {
  if (payload.byteLength < genlmsghdr.size) return null;
  return {
    command: payload[genlmsghdr.cmd]!,
    attributes: new Attributes(payload.subarray(genlmsghdr.size)),
  };
}
