/**
 * Where requests end: the framing of HTTP/1.1 (RFC 9112), as the runtime's `fetch` writes it.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** `fetch` sends no longer heads. */
const MAX_HEAD = 64 * 1024;

/** Bytes that are searched at a time for the end of a head or a line. */
const BLOCK = 1024;

const [G, H, LF] = [71, 72, 10];

/** What a head says of what follows it. */
const FOLLOWING =
  /\r\n(?:content-length:[ \t]*(\d+)|transfer-encoding:[^\r]*(chunked)|(upgrade):)/i;

/**
 * What the next byte is of; `opaque` is what cannot be followed: TLS, another protocol. A chunk's data
 * includes the line end behind it.
 */
type State = "head" | "body" | "size" | "data" | "trailer" | "opaque";

/** Follows what a client sends over one connection. */
export class RequestFraming {
  #state: State = "head";
  /** The head, or a line of a chunked body, as far as it has come. */
  #text = "";
  /** How many bytes of a body or a chunk are to come. */
  #left = 0;

  /** The next byte begins a request. */
  get isBetween(): boolean {
    return this.#state === "head" && this.#text === "";
  }

  /** Where requests begin is unknown, now and ever after. */
  get isOpaque(): boolean {
    return this.#state === "opaque";
  }

  /** From now on it is no HTTP. */
  lose(): void {
    this.#enter("opaque");
  }

  /** Takes note of bytes that are sent. */
  push(bytes: Uint8Array): void {
    if (this.isBetween && isBodiless(bytes)) return;
    for (let at = 0; at < bytes.byteLength && this.#state !== "opaque";) {
      const isCounted = this.#state === "body" || this.#state === "data";
      at += isCounted ? this.#skip(bytes.byteLength - at) : this.#read(bytes.subarray(at));
    }
  }

  #skip(available: number): number {
    const count = Math.min(this.#left, available);
    this.#left -= count;
    if (this.#left === 0) this.#enter(this.#state === "body" ? "head" : "size");
    return count;
  }

  #read(bytes: Uint8Array): number {
    const isHead = this.#state === "head";
    // A method begins with a capital letter, a record of TLS does not.
    if (isHead && this.#text === "" && !isCapital(bytes[0]!)) this.#enter("opaque");
    const block = bytes.subarray(0, BLOCK);
    const before = this.#text.length;
    const text = this.#text + latin1Of(block);
    const mark = isHead ? "\r\n\r\n" : "\n";
    const found = text.indexOf(mark);
    if (found < 0) {
      if (text.length > MAX_HEAD) this.#enter("opaque");
      else this.#text = text;
      return block.byteLength;
    }
    const end = found + mark.length;
    if (isHead) this.#onHead(text.slice(0, end));
    else this.#onLine(text.slice(0, found).trim());
    return end - before;
  }

  #onHead(head: string): void {
    const [, length, chunked, upgrade] = FOLLOWING.exec(head) ?? [];
    if (upgrade !== undefined || head.startsWith("CONNECT ")) this.#enter("opaque");
    else if (chunked !== undefined) this.#enter("size");
    else if (Number(length ?? 0) === 0) this.#enter("head");
    else this.#enter("body", Number(length));
  }

  #onLine(line: string): void {
    if (this.#state === "trailer") return this.#enter(line === "" ? "head" : "trailer");
    const size = /^[0-9a-f]+/i.test(line) ? parseInt(line, 16) : NaN;
    if (Number.isNaN(size)) this.#enter("opaque");
    else if (size === 0) this.#enter("trailer");
    else this.#enter("data", size + "\r\n".length);
  }

  /** Nothing becomes of what is opaque. */
  #enter(state: State, left = 0): void {
    if (this.#state !== "opaque") this.#state = state;
    this.#left = left;
    this.#text = "";
  }
}

/** Whether bytes are one whole GET or HEAD, which have no body in `fetch`. */
export function isBodiless(bytes: Uint8Array): boolean {
  if (bytes.length > BLOCK || (bytes[0] !== G && bytes[0] !== H)) return false;
  for (let at = bytes.indexOf(LF); at >= 0;) {
    const next = bytes.indexOf(LF, at + 1);
    // An empty line.
    if (next === at + 2) return next === bytes.length - 1;
    at = next;
  }
  return false;
}

/** A character for each byte. */
export function latin1Of({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength).toString("latin1");
}

function isCapital(byte: number): boolean {
  return byte >= 65 && byte <= 90;
}
