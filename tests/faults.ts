/**
 * Faults through the libc contract: system calls that are interrupted, would block, move fewer bytes
 * than they could, or find no descriptor left, by percentages from a seed.
 *
 * @module
 */

import { EPOLL_CTL_ADD, EPOLL_CTL_MOD, epoll_event } from "../ffi/linux/abi.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import type { Libc } from "../ffi/linux/libc.ts";
import { libc, replaceLibc } from "../ffi/runtime.ts";

/** How often each fault happens, in percent of the calls that can have it. */
export interface Faults {
  seed: number;
  EINTR?: number;
  EAGAIN?: number;
  /** `recv` and `send` that move a part. */
  short?: number;
  /** `socket` and `accept4` without a descriptor. */
  EMFILE?: number;
}

/** Faults in force until disposed of. */
export interface Injection extends Disposable {
  /** How many faults of each kind there were. */
  readonly counts: Readonly<Record<"EINTR" | "EAGAIN" | "short" | "EMFILE", number>>;
}

/** Numbers from 0 to 1 that follow from the seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Puts a faulty libc in place of the real one. */
export function injectFaults(faults: Faults): Injection {
  const real = libc();
  const counts = { EINTR: 0, EAGAIN: 0, short: 0, EMFILE: 0 };
  const random = randomFrom(faults.seed);
  const registered = new Map<number, { epfd: number; event: Uint8Array }>();

  function happens(kind: keyof typeof counts): boolean {
    if (random() * 100 >= (faults[kind] ?? 0)) return false;
    counts[kind]++;
    return true;
  }

  /** An edge that the kernel has no reason to send: the socket is as ready as it was. */
  function sendEdge(fd: number): void {
    const entry = registered.get(fd);
    if (entry !== undefined) real.epoll_ctl(entry.epfd, EPOLL_CTL_MOD, fd, entry.event);
  }

  function move(call: Libc["recv"]): Libc["recv"] {
    return (fd, buf, length, flags) => {
      if (happens("EINTR")) return -ERRNO.EINTR;
      if (happens("EAGAIN")) {
        sendEdge(fd);
        return -ERRNO.EAGAIN;
      }
      if (length < 2 || !happens("short")) return call(fd, buf, length, flags);
      const part = 1 + Math.floor(random() * (length - 1));
      const result = call(fd, buf.subarray(0, part), part, flags);
      sendEdge(fd);
      return result;
    };
  }

  replaceLibc({
    ...real,
    socket: (...args) => happens("EMFILE") ? -ERRNO.EMFILE : real.socket(...args),
    accept4(...args) {
      if (happens("EINTR")) return -ERRNO.EINTR;
      return happens("EMFILE") ? -ERRNO.EMFILE : real.accept4(...args);
    },
    connect: (...args) => {
      const result = real.connect(...args);
      // The kernel goes on with an interrupted connect.
      return result === -ERRNO.EINPROGRESS && happens("EINTR") ? -ERRNO.EINTR : result;
    },
    recv: move(real.recv),
    send: move(real.send),
    epoll_ctl(epfd, op, fd, event) {
      if (op === EPOLL_CTL_ADD) {
        registered.set(fd, { epfd, event: event.slice(0, epoll_event.size) });
      }
      return real.epoll_ctl(epfd, op, fd, event);
    },
    close(fd) {
      registered.delete(fd);
      return real.close(fd);
    },
  });
  return { counts, [Symbol.dispose]: () => void replaceLibc(real) };
}

/** Replaces single system calls until disposed of. */
export function stubLibc(stubs: Partial<Libc>): Disposable {
  const real = replaceLibc({ ...libc(), ...stubs });
  return { [Symbol.dispose]: () => void replaceLibc(real) };
}
