/**
 * What to do with an answer: the one table over its status, range, version and encoding.
 *
 * @module
 */

/** The part of a file that was fetched so far, and its version. */
export interface Part {
  readonly size: number;
  /** The entity tag, if it is a strong one. */
  readonly etag: string | null;
  /** Last-Modified. */
  readonly modified: string | null;
  /** The size of the whole. */
  readonly length: number | null;
}

/** What an answer is, as far as it matters here. */
export interface AnswerHead {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
}

/** What to do with an answer. */
export type Decision =
  | {
    readonly action: "write";
    /** Where in the file the body belongs. */
    readonly offset: number;
    /** The bytes that are to come, where a range says so. */
    readonly length: number | null;
    /** Whether the file is whole with them. */
    readonly whole: boolean;
  }
  /** Nothing is left to fetch. */
  | { readonly action: "complete" }
  /** The partial file stays as it is. */
  | { readonly action: "fail"; readonly status: number; readonly why: string };

/** curl's status for ranges that are not those asked for. */
const RANGE_ERROR = 33;
const HTTP_ERROR = 22;

/**
 * Decides what an answer is good for.
 *
 * | asked for        | 200               | 206                              | 416               | other |
 * | ---------------- | ----------------- | -------------------------------- | ----------------- | ----- |
 * | all              | write             | fail                             | write             | write |
 * | a range          | fail              | write, if it is that range       | fail              | write |
 * | the rest of FILE | write from byte 0 | write, if it is the rest of FILE | complete, or fail | fail  |
 *
 * The rest of a file has to begin where the part ends, has to be of the same version, by every
 * validator that both know, and must not be encoded.
 *
 * @param range The header that was sent, `null` for none.
 * @param part The partial file; `null` unless the rest of it was requested.
 */
export function decide(answer: AnswerHead, range: string | null, part: Part | null): Decision {
  if (part !== null) return decideRest(answer, part);
  const { status } = answer;
  if (range === null) {
    return status === 206
      ? rangeError("the server sent part of the file, but all of it was requested")
      : ALL;
  }
  if (status === 200) {
    return rangeError("the server does not support ranges: it sent the whole file");
  }
  if (status === 416) return rangeError(`the range ${range} is outside the file on the server`);
  return status === 206 ? decideRange(answer, range) : ALL;
}

const ALL: Decision = { action: "write", offset: 0, length: null, whole: true };

function rangeError(why: string): Decision {
  return { action: "fail", status: RANGE_ERROR, why };
}

/** A part that was asked for by --range, or by a header. */
function decideRange({ headers }: AnswerHead, range: string): Decision {
  const asked = /^bytes=(\d*)-(\d*)$/.exec(range);
  // Of several ranges the answer is a body of its own kind.
  if (asked === null) return ALL;
  const sent = readContentRange(headers);
  const [, first, last] = asked;
  const isRight = sent !== null &&
    (first === ""
      ? sent.total === null || sent.last === sent.total - 1
      : sent.first === Number(first) && (last === "" || sent.last <= Number(last)));
  if (!isRight) return rangeError(`the server sent ${shown(headers)} instead of ${range}`);
  return { action: "write", offset: 0, length: sent.last - sent.first + 1, whole: true };
}

function decideRest(answer: AnswerHead, part: Part): Decision {
  const { status, statusText, headers } = answer;
  if (status === 200) return ALL;
  if (status === 206) return decideRestOf(headers, part);
  if (status === 416) return decideNoRest(headers, part);
  return { action: "fail", status: HTTP_ERROR, why: `${status} ${statusText}`.trimEnd() };
}

function decideRestOf(headers: Headers, part: Part): Decision {
  const encoding = encodingOf(headers);
  if (encoding !== null) return rangeError(`the server sent the rest compressed (${encoding})`);
  const sent = readContentRange(headers);
  if (sent === null || sent.first !== part.size) {
    return rangeError(
      `the server sent ${shown(headers)} instead of the bytes from ${part.size} on`,
    );
  }
  const other = otherVersion(headers, part, sent.total);
  if (other !== null) return rangeError(other);
  const total = sent.total ?? part.length;
  return {
    action: "write",
    offset: part.size,
    length: sent.last - sent.first + 1,
    whole: total === null || sent.last === total - 1,
  };
}

/** 416: there is nothing behind the part, because it is whole, or because the file is another one. */
function decideNoRest(headers: Headers, part: Part): Decision {
  const size = /^bytes \*\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1];
  if (size === undefined) {
    return rangeError(
      "the server refused the rest of the file, and did not send the length of the file",
    );
  }
  if (Number(size) !== part.size) {
    return rangeError(
      `the file on the server has ${size} bytes, but the partial file has ${part.size}`,
    );
  }
  const other = contradiction(headers, part, Number(size));
  return other === null ? { action: "complete" } : rangeError(other);
}

/** Why what is sent is, or may be, of another version than the part; `null` if it is the same. */
function otherVersion(headers: Headers, part: Part, total: number | null): string | null {
  const other = contradiction(headers, part, total);
  if (other !== null) return other;
  const [etag, modified] = [headers.get("etag"), headers.get("last-modified")];
  const isKnown = (part.etag !== null && etag !== null) ||
    (part.modified !== null && modified !== null) ||
    // Behind a condition on the time (If-Range) a server leaves the time out.
    (part.etag === null && part.modified !== null && part.length !== null && part.length === total);
  return isKnown ? null : "the response has no ETag or Last-Modified that matches the partial file";
}

/** What shows that the file has changed; `null` for nothing. */
function contradiction(headers: Headers, part: Part, total: number | null): string | null {
  const [etag, modified] = [headers.get("etag"), headers.get("last-modified")];
  const isOther = (part.etag !== null && etag !== null && part.etag !== etag) ||
    (part.modified !== null && modified !== null && !isSameTime(part.modified, modified)) ||
    (part.length !== null && total !== null && part.length !== total);
  return isOther ? "the file on the server has changed" : null;
}

function isSameTime(a: string, b: string): boolean {
  return a === b || Date.parse(a) === Date.parse(b);
}

interface ContentRange {
  readonly first: number;
  readonly last: number;
  readonly total: number | null;
}

function readContentRange(headers: Headers): ContentRange | null {
  const value = headers.get("content-range") ?? "";
  const found = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(value);
  if (found === null) return null;
  const [first, last] = [Number(found[1]), Number(found[2])];
  const total = found[3] === "*" ? null : Number(found[3]);
  return first <= last && (total === null || last < total) ? { first, last, total } : null;
}

function shown(headers: Headers): string {
  const value = headers.get("content-range");
  return value === null ? "a range without Content-Range" : `"${value}"`;
}

/** How a body is encoded; `null` if it is not. */
export function encodingOf(headers: Headers): string | null {
  const encoding = headers.get("content-encoding");
  return encoding === null || /^(identity)?$/i.test(encoding.trim()) ? null : encoding;
}
