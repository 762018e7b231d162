/**
 * Events of the path manager, as lines.
 *
 * @module
 */

import type { MptcpEvent, PathAddress } from "../../path_manager/mod.ts";
import { count } from "../ui/units.ts";
import { formatHostPort } from "../../show.ts";

/** A token as `ss` and `ip mptcp` show it. */
export function tokenText(token: number): string {
  return token.toString(16).padStart(8, "0");
}

/** One line: the time, the connection, what happened, and to what. */
export function eventLine(event: MptcpEvent, time: Date): string {
  const columns = [timeText(time), nameOf(event).padEnd(8), event.type.padEnd(19), detailOf(event)];
  return columns.join("  ").trimEnd();
}

/** The same without the time, and without columns. */
export function eventText(event: MptcpEvent): string {
  return `${nameOf(event)} ${event.type} ${detailOf(event)}`.trimEnd();
}

function nameOf(event: MptcpEvent): string {
  return "token" in event && event.token !== undefined ? tokenText(event.token) : "-";
}

/** "10:31:22.123", local time. */
function timeText(time: Date): string {
  const part = (value: number, length = 2) => String(value).padStart(length, "0");
  const seconds = `${part(time.getSeconds())}.${part(time.getMilliseconds(), 3)}`;
  return `${part(time.getHours())}:${part(time.getMinutes())}:${seconds}`;
}

function detailOf(event: MptcpEvent): string {
  switch (event.type) {
    case "created":
    case "established":
      return `${endsOf(event)} as ${event.serverSide ? "server" : "client"}`;
    case "announced":
      return `${addr(event.remoteAddr)} as address ${event.remoteId} of the peer`;
    case "removed":
      return `address ${event.remoteId} of the peer`;
    case "subflow-established":
    case "subflow-closed":
    case "subflow-priority": {
      const { backup, error, resetReason, localId, remoteId } = event;
      const notes = [
        `addresses ${localId} and ${remoteId}`,
        ...backup ? ["backup"] : [],
        ...error === undefined ? [] : [error],
        ...resetReason === undefined ? [] : [`reset, reason ${resetReason}`],
      ];
      return `${endsOf(event)} (${notes.join(", ")})`;
    }
    case "listener-created":
    case "listener-closed":
      return addr(event.localAddr);
    case "lost":
      return "events came faster than they were read";
    case "state":
      return `${count(event.connections.length, "connection")}, ` +
        count(event.endpoints.length, "endpoint");
    case "unknown":
      return `number ${event.number}`;
    case "closed":
      return "";
  }
}

function endsOf(event: { localAddr: PathAddress; remoteAddr: PathAddress }): string {
  return `${addr(event.localAddr)} -> ${addr(event.remoteAddr)}`;
}

function addr({ hostname, port }: PathAddress): string {
  return formatHostPort(hostname, port);
}
