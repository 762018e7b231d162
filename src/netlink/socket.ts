/**
 * A netlink socket: requests to the kernel, which answers before the call returns.
 *
 * @module
 */

import { MSG_DONTWAIT, MSG_TRUNC, SOCK_CLOEXEC, SOCK_NONBLOCK } from "../../ffi/linux/abi.ts";
import {
  AF_NETLINK,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  nlmsghdr,
  SOCK_RAW,
  sockaddr_nl,
  SOL_NETLINK,
} from "../../ffi/linux/abi_netlink.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { libc } from "../../ffi/runtime.ts";
import { check, systemError } from "../error.ts";
import { inNetns, isInterrupted, setIntOption } from "../poll/socket.ts";
import { align } from "./attributes.ts";
import { encodeMessage, type Message, type Outcome, outcomeOf, parseMessages } from "./message.ts";

/** The result of a request. */
export interface Reply {
  /** 0 or `-errno`. */
  readonly result: number;
  /** What the kernel says about an error; empty where it says nothing. */
  readonly text: string;
  /** The messages of the answer, without acknowledgements. */
  readonly messages: readonly Message[];
  /** True of a dump that is not of one moment. */
  readonly interrupted: boolean;
}

/** Longer than any datagram of the kernel: it fills 32 KiB at most, whatever the receiver offers. */
const RECEIVE_LENGTH = 64 * 1024;

/** How often a dump is asked for again when what it lists changed meanwhile. */
const DUMP_ATTEMPTS = 4;

const receiveBuf = new Uint8Array(RECEIVE_LENGTH);
const receiveView = new DataView(receiveBuf.buffer);

/** Takes the payload of a message, which lies in `view` from `start` to `end`. */
export type Visit = (view: DataView, start: number, end: number) => void;

/** A netlink socket of one protocol in one network namespace. */
export class NetlinkSocket implements Disposable {
  #fd: number;
  #seq = 0;

  /**
   * Opens it.
   *
   * @throws {MptcpError} code "EPROTONOSUPPORT" where the kernel lacks the protocol; those of
   * `inNetns` for the namespace.
   */
  constructor(protocol: number, netns?: string) {
    const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = inNetns(netns, () => libc().socket(AF_NETLINK, type, protocol));
    this.#fd = check("socket", fd, { operation: "open a netlink socket" });
    try {
      const kernel = new Uint8Array(sockaddr_nl.size);
      kernel[sockaddr_nl.nl_family] = AF_NETLINK;
      // Connected to the kernel, a socket takes messages of nobody else.
      check("connect", libc().connect(fd, kernel), { operation: "reach the kernel over netlink" });
      // Both are refused by kernels that do not know them: errors then come without a text.
      setIntOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
      setIntOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The descriptor; -1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Joins a multicast group: 0 or `-errno`. */
  join(group: number): number {
    return setIntOption(this.#fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
  }

  /** Asks for one thing, or has it done; `flags` are those beside NLM_F_REQUEST and NLM_F_ACK. */
  request(type: number, payload: Uint8Array, flags = 0): Reply {
    return this.#exchange(type, NLM_F_REQUEST | NLM_F_ACK | flags, payload);
  }

  /** Asks for all there is of something. */
  dump(type: number, payload: Uint8Array): Reply {
    for (let attempt = 1;; attempt++) {
      const reply = this.#exchange(type, NLM_F_REQUEST | NLM_F_DUMP, payload);
      if (!reply.interrupted || attempt === DUMP_ATTEMPTS) return reply;
    }
  }

  /**
   * As {@linkcode NetlinkSocket.dump}, but hands the payloads to `visit` and keeps none, for lists of
   * thousands: each lies in `view` from `start` to `end`, until `visit` has returned.
   */
  scan(type: number, payload: Uint8Array, visit: Visit): Outcome {
    const seq = this.#seq = (this.#seq + 1) >>> 0;
    this.#send(encodeMessage({ type, flags: NLM_F_REQUEST | NLM_F_DUMP, seq, payload }));
    for (;;) {
      const received = this.#receiveShared();
      for (let at = 0, next; at + nlmsghdr.size <= received.byteLength; at = next) {
        const length = receiveView.getUint32(at + nlmsghdr.nlmsg_len, true);
        if (length < nlmsghdr.size || at + length > received.byteLength) break;
        next = at + align(length);
        if (receiveView.getUint32(at + nlmsghdr.nlmsg_seq, true) !== seq) continue;
        const kind = receiveView.getUint16(at + nlmsghdr.nlmsg_type, true);
        if (kind === NLMSG_ERROR || kind === NLMSG_DONE) {
          return outcomeOf(parseMessages(received.subarray(at, at + length))[0]!)!;
        }
        visit(receiveView, at + nlmsghdr.size, at + length);
      }
    }
  }

  /** Closes it, once. */
  close(): void {
    if (this.#fd >= 0) libc().close(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #exchange(type: number, flags: number, payload: Uint8Array): Reply {
    const seq = this.#seq = (this.#seq + 1) >>> 0;
    this.#send(encodeMessage({ type, flags, seq, payload }));
    const messages: Message[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of parseMessages(this.#receive())) {
        // Left over from a request that failed.
        if (message.seq !== seq) continue;
        interrupted ||= (message.flags & NLM_F_DUMP_INTR) !== 0 && message.type !== NLMSG_ERROR;
        const outcome = outcomeOf(message);
        if (outcome !== null) return { ...outcome, messages, interrupted };
        messages.push(message);
      }
    }
  }

  #send(bytes: Uint8Array): void {
    let result;
    do result = libc().send(this.#fd, bytes, bytes.byteLength, 0); while (isInterrupted(result));
    check("send", result, { operation: "ask the kernel over netlink" });
  }

  #receive(): Uint8Array {
    return this.#receiveShared().slice();
  }

  /** The next datagram, in a buffer that the one after it will be in too. */
  #receiveShared(): Uint8Array {
    const length = receiveInto(this.#fd);
    if (length >= 0) return receiveBuf.subarray(0, length);
    throw systemError("recv", length, { operation: "read the kernel's answer over netlink" });
  }
}

/** The next datagram if there is one, or `-errno`. */
export function receiveDatagram(fd: number): Uint8Array | number {
  const length = receiveInto(fd);
  return length < 0 ? length : receiveBuf.slice(0, length);
}

/** Reads the next datagram into `receiveBuf`, and gives its length or `-errno`. */
function receiveInto(fd: number): number {
  let result;
  do {
    result = libc().recv(fd, receiveBuf, RECEIVE_LENGTH, MSG_DONTWAIT | MSG_TRUNC);
  } while (isInterrupted(result));
  // With MSG_TRUNC the length is that of the whole datagram.
  return result > RECEIVE_LENGTH ? -ERRNO.EMSGSIZE : result;
}
