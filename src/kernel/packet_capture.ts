/**
 * Captures packets of this host by a packet socket, in the format of pcap(3).
 *
 * @module
 */

import { MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_NONBLOCK } from "../../ffi/linux/abi.ts";
import { AF_PACKET, ETH_P_ALL, SOCK_DGRAM } from "../../ffi/linux/abi_packet.ts";
import { libc } from "../../ffi/runtime.ts";
import { check } from "../error.ts";
import { inNetns } from "../poll/socket.ts";

/** The largest packet: segments may be merged to 64 KiB. */
const SNAP_LENGTH = 65_535;
/** LINKTYPE_RAW: packets begin with their IP header. */
const LINK_TYPE = 101;
/** Milliseconds between two looks: what the times of packets are exact to. */
const INTERVAL = 2;
/** Bytes that are kept; later packets are dropped. */
const LIMIT = 16 * 1024 * 1024;

const TCP = 6;

/** A capture of the TCP packets from and to a port, on all interfaces, until it is disposed of. */
export class PacketCapture implements Disposable {
  readonly #fd: number;
  readonly #port: number;
  readonly #buf: Uint8Array<ArrayBuffer> = new Uint8Array(SNAP_LENGTH);
  readonly #records: Uint8Array<ArrayBuffer>[] = [fileHeader()];
  readonly #timer: ReturnType<typeof setInterval>;
  #size = 0;
  #isOver = false;

  /**
   * Begins to capture.
   *
   * @throws {MptcpError} code "EPERM" without CAP_NET_RAW.
   */
  constructor(port: number, netns?: string) {
    // The kernel wants the protocol in network byte order.
    const protocol = ETH_P_ALL << 8;
    const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = inNetns(netns, () => libc().socket(AF_PACKET, type, protocol));
    this.#fd = check("socket", fd, {
      operation: "capture packets",
      advice: "It needs CAP_NET_RAW",
    });
    this.#port = port;
    this.#timer = setInterval(() => this.#drain(), INTERVAL);
  }

  /** All that was captured, as a file of pcap. */
  bytes(): Uint8Array<ArrayBuffer> {
    this.#drain();
    const length = this.#records.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const all = new Uint8Array(length);
    let at = 0;
    for (const record of this.#records) {
      all.set(record, at);
      at += record.byteLength;
    }
    return all;
  }

  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#drain();
    this.#isOver = true;
    clearInterval(this.#timer);
    libc().close(this.#fd);
  }

  #drain(): void {
    if (this.#isOver) return;
    for (;;) {
      const length = libc().recv(this.#fd, this.#buf, SNAP_LENGTH, MSG_DONTWAIT);
      if (length <= 0) return;
      const packet = this.#buf.subarray(0, length);
      if (this.#size + length > LIMIT || !hasPort(packet, this.#port)) continue;
      this.#records.push(record(packet));
      this.#size += length;
    }
  }
}

/** Whether a packet is of TCP, from or to a port. */
function hasPort(packet: Uint8Array, port: number): boolean {
  const version = packet[0]! >> 4;
  const [protocol, start] = version === 4
    ? [packet[9], (packet[0]! & 15) * 4]
    : [packet[6], IPV6_HEADER];
  if ((version !== 4 && version !== 6) || protocol !== TCP) return false;
  if (packet.byteLength < start + 4) return false;
  const view = new DataView(packet.buffer, packet.byteOffset + start);
  const [from, to] = [view.getUint16(PORTS.source), view.getUint16(PORTS.destination)];
  return from === port || to === port;
}

const IPV6_HEADER = 40;
const PORTS = { source: 0, destination: 2 } as const;

/** https://www.tcpdump.org/manpages/pcap-savefile.5.txt */
function fileHeader(): Uint8Array<ArrayBuffer> {
  const fields = new Uint32Array([0xa1b2c3d4, 2 | (4 << 16), 0, 0, SNAP_LENGTH, LINK_TYPE]);
  return new Uint8Array(fields.buffer);
}

function record(packet: Uint8Array): Uint8Array<ArrayBuffer> {
  const time = performance.timeOrigin + performance.now();
  const seconds = Math.floor(time / 1000);
  const microseconds = Math.floor((time - seconds * 1000) * 1000);
  const fields = new Uint32Array([seconds, microseconds, packet.byteLength, packet.byteLength]);
  const bytes = new Uint8Array(fields.byteLength + packet.byteLength);
  bytes.set(new Uint8Array(fields.buffer));
  bytes.set(packet, fields.byteLength);
  return bytes;
}
