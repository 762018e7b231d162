/**
 * A listening socket for this process alone, which the runtime's `fetch` comes in by.
 *
 * @module
 */

import {
  AF_INET,
  AF_UNIX,
  IPPROTO_TCP,
  SO_PEERCRED,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  ucred,
} from "../../ffi/linux/abi.ts";
import { libc } from "../../ffi/runtime.ts";
import { encodeAbstractSockaddr, encodeSockaddr } from "../../ffi/linux/sockaddr.ts";
import { Acceptor } from "../poll/acceptor.ts";
import { getOption, localSockaddr, toNetAddr } from "../poll/socket.ts";
import { Stream } from "../poll/fd.ts";
import { check } from "../error.ts";

const BACKLOG = 511;
const LOOPBACK = new Uint8Array([127, 0, 0, 1]);

/** Hands each connection to a callback. Its waiting does not keep the process alive. */
export class LocalListener extends Acceptor<Stream> {
  /** Takes over a descriptor that listens. */
  constructor(fd: number, onConnection: (stream: Stream) => void | Promise<void>) {
    super(fd);
    this.refed = false;
    void this.acceptAll(onConnection);
  }

  /** Makes it keep the process alive, or not. */
  override setRef(refed: boolean): void {
    if (this.fd >= 0) super.setRef(refed);
  }

  /** Stops listening. */
  override close(): void {
    if (this.fd >= 0) super.close();
  }

  protected override adopt(fd: number): Stream {
    return new Stream(fd);
  }
}

/** Listens on a port of the loopback. */
export function listenOnLoopback(
  onConnection: (stream: Stream) => void | Promise<void>,
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
