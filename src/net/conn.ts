/**
 * A connection, accepted or made.
 *
 * @module
 */

import { SO_KEEPALIVE, SOL_SOCKET, SOL_TCP, TCP_NODELAY } from "../../ffi/linux/abi.ts";
import { addZone, zoneOf } from "../../ffi/linux/sockaddr.ts";
import { runtimeResource } from "../../ffi/runtime.ts";
import { check, closedError } from "../error.ts";
import { readMptcpInfo, wireProtocol } from "../kernel/info.ts";
import type { MptcpInfo } from "../kernel/info_types.ts";
import type { Origin } from "../policy/fallback.ts";
import { localSockaddr, setIntOption, toNetAddr } from "../poll/socket.ts";
import type { Stream } from "../poll/fd.ts";
import { ConnStreams, notBytes } from "./streams.ts";
import { readSubflows } from "../kernel/subflows.ts";
import { readTcpInfo } from "../kernel/tcp_info.ts";
import type { Fallback, MptcpConn, NetAddr, Protocol, Subflow } from "../types.ts";

/** {@linkcode MptcpConn} on a descriptor of this process. */
export class Conn implements MptcpConn {
  readonly #stream: Stream;
  readonly #origin: Origin;
  readonly #remoteSockaddr: Uint8Array;
  #localSockaddr: Uint8Array | null;
  #finalProtocol: Protocol | "unknown" | null = null;
  #streams: ConnStreams | null = null;

  /**
   * Takes over the descriptor of `stream`, which is connected to `remoteSockaddr`, from `localSockaddr`
   * or from where only the kernel knows.
   */
  constructor(
    stream: Stream,
    remoteSockaddr: Uint8Array,
    origin: Origin,
    localSockaddr: Uint8Array | null = null,
  ) {
    this.#stream = stream;
    this.#remoteSockaddr = remoteSockaddr;
    this.#origin = origin;
    this.#localSockaddr = localSockaddr;
  }

  read(p: Uint8Array): Promise<number | null> {
    if (!(p instanceof Uint8Array)) return Promise.reject(notBytes(p));
    return this.#stream.read(p);
  }

  write(p: Uint8Array): Promise<number> {
    if (!(p instanceof Uint8Array)) return Promise.reject(notBytes(p));
    return this.#stream.write(p);
  }

  closeWrite(): Promise<void> {
    return this.#stream.closeWrite();
  }

  close(): void {
    this.#remember();
    this.#stream.close();
  }

  detach(): number {
    this.#remember();
    return this.#stream.detach();
  }

  [Symbol.dispose](): void {
    if (this.#stream.fd >= 0) this.close();
  }

  ref(): void {
    this.#stream.setRef(true);
  }

  unref(): void {
    this.#stream.setRef(false);
  }

  setNoDelay(noDelay: boolean = true): void {
    this.#setFlag("TCP_NODELAY", SOL_TCP, TCP_NODELAY, noDelay);
  }

  setKeepAlive(keepAlive: boolean = true): void {
    this.#setFlag("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, keepAlive);
  }

  get fd(): number {
    return this.#stream.fd;
  }

  /** What it reads and writes by, for this module's own use. */
  get stream(): Stream {
    return this.#stream;
  }

  get localAddr(): NetAddr {
    return toNetAddr(this.#localSockaddr ??= this.#askLocalSockaddr());
  }

  get remoteAddr(): NetAddr {
    return toNetAddr(this.#remoteSockaddr);
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#asStreams().readable;
  }

  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    return this.#asStreams().writable;
  }

  get protocol(): Protocol | "unknown" {
    if (this.#finalProtocol !== null) return this.#finalProtocol;
    return this.#origin.fallback === null ? wireProtocol(this.#stream.fd) : "tcp";
  }

  get fallback(): Fallback | null {
    return this.protocol === "tcp" ? this.#origin.fallback ?? this.#origin.peer : null;
  }

  info(): MptcpInfo | null {
    return this.#stream.fd >= 0 && this.protocol !== "tcp" ? readMptcpInfo(this.#stream.fd) : null;
  }

  subflows(): Subflow[] {
    const fd = this.#stream.fd;
    if (fd < 0) return [];
    const subflows = this.protocol === "tcp" ? null : readSubflows(fd);
    const { localAddr, remoteAddr } = this;
    if (subflows === null) return [{ localAddr, remoteAddr, tcp: readTcpInfo(fd) }];
    return zoneOf(this.#remoteSockaddr) === 0 ? subflows : this.#withZones(subflows);
  }

  /** The kernel gives the addresses of MPTCP sockets without their zone, which both ends share. */
  #askLocalSockaddr(): Uint8Array {
    return addZone(localSockaddr(this.#stream.fd), zoneOf(this.#remoteSockaddr));
  }

  #withZones(subflows: Subflow[]): Subflow[] {
    const { localAddr, remoteAddr } = this;
    const isOurs = (addr: NetAddr, known: NetAddr) =>
      addr.port === known.port &&
      `${addr.hostname}%${zoneOf(this.#remoteSockaddr)}` === known.hostname;
    return subflows.map((subflow) =>
      isOurs(subflow.localAddr, localAddr) && isOurs(subflow.remoteAddr, remoteAddr)
        ? { ...subflow, localAddr, remoteAddr }
        : subflow
    );
  }

  /** Keeps what can be asked of a closed connection and only the descriptor knows. */
  #remember(): void {
    if (this.#stream.fd < 0) return;
    this.#finalProtocol = this.protocol;
    try {
      this.#localSockaddr ??= this.#askLocalSockaddr();
    } catch {
      // Closing must not fail for the sake of an address that nobody may ask for.
    }
  }

  #setFlag(name: string, level: number, optname: number, on: boolean): void {
    const fd = this.#stream.fd;
    if (fd < 0) throw closedError();
    check("setsockopt", setIntOption(fd, level, optname, Number(on)), { operation: name });
  }

  #asStreams(): ConnStreams {
    return this.#streams ??= new ConnStreams({
      io: this.#stream,
      finish: () => this[Symbol.dispose](),
    });
  }
}

// `Deno.startTls` takes what looks like a Deno.TcpConn, and asks it for this. It takes the descriptor
// over, as it does that of Deno's own connections.
const resource = runtimeResource();
if (resource !== null) {
  Object.defineProperty(Conn.prototype, resource.symbol, {
    configurable: true,
    get(this: Conn): number {
      return resource.take(this.detach());
    },
  });
}
