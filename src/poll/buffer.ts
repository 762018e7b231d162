/**
 * Buffers that change while an operation waits: `ArrayBuffer.prototype.transfer`, `structuredClone`
 * and `WebAssembly.Memory.grow` take the memory away from a view, and a resizable buffer may shrink.
 *
 * @module
 */

/** Whether a view of no bytes is one whose memory was taken away. */
export function isDetached({ buffer }: Uint8Array): boolean {
  return "detached" in buffer && buffer.detached === true;
}

/** For a view that has less memory than when the operation began, of which `done` bytes were done. */
export function changedError(operation: string, done: number, length?: number): TypeError {
  const part = length === undefined ? "" : ` after ${done} of ${length} bytes`;
  return new TypeError(
    `${operation}: the buffer was detached or made smaller${part}. Do not transfer or shrink a ` +
      "buffer, or grow its WebAssembly.Memory, before the operation ends",
  );
}
