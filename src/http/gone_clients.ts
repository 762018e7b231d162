/**
 * Ends connections whose client has left in the middle of an answer.
 *
 * @module
 */

import { SHUT_RDWR } from "../../ffi/linux/abi.ts";
import { libc } from "../../ffi/runtime.ts";
import { GonePeers } from "../net/gone_peers.ts";
import { resetOnClose } from "../poll/socket.ts";
import type { ConnectionTable } from "./connections.ts";

/** Watches the MPTCP connections of a server; `patience` in milliseconds if not the usual. */
export function watchGoneClients(connections: ConnectionTable, patience?: number): GonePeers {
  return new GonePeers({
    list: () => connections.all(),
    giveUp: end,
    ...(patience !== undefined && { patience }),
  });
}

/** Has the runtime close the descriptor, and the kernel drop what nobody will read. */
function end(fd: number): void {
  resetOnClose(fd);
  libc().shutdown(fd, SHUT_RDWR);
}
