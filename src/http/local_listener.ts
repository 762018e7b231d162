/**
 * A listening socket for this process alone, which the runtime's `fetch` comes in by.
 *
 * @module
 */

import { setTimeout } from "node:timers";
import {
  AF_INET,
  AF_UNIX,
  IPPROTO_TCP,
  SO_PEERCRED,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  sockaddr_storage,
  SOL_SOCKET,
  ucred,
} from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { libc } from "../../ffi/runtime.ts";
import { encodeAbstractSockaddr, encodeSockaddr } from "../../ffi/linux/sockaddr.ts";
import { type Reactor, reactor, Source } from "../poll/reactor.ts";
import { getOption, isInterrupted, localSockaddr, toNetAddr } from "../poll/socket.ts";
import { Stream } from "../poll/fd.ts";
import { check } from "../error.ts";

const BACKLOG = 511;
const LOOPBACK = new Uint8Array([127, 0, 0, 1]);

/** Milliseconds until the next try where no descriptor was left for a connection. */
const RETRY_INTERVAL = 20;

// Nobody asks who has connected: the kernel writes here and it is not read.
const addr = new Uint8Array(sockaddr_storage.size);
const addrlen = new Uint32Array(1);

/** Hands each connection to a callback. Its waiting does not keep the process alive. */
export class LocalListener extends Source {
  readonly #reactor: Reactor = reactor();
  readonly #onConnection: (stream: Stream) => void;

  /** Takes over a descriptor that listens. */
  constructor(fd: number, onConnection: (stream: Stream) => void) {
    super(fd);
    this.#onConnection = onConnection;
    this.refed = false;
    this.#reactor.begin(this);
  }

  /** Makes it keep the process alive, or not. */
  setRef(refed: boolean): void {
    if (this.fd >= 0) this.#reactor.setRef(this, refed);
  }

  /** Stops listening. */
  close(): void {
    if (this.fd < 0) return;
    this.#reactor.end(this);
    this.#reactor.forget(this);
    libc().close(this.fd);
    this.fd = -1;
  }

  override onReady(): void {
    while (this.fd >= 0) {
      addrlen[0] = addr.byteLength;
      const fd = libc().accept4(this.fd, addr, addrlen, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (isInterrupted(fd)) continue;
      if (fd < 0) {
        // The event that told of what waits does not come again.
        if (fd !== -ERRNO.EAGAIN) setTimeout(() => this.onReady(), RETRY_INTERVAL).unref();
        return;
      }
      this.#onConnection(new Stream(fd));
    }
  }
}

/** Listens on a port of the loopback. */
export function listenOnLoopback(
  onConnection: (stream: Stream) => void,
): { listener: LocalListener; port: number } {
  const fd = check("socket", libc().socket(AF_INET, TYPE, IPPROTO_TCP));
  listenAt(fd, encodeSockaddr(LOOPBACK, 0));
  const { port } = toNetAddr(localSockaddr(fd));
  return { listener: new LocalListener(fd, onConnection), port };
}

/** Listens on an abstract Unix socket. */
export function listenOnName(name: string, onConnection: (stream: Stream) => void): LocalListener {
  // The protocol of a Unix socket is its family.
  const fd = check("socket", libc().socket(AF_UNIX, TYPE, AF_UNIX));
  listenAt(fd, encodeAbstractSockaddr(name));
  return new LocalListener(fd, onConnection);
}

const TYPE = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

function listenAt(fd: number, sockaddr: Uint8Array): void {
  try {
    check("bind", libc().bind(fd, sockaddr), { operation: "open a tunnel" });
    check("listen", libc().listen(fd, BACKLOG), { operation: "open a tunnel" });
  } catch (error) {
    libc().close(fd);
    throw error;
  }
}

/** The process at the other end of a Unix socket. */
export function peerPid({ fd }: Stream): number {
  const credentials = new Uint8Array(ucred.size);
  check("getsockopt", getOption(fd, SOL_SOCKET, SO_PEERCRED, credentials));
  return new DataView(credentials.buffer).getInt32(ucred.pid, true);
}
