/**
 * Events of the kernel's path manager, taken apart.
 *
 * @module
 */

import {
  MPTCP_ATTR_BACKUP,
  MPTCP_ATTR_DADDR4,
  MPTCP_ATTR_DADDR6,
  MPTCP_ATTR_DPORT,
  MPTCP_ATTR_ERROR,
  MPTCP_ATTR_FLAGS,
  MPTCP_ATTR_IF_IDX,
  MPTCP_ATTR_LOC_ID,
  MPTCP_ATTR_REM_ID,
  MPTCP_ATTR_RESET_REASON,
  MPTCP_ATTR_SADDR4,
  MPTCP_ATTR_SADDR6,
  MPTCP_ATTR_SERVER_SIDE,
  MPTCP_ATTR_SPORT,
  MPTCP_ATTR_TOKEN,
  MPTCP_EVENT_ANNOUNCED,
  MPTCP_EVENT_CLOSED,
  MPTCP_EVENT_CREATED,
  MPTCP_EVENT_ESTABLISHED,
  MPTCP_EVENT_LISTENER_CLOSED,
  MPTCP_EVENT_LISTENER_CREATED,
  MPTCP_EVENT_REMOVED,
  MPTCP_EVENT_SUB_CLOSED,
  MPTCP_EVENT_SUB_ESTABLISHED,
  MPTCP_EVENT_SUB_PRIORITY,
  MPTCP_PM_EV_FLAG_DENY_JOIN_ID0,
  MPTCP_PM_EV_FLAG_SERVER_SIDE,
} from "../../ffi/linux/abi_netlink.ts";
import { errnoName } from "../../ffi/linux/errno.ts";
import type { Attributes } from "../netlink/attributes.ts";
import { decodeGeneric, type GenericMessage } from "../netlink/generic.ts";
import { parseMessages } from "../netlink/message.ts";
import { addressText } from "../kernel/pm_address.ts";
import type { ConnectionEvent, MptcpEvent, PathAddress, SubflowEvent } from "./types.ts";

/** The events in a datagram. */
export function decodeEvents(datagram: Uint8Array): MptcpEvent[] {
  return parseMessages(datagram).flatMap((message) => {
    const generic = decodeGeneric(message);
    return generic === null ? [] : decodeEvent(generic);
  });
}

function decodeEvent({ command, attributes }: GenericMessage): MptcpEvent {
  const token = attributes.u32(MPTCP_ATTR_TOKEN);
  const listener = decodeListener(command, attributes);
  if (listener !== null) return listener;
  // Every other event has one.
  if (token === undefined) return { type: "unknown", number: command };
  const remoteId = attributes.u8(MPTCP_ATTR_REM_ID) ?? 0;
  switch (command) {
    case MPTCP_EVENT_CREATED:
      return decodeConnection("created", token, attributes);
    case MPTCP_EVENT_ESTABLISHED:
      return decodeConnection("established", token, attributes);
    case MPTCP_EVENT_CLOSED:
      return { type: "closed", token };
    case MPTCP_EVENT_ANNOUNCED:
      return { type: "announced", token, remoteId, remoteAddr: remoteEnd(attributes) };
    case MPTCP_EVENT_REMOVED:
      return { type: "removed", token, remoteId };
    case MPTCP_EVENT_SUB_ESTABLISHED:
      return decodeSubflow("subflow-established", token, attributes);
    case MPTCP_EVENT_SUB_CLOSED:
      return decodeSubflow("subflow-closed", token, attributes);
    case MPTCP_EVENT_SUB_PRIORITY:
      return decodeSubflow("subflow-priority", token, attributes);
    default:
      return { type: "unknown", number: command, token };
  }
}

function decodeListener(command: number, attributes: Attributes): MptcpEvent | null {
  if (command === MPTCP_EVENT_LISTENER_CREATED) {
    return { type: "listener-created", localAddr: localEnd(attributes) };
  }
  if (command === MPTCP_EVENT_LISTENER_CLOSED) {
    return { type: "listener-closed", localAddr: localEnd(attributes) };
  }
  return null;
}

function decodeConnection(
  type: ConnectionEvent["type"],
  token: number,
  attributes: Attributes,
): ConnectionEvent {
  const flags = attributes.u16(MPTCP_ATTR_FLAGS) ?? 0;
  // At the client the attribute is 0 or missing, as the kernel's version goes.
  const serverSide = (attributes.u8(MPTCP_ATTR_SERVER_SIDE) ?? 0) !== 0 ||
    (flags & MPTCP_PM_EV_FLAG_SERVER_SIDE) !== 0;
  return {
    type,
    token,
    localAddr: localEnd(attributes),
    remoteAddr: remoteEnd(attributes),
    serverSide,
    denyJoinInitialAddr: (flags & MPTCP_PM_EV_FLAG_DENY_JOIN_ID0) !== 0,
  };
}

function decodeSubflow(
  type: SubflowEvent["type"],
  token: number,
  attributes: Attributes,
): SubflowEvent {
  const errno = attributes.u8(MPTCP_ATTR_ERROR) ?? 0;
  return {
    type,
    token,
    localAddr: localEnd(attributes),
    remoteAddr: remoteEnd(attributes),
    localId: attributes.u8(MPTCP_ATTR_LOC_ID) ?? 0,
    remoteId: attributes.u8(MPTCP_ATTR_REM_ID) ?? 0,
    backup: (attributes.u8(MPTCP_ATTR_BACKUP) ?? 0) !== 0,
    error: errno === 0 ? undefined : errnoName(errno),
    resetReason: attributes.u32(MPTCP_ATTR_RESET_REASON),
    interfaceIndex: attributes.i32(MPTCP_ATTR_IF_IDX) || undefined,
  };
}

function localEnd(attributes: Attributes): PathAddress {
  return endOf(attributes, MPTCP_ATTR_SADDR4, MPTCP_ATTR_SADDR6, MPTCP_ATTR_SPORT);
}

function remoteEnd(attributes: Attributes): PathAddress {
  return endOf(attributes, MPTCP_ATTR_DADDR4, MPTCP_ATTR_DADDR6, MPTCP_ATTR_DPORT);
}

function endOf(attributes: Attributes, addr4: number, addr6: number, port: number): PathAddress {
  const bytes = attributes.bytes(addr4, 4) ?? attributes.bytes(addr6, 16);
  return {
    hostname: bytes === undefined ? "" : addressText(bytes),
    port: attributes.be16(port) || undefined,
  };
}
