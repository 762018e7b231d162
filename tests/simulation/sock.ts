/**
 * Simulated stream sockets of TCP and MPTCP. What they do is what `tcp_poll`, `tcp_sendmsg`,
 * `tcp_recvmsg`, `tcp_reset` and their likes in net/mptcp do; `conformance.ts` compares with the kernel.
 *
 * @module
 */

import {
  AF_INET6,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  IPPROTO_MPTCP,
} from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { ByteQueue } from "./bytes.ts";
import { File } from "./file.ts";
import type { MptcpState } from "./mptcp.ts";
import type { Network } from "./network.ts";

/** `closed` is a socket that has had its connection. */
export type SockState = "fresh" | "listening" | "connecting" | "connected" | "closed";

/** An address as the simulation has it: as text without a family, and a port. */
export interface Address {
  readonly ip: string;
  readonly port: number;
}

/** One direction of a connection: what was sent and has not arrived. */
export class Flow {
  readonly queue: ByteQueue = new ByteQueue();
  readonly from: Sock;
  readonly to: Sock;
  /** Bytes that were ever sent, and that have arrived. */
  sent = 0;
  arrived = 0;
  /** The end of the stream is sent, behind the bytes. */
  fin = false;
  isOver = false;
  /** A segment is on its way. */
  isMoving = false;

  constructor(from: Sock, to: Sock) {
    this.from = from;
    this.to = to;
  }
}

/** A stream socket. */
export class Sock extends File {
  readonly network: Network;
  readonly domain: number;
  /** 6 or 262: what SO_PROTOCOL says. */
  readonly protocol: number;
  readonly options: Map<string, Uint8Array> = new Map();
  state: SockState = "fresh";
  local: Address | null = null;
  remote: Address | null = null;
  /** SO_ERROR. */
  error = 0;
  /** The connection's state of MPTCP; `null` where it is TCP on the wire. */
  mptcp: MptcpState | null = null;
  /** Whether it was TCP on the wire from the handshake on, or became so. */
  hasFallenBack = false;
  outgoing: Flow | null = null;
  incoming: Flow | null = null;
  readonly received: ByteQueue = new ByteQueue();
  sendCapacity: number;
  receiveCapacity: number;
  /** Connections to accept, and how many there may be. */
  readonly backlog: Sock[] = [];
  maxBacklog = 0;
  /** The end of the stream has arrived; no more is sent. */
  hasEnd = false;
  hasShut = false;
  isReleased = false;
  /** Whoever runs out of room is told of room by an event. */
  #wantsRoom = false;

  constructor(network: Network, domain: number, protocol: number) {
    super();
    this.network = network;
    this.domain = domain;
    this.protocol = protocol;
    this.sendCapacity = network.settings.sendBuffer;
    this.receiveCapacity = network.settings.receiveBuffer;
  }

  get isMptcpSocket(): boolean {
    return this.protocol === IPPROTO_MPTCP;
  }

  get isIpv6(): boolean {
    return this.domain === AF_INET6;
  }

  override poll(): number {
    if (this.state === "listening") return this.backlog.length > 0 ? EPOLLIN : 0;
    if (this.state === "connecting") return 0;
    const isOver = this.state !== "connected";
    let events = this.error !== 0 ? EPOLLERR : 0;
    if (isOver || (this.hasEnd && this.hasShut)) events |= EPOLLHUP;
    // A reset ends the incoming direction of a TCP socket alone: of an MPTCP one there is the hang-up.
    const hasEnd = this.hasEnd || (this.state === "closed" && !this.isMptcpSocket);
    if (hasEnd) events |= EPOLLRDHUP;
    if (hasEnd || this.received.length > 0) events |= EPOLLIN;
    if (isOver || this.hasShut || this.#hasRoom) events |= EPOLLOUT;
    else this.#wantsRoom = true;
    return events;
  }

  /** By `sk_stream_is_writeable`: at most two thirds of the buffer are used. */
  get #hasRoom(): boolean {
    return this.outgoing!.queue.length * 3 <= this.sendCapacity * 2;
  }

  /** What it is in, in words. */
  describe(): string {
    const { state, received, outgoing, hasEnd, hasShut, error } = this;
    return `${state}, ${received.length} to read${hasEnd ? ", ended" : ""}, ${
      outgoing?.queue.length ?? 0
    } to send${hasShut ? ", shut" : ""}, error ${error}, events ${this.poll().toString(16)}`;
  }

  recv(buf: Uint8Array, length: number): number {
    if (this.received.length > 0) {
      const count = this.network.clip("recv", Math.min(length, this.received.length));
      const taken = this.received.take(buf, count);
      if (this.incoming !== null) this.network.move(this.incoming);
      // Fewer than there are: as if the rest had arrived after the call.
      if (taken < length && this.received.length > 0) this.wake();
      return taken;
    }
    if (this.hasEnd) return 0;
    if (this.error !== 0) return this.takeError();
    if (this.state === "closed") return this.mptcp !== null ? -ERRNO.ENOTCONN : 0;
    if (this.state === "connecting") return -ERRNO.EAGAIN;
    return this.state === "connected" ? -ERRNO.EAGAIN : -ERRNO.ENOTCONN;
  }

  send(bytes: Uint8Array): number {
    if (this.state === "connecting") return -ERRNO.EAGAIN;
    if (this.error !== 0) return this.takeError();
    if (this.state !== "connected" || this.hasShut) return -ERRNO.EPIPE;
    const flow = this.outgoing!;
    const room = this.sendCapacity - flow.queue.length;
    const count = room <= 0 ? 0 : this.network.clip("send", Math.min(bytes.byteLength, room));
    if (count < bytes.byteLength) this.#wantsRoom = true;
    if (count === 0) return -ERRNO.EAGAIN;
    flow.queue.push(bytes.subarray(0, count));
    flow.sent += count;
    this.network.move(flow);
    // Fewer than there is room for: memory was short, and an event tells when it is not.
    if (count < Math.min(bytes.byteLength, room)) this.network.relieve(this);
    return count;
  }

  /** There is room again, if anybody wants to know. */
  onRoom(): void {
    if (!this.#wantsRoom || this.state !== "connected" || !this.#hasRoom) return;
    this.#wantsRoom = false;
    this.wake();
  }

  shutdown(): number {
    const isOver = this.hasEnd && this.hasShut && this.outgoing!.isOver;
    if (this.state !== "connected" || isOver) return -ERRNO.ENOTCONN;
    this.hasShut = true;
    this.outgoing!.fin = true;
    this.network.move(this.outgoing!);
    this.wake();
    return 0;
  }

  /** The connection is over: by the peer's reset, or because nothing of it is left. */
  break(error: number): void {
    if (this.state === "closed") return;
    // By `tcp_reset`: of who has read the end of the stream only writes fail, as if by a signal.
    this.error = error === ERRNO.ECONNRESET && this.hasEnd && !this.isMptcpOnWire
      ? ERRNO.EPIPE
      : error;
    this.state = "closed";
    this.outgoing?.queue.clear();
    this.wake();
  }

  get isMptcpOnWire(): boolean {
    return this.mptcp !== null && !this.mptcp.hasFallenBack;
  }

  takeError(): number {
    const { error } = this;
    this.error = 0;
    return -error;
  }

  override release(): void {
    this.isReleased = true;
    this.network.onRelease(this);
  }
}
