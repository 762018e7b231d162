/**
 * The request that a connection is in, as far as it may have to be sent again over another one.
 *
 * @module
 */

import { isBodiless, latin1Of, RequestFraming } from "./request_framing.ts";

/** Bytes of a request that are kept at most. */
const KEPT = 1024 * 1024;

/** Bytes of an answer that are searched for the end of its head. */
const MAX_HEAD = 2048;

/** Where the status is in an answer, and the digits of 101, behind which another protocol is spoken. */
const STATUS = "HTTP/1.1 ".length;
const [ZERO, ONE] = [48, 49];

/** A head that says where the answer ends, so that the end of the connection does not. */
const DELIMITED = /^HTTP\/1\.1 (?:204|304) |\r\n(?:content-length|transfer-encoding):/i;

/** Follows the requests and answers of one connection of `fetch`. */
export class RequestLog {
  readonly #framing = new RequestFraming();
  /** Bytes of the request so far; `null` where they cannot be sent again. */
  #sent: Uint8Array[] | null = null;
  #size = 0;
  #isAnswered = false;
  /** How the answer begins. */
  #answer: Uint8Array = new Uint8Array(0);

  /** A request is whole, it has been answered, and no further one has begun. */
  get isIdle(): boolean {
    return this.#framing.isBetween && this.#isAnswered;
  }

  /** The connection is used over TLS, or in another way that cannot be followed. */
  get isOpaque(): boolean {
    return this.#framing.isOpaque;
  }

  /** As `isIdle`, and the answer does not end by the end of the connection. */
  get isReusable(): boolean {
    if (!this.isIdle) return false;
    const text = latin1Of(this.#answer);
    const end = text.indexOf("\r\n\r\n");
    return end >= 0 && DELIMITED.test(text.slice(0, end));
  }

  /** Bytes of the request so far. */
  get size(): number {
    return this.#size;
  }

  /** What was sent of a request that has no answer yet; `null` if that is not known. */
  get unanswered(): readonly Uint8Array[] | null {
    return this.#sent;
  }

  /** Takes note of bytes that are about to be sent. They may be overwritten later. */
  push(bytes: Uint8Array): void {
    if (this.isIdle) {
      this.#isAnswered = false;
      this.#size = 0;
      // What has no body `fetch` sends again by itself.
      this.#sent = isBodiless(bytes) ? null : [];
    }
    this.#framing.push(bytes);
    this.#size += bytes.byteLength;
    if (this.#size > KEPT || this.#framing.isOpaque) this.#sent = null;
    this.#sent?.push(bytes.slice());
  }

  /** The request cannot be sent again. */
  forget(): void {
    this.#sent = null;
  }

  /** Bytes of an answer have come. */
  onAnswer(bytes: Uint8Array): void {
    if (this.#isAnswered || this.isOpaque) return;
    this.#isAnswered = true;
    this.#sent = null;
    this.#answer = bytes.slice(0, MAX_HEAD);
    if (bytes[STATUS] === ONE && bytes[STATUS + 1] === ZERO && bytes[STATUS + 2] === ONE) {
      this.#framing.lose();
    }
  }
}
