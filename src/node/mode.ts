/**
 * Options that several makers of sockets take.
 *
 * @module
 */

import type { DuplexOptions } from "node:stream";
import type { MptcpSocketMode, MptcpSocketOptions } from "./types.ts";

/** The options of this module among others; those that are not given are left out. */
export function modeOf(
  { mptcp, dualStack, netns, socketOptions }: MptcpSocketMode,
): MptcpSocketMode {
  return {
    ...(mptcp !== undefined && { mptcp }),
    ...(dualStack !== undefined && { dualStack }),
    ...(netns !== undefined && { netns }),
    ...(socketOptions !== undefined && { socketOptions }),
  };
}

/** What the stream of a socket is made with. */
export function streamOptions(options: MptcpSocketOptions): DuplexOptions {
  const { highWaterMark, readableHighWaterMark, writableHighWaterMark } = options;
  return {
    allowHalfOpen: options.allowHalfOpen ?? false,
    // "close" says whether there was an error, which a stream does not.
    emitClose: false,
    autoDestroy: true,
    ...(highWaterMark !== undefined && { highWaterMark }),
    ...(readableHighWaterMark !== undefined && { readableHighWaterMark }),
    ...(writableHighWaterMark !== undefined && { writableHighWaterMark }),
  };
}
