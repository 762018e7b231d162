/**
 * What the path of a URL leads to in a folder, and never outside it.
 *
 * @module
 */

import { type Dirent, realpathSync, type Stats, statSync } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";

/** A file or folder that may be shown. */
export interface Entry {
  /** The last part of the path that led here. */
  readonly name: string;
  /** Where it really is, every link followed. */
  readonly path: string;
  readonly stats: Stats;
}

/** What a {@linkcode Folder} shows. */
export interface FolderOptions {
  /** Names that begin with a dot too. */
  readonly hidden?: boolean;
}

/**
 * The parts of a URL's path, decoded; `null` for what names no file: a malformed escape, a slash or a
 * zero byte in escaped form, and dots, of which the parser of URLs leaves none.
 */
export function partsOf(pathname: string): string[] | null {
  try {
    const parts = pathname.split("/").filter((part) => part !== "").map(decodeURIComponent);
    return parts.every((part) => !/^\.{1,2}$|[/\0]/.test(part)) ? parts : null;
  } catch {
    return null;
  }
}

/** A folder whose files are shown. Links are followed as long as they end inside it. */
export class Folder {
  /** Where it really is. */
  readonly path: string;
  readonly #hidden: boolean;

  /** @throws {Error} with a `code`, unless it is a folder. */
  constructor(path: string, { hidden = false }: FolderOptions = {}) {
    this.path = realpathSync(path);
    this.#hidden = hidden;
    if (statSync(this.path).isDirectory()) return;
    throw Object.assign(new Error(`${path} is not a folder`), { code: "ENOTDIR" });
  }

  /** What is at a path below; `null` if there is nothing that may be shown. */
  async find(parts: readonly string[]): Promise<Entry | null> {
    try {
      const path = await realpath(join(this.path, ...parts));
      // Both the way here and where it ends: a link can be to a hidden file.
      if (![...parts, ...relative(this.path, path).split(sep)].every(this.#isShown)) return null;
      return { name: parts.at(-1) ?? "", path, stats: await stat(path) };
    } catch {
      return null;
    }
  }

  /** What may be shown of a folder below, folders first. */
  async list(parts: readonly string[]): Promise<Entry[]> {
    const names: Dirent[] = await readdir(join(this.path, ...parts), { withFileTypes: true });
    const found = await Promise.all(names.map(({ name }) => this.find([...parts, name])));
    const isFolder = ({ stats }: Entry) => Number(stats.isDirectory());
    return found
      .filter((entry) => entry !== null && (entry.stats.isFile() || entry.stats.isDirectory()))
      .sort((a, b) => isFolder(b!) - isFolder(a!) || a!.name.localeCompare(b!.name)) as Entry[];
  }

  /** ".." begins what `relative` gives of a path outside. */
  readonly #isShown = (part: string): boolean =>
    part !== ".." && (this.#hidden || !part.startsWith("."));
}
