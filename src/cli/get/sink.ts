/**
 * Where what is fetched goes to.
 *
 * @module
 */

import { type Stats, statSync } from "node:fs";
import { type FileHandle, open, rename, rm, utimes } from "node:fs/promises";
import { StatusError } from "../ui/status_error.ts";
import type { Terminal } from "../ui/terminal.ts";
import { formatBytes } from "../ui/units.ts";

/** Takes bytes. */
export interface Sink {
  /** Writes all of the bytes, and waits while there is no room. */
  write(bytes: Uint8Array): Promise<void>;
  /** All has come. */
  finish(): Promise<void>;
  /** No more comes. Gives a sentence about what is left, `null` if there is nothing to say. */
  abandon(): Promise<string | null>;
}

/** Standard output. */
export class OutputSink implements Sink {
  readonly #terminal: Terminal;
  #isChecked: boolean;

  /** @param anything Whether bytes that are no text may go to a terminal. */
  constructor(terminal: Terminal, anything: boolean) {
    this.#terminal = terminal;
    this.#isChecked = anything || !terminal.outIsTerminal;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#isChecked && bytes.includes(0)) {
      throw new StatusError(
        23,
        "this is no text, and could upset the terminal: add -o FILE, or -o - to have it all the same",
      );
    }
    this.#isChecked = true;
    try {
      await this.#terminal.write(bytes);
    } catch (error) {
      throw writeFailure("standard output", error);
    }
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  abandon(): Promise<null> {
    return Promise.resolve(null);
  }
}

/**
 * A file, which has its name only once it is whole: until then, and if the transfer fails, what came is
 * in FILE.part. There its time of change is that of the file on the server: on the condition that this
 * is still so (If-Range) a later transfer can go on with it.
 */
export class FileSink implements Sink {
  readonly #path: string;
  /** What is written to: the file itself where it is a device or a pipe. */
  readonly #partPath: string;
  readonly #handle: FileHandle;
  readonly #modified: Date | null;
  #size: number;

  private constructor(
    path: string,
    partPath: string,
    handle: FileHandle,
    modified: Date | null,
    size: number,
  ) {
    this.#path = path;
    this.#partPath = partPath;
    this.#handle = handle;
    this.#modified = modified;
    this.#size = size;
  }

  /**
   * Opens a file.
   *
   * @param offset Where to go on in what there is, 0 to begin anew.
   * @param modified When the file was changed on the server.
   */
  static async open(path: string, offset: number, modified: Date | null): Promise<FileSink> {
    const partPath = partOf(path);
    try {
      const handle = await open(partPath, offset > 0 ? "r+" : "w");
      return new FileSink(path, partPath, handle, modified, offset);
    } catch (error) {
      throw writeFailure(partPath, error);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.byteLength;) {
        const rest = bytes.subarray(at);
        const place = this.#path === this.#partPath ? null : this.#size;
        const { bytesWritten } = await this.#handle.write(rest, 0, rest.byteLength, place);
        at += bytesWritten;
        this.#size += bytesWritten;
      }
    } catch (error) {
      throw writeFailure(this.#partPath, error);
    }
  }

  async finish(): Promise<void> {
    try {
      if (this.#path !== this.#partPath) await this.#handle.truncate(this.#size);
      await this.#handle.close();
      if (this.#path !== this.#partPath) await rename(this.#partPath, this.#path);
    } catch (error) {
      throw writeFailure(this.#path, error);
    }
  }

  async abandon(): Promise<string | null> {
    await this.#handle.close().catch(() => {});
    if (this.#path === this.#partPath) return null;
    if (this.#size === 0) {
      await rm(this.#partPath, { force: true });
      return null;
    }
    const kept = `${formatBytes(this.#size)} are kept in ${this.#partPath}`;
    if (this.#modified === null) return kept;
    await utimes(this.#partPath, this.#modified, this.#modified).catch(() => {});
    return `${kept}: the same command with -C - goes on from there`;
  }
}

/** What there is of a file that was not fetched to its end; `null` if there is nothing. */
export function unfinished(path: string): { size: number; modified: Date } | null {
  const partPath = partOf(path);
  const stats = partPath === path ? undefined : statsOf(partPath);
  return stats?.isFile() && stats.size > 0 ? { size: stats.size, modified: stats.mtime } : null;
}

function partOf(path: string): string {
  const stats = statsOf(path);
  if (stats?.isDirectory()) throw new StatusError(23, `${path} is a folder`);
  return stats === undefined || stats.isFile() ? `${path}.part` : path;
}

function statsOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

function writeFailure(path: string, error: unknown): StatusError {
  const { code, message } = error as Error & { code?: string };
  const why = WHY[code ?? ""] ?? message;
  return new StatusError(23, `${path} cannot be written: ${why}`, { cause: error });
}

const WHY: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left there",
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  ENOENT: "there is no such folder",
  ENOTDIR: "there is no such folder",
  EDQUOT: "the quota is exhausted",
  EFBIG: "the file would be too large",
};
