/**
 * A listening socket.
 *
 * @module
 */

import { SO_BINDTOIFINDEX, SO_PRIORITY, SOL_SOCKET } from "../../ffi/linux/abi.ts";
import { addZone, zoneOf } from "../../ffi/linux/sockaddr.ts";
import { AcceptIterator } from "./accept_iterator.ts";
import { Conn } from "./conn.ts";
import { Acceptor } from "../poll/acceptor.ts";
import { getIntOption, localSockaddr, setIntOption, toNetAddr } from "../poll/socket.ts";
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

/** Addresses that stand for all of the machine's. */
const WILDCARDS: readonly string[] = ["0.0.0.0", "::"];

/** Makes connections of what is accepted. */
class ConnAcceptor extends Acceptor<MptcpConn> {
  readonly #origin: Origin;
  readonly #priority: number | undefined;
  /** That of every connection; `null` if they differ. */
  readonly #localSockaddr: Uint8Array | null;
  /** The interface that link-local peers are on, where all are on one; else 0. */
  readonly #zone: number;

  constructor(
    fd: number,
    origin: Origin,
    priority: number | undefined,
    localSockaddr: Uint8Array | null,
    zone: number,
  ) {
    super(fd);
    this.#zone = zone;
    this.#localSockaddr = localSockaddr;
    this.#origin = origin;
    this.#priority = priority;
  }

  protected override adopt(fd: number): MptcpConn {
    // The one option that the kernel does not hand on to accepted connections.
    if (this.#priority) setIntOption(fd, SOL_SOCKET, SO_PRIORITY, this.#priority);
    // MPTCP sockets give the addresses of their peers without the zone.
    const remoteSockaddr = addZone(this.remoteSockaddr(), this.#zone);
    return new Conn(new Stream(fd), remoteSockaddr, this.#origin, this.#localSockaddr);
  }
}

/** {@linkcode MptcpListener} on a descriptor of this process. */
export class Listener extends AcceptIterator implements MptcpListener {
  readonly #acceptor: ConnAcceptor;
  readonly addr: NetAddr;
  readonly protocol: Protocol;
  readonly fallback: Fallback | null;

  /**
   * Takes over the descriptor of a socket that listens, with these options set.
   *
   * @param boundZone The zone that it was bound to: the kernel forgets that of an MPTCP socket.
   */
  constructor(opened: Omit<OpenedSocket, "domain">, { priority }: SocketOptions, boundZone = 0) {
    super();
    const { fd, protocol, fallback } = opened;
    const sockaddr = addZone(localSockaddr(fd), boundZone);
    this.addr = toNetAddr(sockaddr);
    this.protocol = protocol;
    this.fallback = fallback;
    const origin = { fallback, peer: PEER_OF_SERVER };
    const isWildcard = WILDCARDS.includes(this.addr.hostname);
    const zone = zoneOf(sockaddr) || Math.max(getIntOption(fd, SOL_SOCKET, SO_BINDTOIFINDEX), 0);
    this.#acceptor = new ConnAcceptor(fd, origin, priority, isWildcard ? null : sockaddr, zone);
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
