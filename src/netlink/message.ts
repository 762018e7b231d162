/**
 * Netlink messages: a header and a payload, several to a datagram.
 *
 * @module
 */

import {
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSGERR_ATTR_MSG,
  nlmsghdr,
} from "../../ffi/linux/abi_netlink.ts";
import { align, Attributes } from "./attributes.ts";

/** One message. */
export interface Message {
  /** `nlmsg_type`: a control message, or what the protocol means by it. */
  readonly type: number;
  /** `nlmsg_flags`. */
  readonly flags: number;
  /** `nlmsg_seq`: that of the request which it answers, 0 for an event. */
  readonly seq: number;
  readonly payload: Uint8Array;
}

/** How a request ended. */
export interface Outcome {
  /** 0 or `-errno`. */
  readonly result: number;
  /** What the kernel says about it; empty where it says nothing. */
  readonly text: string;
}

/** A message as bytes. */
export function encodeMessage({ type, flags, seq, payload }: Message): Uint8Array {
  const bytes = new Uint8Array(nlmsghdr.size + payload.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(nlmsghdr.nlmsg_len, bytes.byteLength, true);
  view.setUint16(nlmsghdr.nlmsg_type, type, true);
  view.setUint16(nlmsghdr.nlmsg_flags, flags, true);
  view.setUint32(nlmsghdr.nlmsg_seq, seq, true);
  bytes.set(payload, nlmsghdr.size);
  return bytes;
}

/** The messages of a datagram. Data after an invalid length is ignored. */
export function parseMessages(bytes: Uint8Array): Message[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: Message[] = [];
  for (let at = 0; at + nlmsghdr.size <= bytes.byteLength;) {
    const length = view.getUint32(at + nlmsghdr.nlmsg_len, true);
    if (length < nlmsghdr.size || at + length > bytes.byteLength) break;
    messages.push({
      type: view.getUint16(at + nlmsghdr.nlmsg_type, true),
      flags: view.getUint16(at + nlmsghdr.nlmsg_flags, true),
      seq: view.getUint32(at + nlmsghdr.nlmsg_seq, true),
      payload: bytes.subarray(at + nlmsghdr.size, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** How a request ended, if the message says so: an acknowledgement, an error, the end of a dump. */
export function outcomeOf({ type, flags, payload }: Message): Outcome | null {
  if (type !== NLMSG_ERROR && type !== NLMSG_DONE) return null;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  // The end of a dump may come without a result.
  const result = payload.byteLength < 4 ? 0 : view.getInt32(0, true);
  if (!(flags & NLM_F_ACK_TLVS)) return { result, text: "" };
  let at = 4;
  if (type === NLMSG_ERROR && payload.byteLength >= 4 + nlmsghdr.size) {
    // The request is repeated, or its header alone.
    const capped = (flags & NLM_F_CAPPED) !== 0;
    at += capped ? nlmsghdr.size : align(view.getUint32(4 + nlmsghdr.nlmsg_len, true));
  }
  return { result, text: new Attributes(payload.subarray(at)).string(NLMSGERR_ATTR_MSG) ?? "" };
}
