/**
 * Digests of what is fetched, against those that the server or the user gives: the kernel's own checks
 * do not find every wrong byte.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { encodingOf } from "./decision.ts";

/** A digest that is to come out. */
export interface ExpectedDigest {
  /** As "sha-256". */
  readonly algorithm: string;
  readonly value: Uint8Array;
  /** Where it is from: a header, or "--checksum". */
  readonly source: string;
  /** What it is of: the whole file, or the bytes of this answer. */
  readonly of: "file" | "answer";
}

/** A digest that has come out. */
export interface CheckedDigest extends ExpectedDigest {
  readonly isRight: boolean;
  readonly found: Uint8Array;
}

/** The names of algorithms, as headers and `--checksum` have them, and as OpenSSL does; best first. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  "sha-512": "sha512",
  "sha-256": "sha256",
  "sha-1": "sha1",
  "sha": "sha1",
  "md5": "md5",
};

/** The digest that `ALGORITHM=VALUE` asks for, in hex or base64; `null` if it makes none. */
export function readChecksum(text: string): ExpectedDigest | null {
  const [, name = "", value = ""] = /^([\w-]+)[=:](.+)$/s.exec(text.trim()) ?? [];
  const algorithm = name.toLowerCase().replace(/^sha(?=\d)/, "sha-");
  if (!Object.hasOwn(ALGORITHMS, algorithm)) return null;
  const length = sizeOf(algorithm);
  const isHex = value.length === 2 * length && /^[\da-f]+$/i.test(value);
  const bytes = isHex ? Buffer.from(value, "hex") : readBase64(value);
  if (bytes?.byteLength !== length) return null;
  return { algorithm, value: bytes, source: "--checksum", of: "file" };
}

function sizeOf(algorithm: string): number {
  return createHash(ALGORITHMS[algorithm]!).digest().byteLength;
}

function readBase64(text: string): Buffer | null {
  return /^[A-Za-z\d+/]+={0,2}$/.test(text) ? Buffer.from(text, "base64") : null;
}

/**
 * The digest of the file or of the sent bytes, from the headers of a response: of several the best.
 *
 * @param unpacked Whether the body is not what was sent, but unpacked.
 */
export function digestOf(
  { status, headers }: Pick<Response, "status" | "headers">,
  unpacked: boolean,
): ExpectedDigest | null {
  // They are of what is sent, with its encoding.
  if (unpacked && encodingOf(headers) !== null) return null;
  const isWhole = status === 200;
  return fieldDigest(headers, "repr-digest", "file") ??
    fieldDigest(headers, "content-digest", "answer") ??
    oldDigest(headers) ??
    (isWhole ? md5Digest(headers) : null);
}

/** RFC 9530: a dictionary of byte sequences, `sha-256=:base64:, sha-512=:base64:`. */
function fieldDigest(
  headers: Headers,
  name: string,
  of: ExpectedDigest["of"],
): ExpectedDigest | null {
  return best(
    [...(headers.get(name) ?? "").matchAll(/(?:^|,)\s*([\w-]+)=:([^:]*):/g)],
    name,
    of,
  );
}

/** RFC 3230: `SHA-256=base64`, of the whole. */
function oldDigest(headers: Headers): ExpectedDigest | null {
  const values = [...(headers.get("digest") ?? "").matchAll(/(?:^|,)\s*([\w-]+)=([^,\s]+)/g)];
  return best(values, "digest", "file");
}

function md5Digest(headers: Headers): ExpectedDigest | null {
  const value = headers.get("content-md5")?.trim();
  return value ? best([["", "md5", value]], "content-md5", "answer") : null;
}

function best(
  values: readonly (readonly string[])[],
  source: string,
  of: ExpectedDigest["of"],
): ExpectedDigest | null {
  for (const algorithm of Object.keys(ALGORITHMS)) {
    const text = values.find(([, name]) => name!.toLowerCase() === algorithm)?.[2];
    const value = text === undefined ? null : readBase64(text);
    // What is no digest at all is the server's mistake, and not that of a path.
    if (value !== null && value.byteLength === sizeOf(algorithm)) {
      return { algorithm, value, source, of };
    }
  }
  return null;
}

/** Computes digests of the received bytes. */
export class DigestCheck {
  readonly #expected: readonly { readonly digest: ExpectedDigest; readonly hash: Hash }[];

  constructor(expected: readonly ExpectedDigest[]) {
    this.#expected = expected.map((digest) => ({
      digest,
      hash: createHash(ALGORITHMS[digest.algorithm]!),
    }));
  }

  /** Whether some are of the whole file: then what was there before is a part of it. */
  get needsBefore(): boolean {
    return this.#expected.some(({ digest }) => digest.of === "file");
  }

  /** Takes bytes of an earlier transfer. */
  addBefore(bytes: Uint8Array): void {
    for (const { digest, hash } of this.#expected) if (digest.of === "file") hash.update(bytes);
  }

  /** Takes bytes that have come. */
  add(bytes: Uint8Array): void {
    for (const { hash } of this.#expected) hash.update(bytes);
  }

  /** The results; to be called once. */
  finish(): CheckedDigest[] {
    return this.#expected.map(({ digest, hash }) => {
      const found = new Uint8Array(hash.digest());
      return { ...digest, found, isRight: Buffer.from(found).equals(digest.value) };
    });
  }
}

/** A digest as text. */
export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
