/**
 * The subflows of an MPTCP connection, by whichever option the kernel has.
 *
 * @module
 */

import {
  MPTCP_FULL_INFO,
  mptcp_full_info,
  MPTCP_SUBFLOW_ADDRS,
  mptcp_subflow_addrs,
  mptcp_subflow_data,
  mptcp_subflow_info,
  MPTCP_TCPINFO,
  SOL_MPTCP,
} from "../../ffi/linux/abi.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { libc } from "../../ffi/runtime.ts";
import { getOption, toNetAddr } from "../poll/socket.ts";
import { decodeTcpInfo, TCP_INFO_LENGTH } from "./tcp_info.ts";
import { systemError } from "../error.ts";
import type { Subflow } from "../types.ts";

/** The subflows that most connections can have: the first, and as many as the limits allow. */
const USUAL_ROOM = 9;

/** How often two questions are asked until no subflow has come or gone between them. */
const ATTEMPTS = 4;

/** An array that the kernel filled, with the distance of its elements as the kernel says it. */
interface Elements {
  readonly buf: Uint8Array;
  readonly offset: number;
  readonly stride: number;
  readonly count: number;
}

/** The subflows of an MPTCP connection; `null` when it is not MPTCP or the kernel is before 5.16. */
export function readSubflows(fd: number): Subflow[] | null {
  return readFullInfo(fd) ?? readBySeparateOptions(fd);
}

/**
 * Asks by MPTCP_FULL_INFO: all subflows at one moment, since 6.5. `null` where there is none: the
 * kernel says no more of a connection that has fallen back than of an option that it does not know.
 */
function readFullInfo(fd: number): Subflow[] | null {
  const at = mptcp_full_info;
  for (;;) {
    const { room, full, view, subflows, tcp } = buffers;
    full.fill(0);
    view.setUint32(at.size_tcpinfo_user, TCP_INFO_LENGTH, true);
    view.setUint32(at.size_sfinfo_user, mptcp_subflow_info.size, true);
    view.setUint32(at.size_arrays_user, room, true);
    view.setBigUint64(at.subflow_info, libc().addressOf(subflows), true);
    view.setBigUint64(at.tcp_info, libc().addressOf(tcp), true);
    if (getOption(fd, SOL_MPTCP, MPTCP_FULL_INFO, full) < 0) return null;
    const count = view.getUint32(at.num_subflows, true);
    if (count > room) {
      buffers = makeBuffers(count);
      continue;
    }
    const tcpStride = view.getUint32(at.size_tcpinfo_user, true);
    const stride = view.getUint32(at.size_sfinfo_user, true);
    return open(Array.from({ length: count }, (_, i) => ({
      id: new DataView(subflows.buffer).getUint32(i * stride + mptcp_subflow_info.id, true),
      ...decodeAddrs(subflows, i * stride + mptcp_subflow_info.addrs),
      tcp: decodeTcpInfo(tcp.subarray(i * tcpStride, (i + 1) * tcpStride)),
    })));
  }
}

/** What the kernel is given the addresses of. Kept, so that the memory is nobody else's. */
interface FullInfoBuffers {
  readonly room: number;
  /** Longer than the struct is today. */
  readonly full: Uint8Array;
  readonly view: DataView;
  readonly subflows: Uint8Array;
  readonly tcp: Uint8Array;
}

let buffers: FullInfoBuffers = makeBuffers(USUAL_ROOM);

function makeBuffers(room: number): FullInfoBuffers {
  // A view made of an ArrayBuffer has its bytes outside the heap, where they stay.
  const full = new Uint8Array(new ArrayBuffer(2 * mptcp_full_info.size));
  return {
    room,
    full,
    view: new DataView(full.buffer),
    subflows: new Uint8Array(new ArrayBuffer(room * mptcp_subflow_info.size)),
    tcp: new Uint8Array(new ArrayBuffer(room * TCP_INFO_LENGTH)),
  };
}

/** Asks by two options, since 5.16; again while their answers are not of as many subflows. */
function readBySeparateOptions(fd: number): Subflow[] | null {
  for (let attempt = 1;; attempt++) {
    const addrs = readElements(fd, MPTCP_SUBFLOW_ADDRS, mptcp_subflow_addrs.size);
    const tcp = readElements(fd, MPTCP_TCPINFO, TCP_INFO_LENGTH);
    if (addrs === null || tcp === null) return null;
    if (addrs.count !== tcp.count && attempt < ATTEMPTS) continue;
    return open(Array.from({ length: Math.min(addrs.count, tcp.count) }, (_, i) => ({
      ...decodeAddrs(addrs.buf, addrs.offset + i * addrs.stride),
      tcp: decodeTcpInfo(elementOf(tcp, i)),
    })));
  }
}

/** Without those that are closed, whose addresses the kernel has cleared or is about to. */
function open(subflows: Subflow[]): Subflow[] {
  return subflows.filter(({ remoteAddr, tcp }) => remoteAddr.port !== 0 && tcp.state !== "CLOSE");
}

function elementOf({ buf, offset, stride }: Elements, i: number): Uint8Array {
  return buf.subarray(offset + i * stride, offset + (i + 1) * stride);
}

/** An option that gives an array with an element per subflow; `null` where there is none. */
function readElements(fd: number, optname: number, size: number): Elements | null {
  const offset = mptcp_subflow_data.size;
  for (let room = USUAL_ROOM;; room *= 2) {
    const buf = new Uint8Array(offset + room * size);
    const view = new DataView(buf.buffer);
    view.setUint32(mptcp_subflow_data.size_subflow_data, offset, true);
    view.setUint32(mptcp_subflow_data.size_user, size, true);
    const length = getOption(fd, SOL_MPTCP, optname, buf);
    if (length === -ERRNO.EOPNOTSUPP || length === -ERRNO.ENOPROTOOPT) return null;
    if (length < 0) throw systemError("getsockopt", length, { operation: "list the subflows" });
    const count = view.getUint32(mptcp_subflow_data.num_subflows, true);
    if (count > room) continue;
    return { buf, offset, count, stride: view.getUint32(mptcp_subflow_data.size_user, true) };
  }
}

function decodeAddrs(buf: Uint8Array, offset: number): Pick<Subflow, "localAddr" | "remoteAddr"> {
  return {
    localAddr: toNetAddr(buf.subarray(offset + mptcp_subflow_addrs.ss_local)),
    remoteAddr: toNetAddr(buf.subarray(offset + mptcp_subflow_addrs.ss_remote)),
  };
}
