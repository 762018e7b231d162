/**
 * What is left of a file that was not fetched to its end: FILE.part, and in FILE.part.json which
 * version of the file it is of.
 *
 * @module
 */

import { lstatSync, readFileSync, type Stats, statSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { type AnswerHead, encodingOf, type Part } from "./decision.ts";
import { StatusError } from "../ui/status_error.ts";

/** What a version of a file is known by. */
export type Version = Omit<Part, "size">;

/** The version that an answer is of; `null` if another answer could not be told from it. */
export function versionOf({ headers, status }: AnswerHead, length: number | null): Version | null {
  if (status !== 200 || encodingOf(headers) !== null) return null;
  const tag = headers.get("etag");
  const etag = tag !== null && /^".*"$/.test(tag) ? tag : null;
  const modified = headers.get("last-modified");
  const isTime = modified !== null && !Number.isNaN(Date.parse(modified));
  if (etag === null && !isTime) return null;
  return { etag, modified: isTime ? modified : null, length };
}

/** The partial file of an earlier transfer; `null` if there is none. */
export function unfinished(path: string): Part | null {
  const { partPath } = placeOf(path);
  if (partPath === null) return null;
  const stats = lstatSync(partPath, { throwIfNoEntry: false });
  if (!stats?.isFile() || stats.size === 0) return null;
  const version = readVersion(partPath) ??
    { etag: null, modified: stats.mtime.toUTCString(), length: null };
  return { size: stats.size, ...version };
}

function readVersion(partPath: string): Version | null {
  try {
    const { etag, modified, length } = JSON.parse(readFileSync(`${partPath}.json`, "utf8"));
    const isVersion = isNullOr("string", etag) && isNullOr("string", modified) &&
      isNullOr("number", length);
    return isVersion ? { etag, modified, length } : null;
  } catch {
    return null;
  }
}

function isNullOr(type: "string" | "number", value: unknown): boolean {
  return value === null || typeof value === type;
}

/** Records the version of a partial file; without it a later transfer starts from the beginning. */
export function writeVersion(partPath: string, version: Version): void {
  try {
    writeFileSync(`${partPath}.json`, JSON.stringify(version));
  } catch {
    // The file itself says what is wrong with its folder.
  }
}

/** Removes the note. */
export async function removeVersion(partPath: string): Promise<void> {
  await rm(`${partPath}.json`, { force: true });
}

/** Where the bytes for a path go. */
export interface Place {
  /** The file that is written first; `null` where the path itself is written. */
  readonly partPath: string | null;
  /** Whether the path is there already: then its content changes, and it stays the file that it is. */
  readonly exists: boolean;
}

/** Finds out what a path is: a new name, a file, or something else. */
export function placeOf(path: string): Place {
  const [link, stats] = [statsOf(path, lstatSync), statsOf(path, statSync)];
  if (stats?.isDirectory()) throw new StatusError(23, `${path} is a directory`);
  const exists = link !== undefined;
  // Devices, pipes, links to nothing, and descriptors such as /dev/stdout.
  const isSpecial = exists && (!stats?.isFile() || /^\/(dev|proc)\//.test(path));
  return { partPath: isSpecial ? null : `${path}.part`, exists };
}

function statsOf(path: string, read: typeof lstatSync): Stats | undefined {
  try {
    return read(path, { throwIfNoEntry: false });
  } catch {
    // Opening it says what is wrong.
    return undefined;
  }
}
