/**
 * The request that a command line of `get` asks for, as it is read off it.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { type Arguments, UsageError } from "../args/arguments.ts";
import { StatusError } from "../ui/status_error.ts";
import type { GetRequest } from "./request.ts";

/** Reads the request off the command line, and the files that it names. */
export function readRequest(args: Arguments): GetRequest {
  const data = [
    ...args.texts("data").map((text) => ({ text, asItIs: false })),
    ...args.texts("data-binary").map((text) => ({ text, asItIs: true })),
  ];
  if (data.length > 0 && args.has("head")) {
    throw new UsageError("--data and --head exclude each other: HEAD has no body");
  }
  const body = data.length > 0 ? readBody(data) : null;
  const method = args.text("request") ??
    (args.has("head") ? "HEAD" : body === null ? "GET" : "POST");
  if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(method)) {
    throw new UsageError(`--request takes a method such as PUT, not "${method}"`);
  }
  if (body !== null && /^(GET|HEAD)$/i.test(method)) {
    throw new UsageError(`${method} has no body: use --data with POST, PUT or another method`);
  }
  const url = readUrl(args.operands[0]!);
  const headers = readHeaders(args, url, body !== null);
  // `fetch` refuses a URL that has them.
  [url.username, url.password] = ["", ""];
  return { url, method, headers, body };
}

function readUrl(text: string): URL {
  const full = /^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(full)) throw new StatusError(3, `"${text}" is not a URL`);
  const url = new URL(full);
  if (url.protocol === "http:" || url.protocol === "https:") return url;
  throw new StatusError(3, `"${text}": only http:// and https:// URLs are supported`);
}

const ENCODINGS = "gzip, deflate, br";

function readHeaders(args: Arguments, url: URL, hasBody: boolean): Headers {
  const encoding = args.has("compressed") ? ENCODINGS : "identity";
  const headers = new Headers({ accept: "*/*", "accept-encoding": encoding });
  if (hasBody) headers.set("content-type", "application/x-www-form-urlencoded");
  const user = readUser(args, url);
  if (user !== null) headers.set("authorization", `Basic ${user.toString("base64")}`);
  const range = args.text("range");
  if (range !== undefined) headers.set("range", readRange(args, range));
  const given = new Set<string>();
  for (const line of args.texts("header")) addHeader(headers, line, given);
  return headers;
}

/** What --user says, or the URL. */
function readUser(args: Arguments, url: URL): Buffer | null {
  const text = args.text("user");
  if (text !== undefined) return Buffer.from(text.includes(":") ? text : `${text}:`);
  const { username, password } = url;
  if (username === "" && password === "") return null;
  return Buffer.from(`${decode(username)}:${decode(password)}`);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function readRange(args: Arguments, text: string): string {
  if (args.has("continue-at")) {
    throw new UsageError("--range and --continue-at exclude each other");
  }
  const [, first = "", last = ""] = /^(\d*)-(\d*)$/.exec(text) ?? [];
  const isRange = first + last !== "" && (first === "" || last === "" || +first <= +last);
  if (isRange) return `bytes=${text}`;
  throw new UsageError(`--range takes FIRST-LAST, FIRST- or -COUNT, not "${text}"`);
}

/**
 * "Name: value"; "Name:" leaves a header out. The first with a name takes the place of what is sent
 * without it, further ones are added.
 */
function addHeader(headers: Headers, line: string, given: Set<string>): void {
  const [, name, value] = /^([^:\s]+):\s*(.*)$/s.exec(line) ?? [];
  if (name === undefined) throw new UsageError(`--header takes "Name: value", not "${line}"`);
  try {
    if (value === "") headers.delete(name);
    else if (given.has(name.toLowerCase())) headers.append(name, value!);
    else headers.set(name, value!);
    given.add(name.toLowerCase());
  } catch {
    throw new UsageError(`--header: "${line}" has a character that is not allowed in headers`);
  }
}

interface Data {
  /** The text, or "@" and the name of a file. */
  readonly text: string;
  /** Whether a file is sent as it is. */
  readonly asItIs: boolean;
}

/** Several are joined by "&", as fields of a form are. */
function readBody(data: readonly Data[]): Uint8Array<ArrayBuffer> {
  const parts = data.map(({ text, asItIs }) => {
    if (!text.startsWith("@")) return Buffer.from(text);
    const bytes = readData(text.slice(1));
    return asItIs ? bytes : bytes.filter((byte) => !LINE_ENDS.includes(byte));
  });
  const joined = parts.flatMap((part, i) => i === 0 ? [part] : [Buffer.from("&"), part]);
  return new Uint8Array(Buffer.concat(joined));
}

/** What curl leaves out of a file: zero bytes, line feeds and carriage returns. */
const LINE_ENDS = [0, 10, 13];

function readData(name: string): Buffer {
  try {
    return readFileSync(name === "-" ? "/dev/stdin" : name);
  } catch (error) {
    throw new StatusError(26, `--data: cannot read ${name}: ${(error as Error).message}`);
  }
}
