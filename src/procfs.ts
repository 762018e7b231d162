/**
 * Files of /proc, read through libc: a runtime's own way would want a permission for each.
 *
 * @module
 */

import { O_CLOEXEC, O_RDONLY } from "../ffi/abi.ts";
import { libc } from "../ffi/runtime.ts";
import { inNetns, isInterrupted } from "./socket.ts";

const CHUNK = 16 * 1024;

/**
 * The text of a file; `null` where it does not exist or may not be read. Those about a network are
 * about the namespace that the thread is in: give them as /proc/thread-self/net and /proc/sys/net.
 */
export function readProc(path: string, netns?: string): string | null {
  return inNetns(netns, () => readText(path));
}

function readText(path: string): string | null {
  const fd = libc().open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return null;
  const decoder = new TextDecoder();
  const buf = new Uint8Array(CHUNK);
  let text = "";
  try {
    for (;;) {
      const length = libc().read(fd, buf);
      if (isInterrupted(length)) continue;
      if (length < 0) return null;
      if (length === 0) return text;
      text += decoder.decode(buf.subarray(0, length), { stream: true });
    }
  } finally {
    libc().close(fd);
  }
}
