/**
 * Files of /proc, read through libc: a runtime's own way would want a permission for each.
 *
 * @module
 */

import { readText } from "../../ffi/linux/procfs.ts";
import { libc } from "../../ffi/runtime.ts";
import { inNetns } from "../poll/socket.ts";

/**
 * The text of a file; `null` where it does not exist or may not be read. Those about a network are
 * about the namespace that the thread is in: give them as /proc/thread-self/net and /proc/sys/net.
 */
export function readProc(path: string, netns?: string): string | null {
  return inNetns(netns, () => readText(libc(), path));
}
