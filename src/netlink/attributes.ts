/**
 * Netlink attributes, both ways: a length, a type and a value, padded to four bytes, and values that
 * are attributes themselves. Numbers are in host order unless a name says otherwise.
 *
 * @module
 */

import { NLA_F_NESTED, NLA_F_NET_BYTEORDER, nlattr } from "../../ffi/linux/abi_netlink.ts";

/** `length` rounded up to where the next message or attribute begins. */
export function align(length: number): number {
  return (length + 3) & ~3;
}

const TYPE_MASK = ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER);

/**
 * Where the value of an attribute begins, among those between two offsets; 0 where it is missing. For
 * lists of thousands, which are too long for an object each.
 */
export function findAttribute(view: DataView, type: number, start: number, end: number): number {
  for (let at = start; at + nlattr.size <= end;) {
    const length = view.getUint16(at + nlattr.nla_len, true);
    if (length < nlattr.size || at + length > end) return 0;
    if ((view.getUint16(at + nlattr.nla_type, true) & TYPE_MASK) === type) return at + nlattr.size;
    at += align(length);
  }
  return 0;
}

/** Where the value that {@linkcode findAttribute} found ends. */
export function endOfAttribute(view: DataView, value: number): number {
  return value - nlattr.size + view.getUint16(value - nlattr.size + nlattr.nla_len, true);
}

/**
 * The attributes of one level. A value that is missing, or shorter than what is asked for, is
 * `undefined`; of two attributes of one type the last counts, as in the kernel.
 */
export class Attributes {
  /** All attributes in their order, for lists. */
  readonly entries: readonly (readonly [type: number, value: Uint8Array])[];
  readonly #values: ReadonlyMap<number, Uint8Array>;

  /** Takes attributes apart. Data after an invalid length is ignored. */
  constructor(bytes: Uint8Array) {
    this.entries = parse(bytes);
    this.#values = new Map(this.entries);
  }

  /** The bytes of a value, exactly `length` of them where that is given. */
  bytes(type: number, length?: number): Uint8Array | undefined {
    const value = this.#values.get(type);
    if (value === undefined || length === undefined) return value;
    return value.byteLength < length ? undefined : value.subarray(0, length);
  }

  u8(type: number): number | undefined {
    return this.bytes(type, 1)?.[0];
  }

  u16(type: number): number | undefined {
    return this.#view(type, 2)?.getUint16(0, true);
  }

  /** In network order. */
  be16(type: number): number | undefined {
    return this.#view(type, 2)?.getUint16(0, false);
  }

  u32(type: number): number | undefined {
    return this.#view(type, 4)?.getUint32(0, true);
  }

  i32(type: number): number | undefined {
    return this.#view(type, 4)?.getInt32(0, true);
  }

  /** The text before the NUL. */
  string(type: number): string | undefined {
    const value = this.bytes(type);
    if (value === undefined) return undefined;
    const end = value.indexOf(0);
    return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
  }

  /** The attributes that a value is made of; none where it is missing. */
  nested(type: number): Attributes {
    return new Attributes(this.bytes(type) ?? new Uint8Array(0));
  }

  #view(type: number, length: number): DataView | undefined {
    const value = this.bytes(type, length);
    return value && new DataView(value.buffer, value.byteOffset, length);
  }
}

function parse(bytes: Uint8Array): [type: number, value: Uint8Array][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: [number, Uint8Array][] = [];
  for (let at = 0; at + nlattr.size <= bytes.byteLength;) {
    const length = view.getUint16(at + nlattr.nla_len, true);
    if (length < nlattr.size || at + length > bytes.byteLength) break;
    const type = view.getUint16(at + nlattr.nla_type, true) & ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER);
    entries.push([type, bytes.subarray(at + nlattr.size, at + length)]);
    at += align(length);
  }
  return entries;
}

/** Puts attributes together. Each method adds one and gives the builder back. */
export class AttributeBuilder {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  u8(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value));
  }

  u16(type: number, value: number): this {
    return this.bytes(type, new Uint8Array(Uint16Array.of(value).buffer));
  }

  u32(type: number, value: number): this {
    return this.bytes(type, new Uint8Array(Uint32Array.of(value).buffer));
  }

  i32(type: number, value: number): this {
    return this.bytes(type, new Uint8Array(Int32Array.of(value).buffer));
  }

  /** With a NUL behind it. */
  string(type: number, value: string): this {
    return this.bytes(type, new TextEncoder().encode(`${value}\0`));
  }

  nested(type: number, attributes: AttributeBuilder): this {
    return this.bytes(type | NLA_F_NESTED, attributes.build());
  }

  bytes(type: number, value: Uint8Array): this {
    const length = nlattr.size + value.byteLength;
    const part = new Uint8Array(align(length));
    const view = new DataView(part.buffer);
    view.setUint16(nlattr.nla_len, length, true);
    view.setUint16(nlattr.nla_type, type, true);
    part.set(value, nlattr.size);
    this.#parts.push(part);
    this.#length += part.byteLength;
    return this;
  }

  /** All that was added. */
  build(): Uint8Array {
    const bytes = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.byteLength;
    }
    return bytes;
  }
}
