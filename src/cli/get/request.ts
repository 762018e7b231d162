/**
 * The request that a command line of `get` asks for.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { type Arguments, UsageError } from "../args/arguments.ts";
import { StatusError } from "../ui/status_error.ts";

/** A request. */
export interface GetRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | null;
}

/** Reads the request off the command line, and the files that it names. */
export function readRequest(args: Arguments): GetRequest {
  const data = args.texts("data");
  if (data.length > 0 && args.has("head")) {
    throw new UsageError("--data and --head exclude each other: HEAD has no body");
  }
  const body = data.length > 0 ? readBody(data) : null;
  const method = args.text("request") ??
    (args.has("head") ? "HEAD" : body === null ? "GET" : "POST");
  if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(method)) {
    throw new UsageError(`--request takes a method, as PUT, not "${method}"`);
  }
  if (body !== null && /^(GET|HEAD)$/i.test(method)) {
    throw new UsageError(`${method} has no body: --data goes with POST, PUT and others`);
  }
  const headers = new Headers({ accept: "*/*", "accept-encoding": "identity" });
  if (body !== null) headers.set("content-type", "application/x-www-form-urlencoded");
  for (const line of args.texts("header")) setHeader(headers, line);
  return { url: readUrl(args.operands[0]!), method, headers, body };
}

function readUrl(text: string): URL {
  const full = /^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(full)) throw new StatusError(3, `"${text}" is not a URL`);
  const url = new URL(full);
  if (url.protocol === "http:" || url.protocol === "https:") return url;
  throw new StatusError(3, `"${text}": only http:// and https:// can be fetched`);
}

/** A URL as it may be shown: without a password. */
export function shownUrl(url: URL): string {
  const shown = new URL(url);
  [shown.username, shown.password] = ["", ""];
  return shown.href;
}

/** "Name: value"; "Name:" leaves a header out. */
function setHeader(headers: Headers, line: string): void {
  const [, name, value] = /^([^:\s]+):\s*(.*)$/s.exec(line) ?? [];
  if (name === undefined) throw new UsageError(`--header takes "Name: value", not "${line}"`);
  try {
    if (value === "") headers.delete(name);
    else headers.set(name, value!);
  } catch {
    throw new UsageError(`--header: "${line}" has a character that headers cannot have`);
  }
}

/** Several are joined by "&", as fields of a form are. */
function readBody(data: readonly string[]): Uint8Array<ArrayBuffer> {
  const parts = data.map((text) => text.startsWith("@") ? readData(text.slice(1)) : text);
  if (parts.length === 1) return new Uint8Array(Buffer.from(parts[0]!));
  const texts = parts.map((part) => typeof part === "string" ? part : part.toString());
  return new TextEncoder().encode(texts.join("&"));
}

function readData(name: string): Buffer {
  try {
    return readFileSync(name === "-" ? "/dev/stdin" : name);
  } catch (error) {
    throw new StatusError(26, `--data: ${name} cannot be read: ${(error as Error).message}`);
  }
}
