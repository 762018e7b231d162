/**
 * Reads a C struct that may be shorter than this module knows it: older kernels return less.
 *
 * @module
 */

/** The fields of a struct by their offsets; `undefined` for what lies behind its end. */
export class StructReader {
  readonly #view: DataView;

  /** Reads `buf`, which is as long as the kernel said that the struct is. */
  constructor(buf: Uint8Array) {
    this.#view = new DataView(buf.buffer, buf.byteOffset, buf.byteLength);
  }

  u8(offset: number): number | undefined {
    return this.#has(offset, 1) ? this.#view.getUint8(offset) : undefined;
  }

  u16(offset: number): number | undefined {
    return this.#has(offset, 2) ? this.#view.getUint16(offset, true) : undefined;
  }

  u32(offset: number): number | undefined {
    return this.#has(offset, 4) ? this.#view.getUint32(offset, true) : undefined;
  }

  u64(offset: number): bigint | undefined {
    return this.#has(offset, 8) ? this.#view.getBigUint64(offset, true) : undefined;
  }

  #has(offset: number, size: number): boolean {
    return offset + size <= this.#view.byteLength;
  }
}
