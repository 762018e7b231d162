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

  /** A counter: exact up to 2^53. */
  u64(offset: number): number | undefined {
    if (!this.#has(offset, 8)) return undefined;
    return this.#view.getUint32(offset, true) + 2 ** 32 * this.#view.getUint32(offset + 4, true);
  }

  /** A rate in bytes per second; `null` for the largest number, which stands for no limit. */
  rate(offset: number): number | null | undefined {
    const value = this.u64(offset);
    return value === 2 ** 64 ? null : value;
  }

  /** A number of 64 bits of which each matters, as "0x" and 16 digits. */
  hex64(offset: number): string | undefined {
    if (!this.#has(offset, 8)) return undefined;
    return `0x${this.#view.getBigUint64(offset, true).toString(16).padStart(16, "0")}`;
  }

  #has(offset: number, size: number): boolean {
    return offset + size <= this.#view.byteLength;
  }
}
