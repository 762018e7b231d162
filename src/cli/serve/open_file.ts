/**
 * An open file as the body of a response.
 *
 * @module
 */

import { detectMimeType } from "@remix-run/mime";
import { constants, type Stats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

const CHUNK_SIZE = 256 * 1024;

/** A file, as responses want it, that stays the one which was opened whatever happens to its name. */
export class OpenFile implements AsyncDisposable {
  readonly name: string;
  readonly size: number;
  readonly type: string;
  readonly lastModified: number;
  /** Changes with the content, as far as the file system tells. */
  readonly tag: string;
  readonly #handle: FileHandle;
  #isStreamed = false;

  private constructor(path: string, handle: FileHandle, stats: Stats) {
    this.name = path;
    this.size = stats.size;
    this.type = detectMimeType(path) ?? "application/octet-stream";
    this.lastModified = stats.mtimeMs;
    this.tag = [stats.ino, stats.size, Math.round(stats.mtimeMs * 1000)]
      .map((number) => number.toString(16)).join("-");
    this.#handle = handle;
  }

  /** Opens a file for reading; `null` if there is none. */
  static async open(path: string): Promise<OpenFile | null> {
    // A pipe or device that took the place of a file is not to be waited for.
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
    const handle = await open(path, flags).catch(() => null);
    if (handle === null) return null;
    const stats = await handle.stat();
    if (stats.isFile()) return new OpenFile(path, handle, stats);
    await handle.close();
    return null;
  }

  /** The whole file. It, or a part, can be read once. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#stream(0, this.size);
  }

  /** A part of the file. */
  slice(start: number = 0, end: number = this.size): {
    stream(): ReadableStream<Uint8Array<ArrayBuffer>>;
  } {
    return { stream: () => this.#stream(start, end) };
  }

  /** The content in memory. */
  arrayBuffer(): Promise<ArrayBuffer> {
    return new Response(this.stream()).arrayBuffer();
  }

  /** Closes the file, unless it is being streamed: then the end of that closes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isStreamed) await this.#handle.close();
  }

  #stream(start: number, end: number): ReadableStream<Uint8Array<ArrayBuffer>> {
    this.#isStreamed = true;
    const handle = this.#handle;
    let at = start;
    return new ReadableStream({
      pull: async (controller) => {
        if (at === end) {
          await handle.close();
          return controller.close();
        }
        try {
          const chunk = new Uint8Array(Math.min(CHUNK_SIZE, end - at));
          const { bytesRead } = await handle.read(chunk, 0, chunk.byteLength, at);
          if (bytesRead === 0) throw new Error(`${this.name} became shorter while it was served`);
          at += bytesRead;
          controller.enqueue(chunk.subarray(0, bytesRead));
        } catch (error) {
          await handle.close();
          throw error;
        }
      },
      cancel: () => handle.close(),
    }, { highWaterMark: 0 });
  }
}
