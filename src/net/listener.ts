/**
 * A listening socket.
 *
 * @module
 */

import {
  SO_PRIORITY,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  sockaddr_storage,
  SOL_SOCKET,
} from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { libc } from "../../ffi/runtime.ts";
import { AcceptIterator } from "./accept_iterator.ts";
import { Conn } from "./conn.ts";
import { busyError, closedError, type MptcpError, systemError } from "../error.ts";
import { type Reactor, reactor, Source } from "../poll/reactor.ts";
import { localSockaddr, setIntOption, toNetAddr } from "../poll/socket.ts";
import { Stream } from "../poll/fd.ts";
import { type OpenedSocket, type Origin, PEER_OF_SERVER } from "../policy/fallback.ts";
import type {
  Fallback,
  MptcpConn,
  MptcpListener,
  NetAddr,
  Protocol,
  SocketOptions,
} from "../types.ts";

/**
 * Failures of one pending connection, not of the listener, by accept(2): take the next. Linux hands
 * on the errors of the network that the connection met before it was accepted.
 */
const RETRY: ReadonlySet<number> = new Set([
  -ERRNO.EINTR,
  -ERRNO.ECONNABORTED,
  -ERRNO.EPROTO,
  -ERRNO.ENETDOWN,
  -ERRNO.EHOSTDOWN,
  -ERRNO.ENONET,
  -ERRNO.EHOSTUNREACH,
  -ERRNO.ENETUNREACH,
]);

/** Addresses that stand for all of the machine's. */
const WILDCARDS: readonly string[] = ["0.0.0.0", "::"];

const WOULD_BLOCK = -ERRNO.EAGAIN;

// The kernel writes here; what is kept of an address is copied.
const addr = new Uint8Array(sockaddr_storage.size);
const addrlen = new Uint32Array(1);

/** Waits for connections on a listening descriptor. */
class Acceptor extends Source {
  readonly #reactor: Reactor = reactor();
  readonly #origin: Origin;
  readonly #priority: number | undefined;
  /** That of every connection; `null` if they differ. */
  readonly #localSockaddr: Uint8Array | null;
  #waiting: PromiseWithResolvers<MptcpConn> | null = null;

  constructor(
    fd: number,
    origin: Origin,
    priority: number | undefined,
    localSockaddr: Uint8Array | null,
  ) {
    super(fd);
    this.#localSockaddr = localSockaddr;
    this.#origin = origin;
    this.#priority = priority;
  }

  accept(): Promise<MptcpConn> {
    if (this.fd < 0) return Promise.reject(closedError("Listener has been closed"));
    if (this.#waiting !== null) return Promise.reject(busyError());
    try {
      if (!this.readable) this.#reactor.begin(this);
      else if (this.#reactor.budget-- <= 0) this.#reactor.defer(this);
      else {
        const result = this.#accept4();
        if (result !== WOULD_BLOCK) return Promise.resolve(this.#toConn(result));
        this.#reactor.begin(this);
      }
    } catch (error) {
      return Promise.reject(error);
    }
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  override onReady(): void {
    if (!this.readable || this.#waiting === null) return;
    const result = this.#accept4();
    if (result === WOULD_BLOCK) return;
    const { resolve, reject } = this.#take();
    try {
      resolve(this.#toConn(result));
    } catch (error) {
      reject(error);
    }
  }

  close(): void {
    if (this.fd < 0) throw closedError();
    this.#reactor.forget(this);
    libc().close(this.#abandon());
  }

  detach(): number {
    if (this.fd < 0) throw closedError();
    this.#reactor.release(this);
    return this.#abandon();
  }

  setRef(refed: boolean): void {
    this.#reactor.setRef(this, refed);
  }

  #accept4(): number {
    let result;
    do {
      addrlen[0] = addr.byteLength;
      result = libc().accept4(this.fd, addr, addrlen, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (RETRY.has(result));
    if (result === WOULD_BLOCK) this.readable = false;
    this.#reactor.expectAnswer();
    return result;
  }

  #toConn(result: number): MptcpConn {
    if (result < 0) throw acceptError(result);
    // The one option that the kernel does not hand on to accepted connections.
    if (this.#priority) setIntOption(result, SOL_SOCKET, SO_PRIORITY, this.#priority);
    const remoteSockaddr = addr.slice(0, addrlen[0]);
    return new Conn(new Stream(result), remoteSockaddr, this.#origin, this.#localSockaddr);
  }

  #take(): PromiseWithResolvers<MptcpConn> {
    const waiting = this.#waiting!;
    this.#waiting = null;
    this.#reactor.end(this);
    return waiting;
  }

  #abandon(): number {
    const fd = this.fd;
    this.fd = -1;
    if (this.#waiting !== null) this.#take().reject(closedError("Listener has been closed"));
    return fd;
  }
}

function acceptError(result: number): MptcpError {
  const exhausted = result === -ERRNO.EMFILE || result === -ERRNO.ENFILE;
  return systemError("accept4", result, {
    operation: "accept",
    ...(exhausted && { advice: "The connection waits in the backlog until a descriptor is free" }),
  });
}

/** {@linkcode MptcpListener} on a descriptor of this process. */
export class Listener extends AcceptIterator implements MptcpListener {
  readonly #acceptor: Acceptor;
  readonly addr: NetAddr;
  readonly protocol: Protocol;
  readonly fallback: Fallback | null;

  /** Takes over the descriptor of a socket that listens, with these options set. */
  constructor(opened: Omit<OpenedSocket, "domain">, { priority }: SocketOptions) {
    super();
    const { fd, protocol, fallback } = opened;
    const sockaddr = localSockaddr(fd);
    this.addr = toNetAddr(sockaddr);
    this.protocol = protocol;
    this.fallback = fallback;
    const origin = { fallback, peer: PEER_OF_SERVER };
    const isWildcard = WILDCARDS.includes(this.addr.hostname);
    this.#acceptor = new Acceptor(fd, origin, priority, isWildcard ? null : sockaddr);
  }

  override accept(): Promise<MptcpConn> {
    return this.#acceptor.accept();
  }

  close(): void {
    this.#acceptor.close();
  }

  detach(): number {
    return this.#acceptor.detach();
  }

  override [Symbol.dispose](): void {
    if (this.fd >= 0) this.close();
  }

  ref(): void {
    this.#acceptor.setRef(true);
  }

  unref(): void {
    this.#acceptor.setRef(false);
  }

  get fd(): number {
    return this.#acceptor.fd;
  }
}
