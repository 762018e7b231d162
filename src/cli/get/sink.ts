/**
 * Where what is fetched goes to.
 *
 * @module
 */

import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, utimes } from "node:fs/promises";
import { StatusError } from "../ui/status_error.ts";
import type { Terminal } from "../ui/terminal.ts";
import { formatBytes } from "../ui/units.ts";
import { placeOf, removeVersion, type Version, writeVersion } from "./part.ts";

/** Takes bytes. */
export interface Sink {
  /** Writes all of the bytes, and waits while there is no room. */
  write(bytes: Uint8Array): Promise<void>;
  /** All has come. */
  finish(): Promise<void>;
  /** No more comes. Gives a sentence about what is left, `null` if there is nothing to say. */
  abandon(): Promise<string | null>;
  /** All has come, and it is wrong. Gives a sentence about where it is, `null` for nowhere. */
  reject(): Promise<string | null>;
}

/** Standard output. */
export class OutputSink implements Sink {
  readonly #terminal: Terminal;
  readonly #raw: boolean;
  #isChecked: boolean;

  /** @param anything Whether binary data may go to a terminal. */
  constructor(terminal: Terminal, anything: boolean) {
    this.#terminal = terminal;
    this.#raw = anything;
    this.#isChecked = anything || !terminal.outIsTerminal;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#isChecked && bytes.includes(0)) {
      throw new StatusError(
        23,
        "the body is binary and could garble the terminal: add -o FILE, or -o - to print it anyway",
      );
    }
    this.#isChecked = true;
    try {
      await this.#terminal.write(bytes, this.#raw);
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

  reject(): Promise<null> {
    return Promise.resolve(null);
  }
}

/** What a file is opened for. */
export interface FileOptions {
  /** Where to resume in the partial file; 0 to start from the beginning. */
  readonly offset: number;
  /** Which version of the file comes; `null` where that cannot be told. */
  readonly version: Version | null;
}

/**
 * A file. One with a new name has it only once it is whole: until then, and if the transfer fails, what
 * came is in FILE.part, from which a later transfer can go on. A file that is there gets the content
 * once it has all come, and keeps its mode, its owner and its links. What is not a file, and a file in
 * a folder that cannot be written, is written to directly.
 */
export class FileSink implements Sink {
  readonly #path: string;
  /** `null` where the path itself is written. */
  readonly #partPath: string | null;
  readonly #exists: boolean;
  readonly #handle: FileHandle;
  readonly #version: Version | null;
  #size: number;

  private constructor(
    path: string,
    { partPath, exists, handle }: Opened,
    { offset, version }: FileOptions,
  ) {
    this.#path = path;
    this.#partPath = partPath;
    this.#exists = exists;
    this.#handle = handle;
    this.#version = version;
    this.#size = offset;
  }

  /** Opens a file. */
  static async open(path: string, options: FileOptions): Promise<FileSink> {
    const opened = await openFile(path, options.offset);
    const { partPath } = opened;
    if (partPath !== null && options.offset === 0) {
      if (options.version === null) await removeVersion(partPath);
      else writeVersion(partPath, options.version);
    }
    return new FileSink(path, opened, options);
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.byteLength;) {
        const rest = bytes.subarray(at);
        const place = this.#partPath === null ? null : this.#size;
        const { bytesWritten } = await this.#handle.write(rest, 0, rest.byteLength, place);
        at += bytesWritten;
        this.#size += bytesWritten;
      }
    } catch (error) {
      throw writeFailure(this.#partPath ?? this.#path, error);
    }
  }

  /** The bytes that were there before this transfer, chunk by chunk. */
  async *before(offset: number): AsyncGenerator<Uint8Array> {
    const handle = await open(this.#partPath!, "r");
    try {
      for (let at = 0; at < offset;) {
        const buf = new Uint8Array(Math.min(COPY_SIZE, offset - at));
        const { bytesRead } = await handle.read(buf, 0, buf.byteLength, at);
        if (bytesRead === 0) return;
        at += bytesRead;
        yield buf.subarray(0, bytesRead);
      }
    } finally {
      await handle.close();
    }
  }

  async finish(): Promise<void> {
    const partPath = this.#partPath;
    try {
      if (partPath === null) return await this.#handle.close();
      await this.#handle.truncate(this.#size);
      await this.#handle.close();
      if (this.#exists) await this.#copyOver(partPath);
      else await rename(partPath, this.#path);
      await removeVersion(partPath);
    } catch (error) {
      throw writeFailure(this.#path, error);
    }
  }

  /** Gives a file that is there its new content. */
  async #copyOver(partPath: string): Promise<void> {
    const target = await open(this.#path, "r+");
    try {
      let at = 0;
      for await (const chunk of this.before(this.#size)) {
        for (let done = 0; done < chunk.byteLength;) {
          const rest = chunk.subarray(done);
          done += (await target.write(rest, 0, rest.byteLength, at + done)).bytesWritten;
        }
        at += chunk.byteLength;
      }
      await target.truncate(at);
    } finally {
      await target.close();
    }
    await rm(partPath, { force: true });
  }

  async abandon(): Promise<string | null> {
    await this.#handle.close().catch(() => {});
    const partPath = this.#partPath;
    if (partPath === null) return null;
    if (this.#size === 0) {
      await rm(partPath, { force: true });
      await removeVersion(partPath);
      return null;
    }
    const kept = `${formatBytes(this.#size)} kept in ${partPath}`;
    if (this.#version === null) return kept;
    const { modified } = this.#version;
    if (modified !== null) {
      const time = new Date(modified);
      await utimes(partPath, time, time).catch(() => {});
    }
    return `${kept}: add -C - to the same command to resume`;
  }

  async reject(): Promise<string | null> {
    await this.#handle.close().catch(() => {});
    const partPath = this.#partPath;
    if (partPath === null) return null;
    await removeVersion(partPath);
    // Under the name of a part a later transfer would take it for good.
    const place = `${this.#path}.wrong`;
    const isMoved = await rename(partPath, place).then(() => true, () => false);
    if (!isMoved) await rm(partPath, { force: true }).catch(() => {});
    return isMoved ? `The wrong file is in ${place}` : null;
  }
}

const COPY_SIZE = 1024 * 1024;

interface Opened {
  readonly partPath: string | null;
  readonly exists: boolean;
  readonly handle: FileHandle;
}

async function openFile(path: string, offset: number): Promise<Opened> {
  const { partPath, exists } = placeOf(path);
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  try {
    if (partPath === null) return { partPath, exists, handle: await open(path, "w") };
    // A link instead of the partial file could lead anywhere.
    const flags = O_WRONLY | O_NOFOLLOW | (offset > 0 ? 0 : O_CREAT | O_TRUNC);
    return { partPath, exists, handle: await open(partPath, flags, 0o666) };
  } catch (error) {
    const { code = "" } = error as { code?: string };
    if (partPath === null || !exists || offset > 0 || !/^(EACCES|EPERM|EROFS)$/.test(code)) {
      throw writeFailure(partPath ?? path, error);
    }
    // The file may be written though its folder may not.
    return await openFileItself(path);
  }
}

async function openFileItself(path: string): Promise<Opened> {
  try {
    return { partPath: null, exists: true, handle: await open(path, "w") };
  } catch (error) {
    throw writeFailure(path, error);
  }
}

function writeFailure(path: string, error: unknown): StatusError {
  const { code, message } = error as Error & { code?: string };
  const why = WHY[code ?? ""] ?? message;
  return new StatusError(23, `cannot write ${path}: ${why}`, { cause: error });
}

const WHY: Readonly<Record<string, string>> = {
  ENOSPC: "no space left on the device",
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  ENOENT: "no such directory",
  ENOTDIR: "no such directory",
  EDQUOT: "the disk quota is exceeded",
  EFBIG: "the file system does not allow a file this large",
};
