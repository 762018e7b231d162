/**
 * Sends a `Response` over `node:http`, framed by what its body is rather than by what its headers say.
 *
 * @hono/node-server, @remix-run/node-fetch-server and srvx were weighed: all of them pass on a wrong
 * `content-length`, which lets a body be taken for a further answer.
 *
 * @module
 */

import type { ServerResponse } from "node:http";
import { runtimeHttp } from "../../ffi/runtime_http.ts";
import { goneError } from "./fetch_adapter.ts";

/** Headers that are written here, or not at all. */
const FRAMING: ReadonlySet<string> = new Set(["content-length", "transfer-encoding"]);
/** Statuses without a body, and without a length. */
const BODILESS: ReadonlySet<number> = new Set([204, 304]);

/** What packed bodies begin with. Brotli has no such mark. */
const MAGIC: Readonly<Record<string, readonly number[]>> = {
  gzip: [0x1f, 0x8b],
  "x-gzip": [0x1f, 0x8b],
  deflate: [0x78],
  zstd: [0x28, 0xb5, 0x2f, 0xfd],
};

type Reader = ReadableStreamDefaultReader<unknown>;
/** What a read gives; Deno and the DOM library name it differently. */
type Read = Awaited<ReturnType<Reader["read"]>>;

/**
 * Sends a response; resolves when the last of it is written, or the client is gone. A body that is
 * there as a whole has its own `content-length`. A stream is held to that of its headers.
 *
 * @throws {TypeError} when the response cannot be sent, or its body is longer or shorter than it says.
 * @throws What the body fails with. If `message.headersSent` is false, another answer can be given.
 */
export async function sendResponse(response: Response, message: ServerResponse): Promise<void> {
  // Bun forgets the type of a Blob or a form unless the headers are asked for before the body.
  void response.headers;
  const { status, body } = response;
  if (status < 200) throw statusError(status);
  if (response.bodyUsed) throw new TypeError("The body of the response was already read");
  if (body === null) return sendEmpty(response, message);
  const reader = body.getReader() as Reader;
  const leave = () => void reader.cancel(goneError()).catch(() => {});
  if (isGone(message)) return leave();
  message.once("close", leave);
  try {
    if (message.req.method === "HEAD") await sendHead(reader, response, message);
    else await sendBody(reader, response, message);
  } catch (error) {
    leave();
    // Nobody is there to miss the rest.
    if (!isGone(message)) throw error;
  } finally {
    message.off("close", leave);
    // The socket is destroyed before the message says that it is closed.
    if (isGone(message)) leave();
  }
}

function statusError(status: number): TypeError {
  const advice = status === 101 ? '. WebSockets need engine: "native"' : "";
  return new TypeError(`The node engine cannot send a response of status ${status}${advice}`);
}

function isGone(message: ServerResponse): boolean {
  return message.destroyed || message.req.socket.destroyed;
}

function sendEmpty(response: Response, message: ServerResponse): void {
  const isHead = message.req.method === "HEAD";
  writeHead(response, message, isHead ? lengthOf(response) : 0);
  message.end();
}

async function sendHead(
  reader: Reader,
  response: Response,
  message: ServerResponse,
): Promise<void> {
  const said = lengthOf(response);
  const { whole } = said === null ? await begin(reader) : { whole: null };
  writeHead(response, message, said ?? whole?.byteLength ?? null, typeOf(response, whole));
  message.end();
  await reader.cancel();
}

async function sendBody(
  reader: Reader,
  response: Response,
  message: ServerResponse,
): Promise<void> {
  const { first, second, isSoon, whole } = await begin(reader);
  if (whole !== null) {
    const isPacked = startsPacked(response, whole);
    writeHead(response, message, whole.byteLength, typeOf(response, whole), isPacked);
    return void message.end(whole);
  }
  // Whether it is packed shows in its first bytes.
  const isFetched = response.url !== "" && response.headers.has("content-encoding");
  const begun = isFetched || isSoon ? await first : null;
  const isPacked = begun === null || begun.done || startsPacked(response, toBytes(begun.value));
  const length = isPacked ? lengthOf(response) : null;
  writeHead(response, message, length, null, isPacked);
  if (begun === null) message.flushHeaders();
  let left = length ?? Infinity;
  let next = second;
  for (let read = await first; !read.done; next = null) {
    const bytes = toBytes(read.value);
    if (bytes.byteLength > left) {
      message.end(bytes.subarray(0, left));
      throw new TypeError(`The body of the response is longer than its content-length, ${length}`);
    }
    left -= bytes.byteLength;
    if (!message.write(bytes)) await drained(message);
    if (isGone(message)) return;
    read = await (next ?? reader.read());
  }
  if (isGone(message)) return;
  if (length !== null && left > 0) {
    throw new TypeError(
      `The body of the response is ${left} bytes shorter than its content-length`,
    );
  }
  message.end();
}

interface Begun {
  readonly first: Promise<Read>;
  /** The read behind it, if there is one already. */
  readonly second: Promise<Read> | null;
  readonly isSoon: boolean;
  /** All of the body, if it is there at once. */
  readonly whole: Uint8Array | null;
}

const EMPTY = new Uint8Array();

async function begin(reader: Reader): Promise<Begun> {
  const first = reader.read();
  const begun = await soon(first);
  if (begun === null) return { first, second: null, isSoon: false, whole: null };
  if (begun.done) return { first, second: null, isSoon: true, whole: EMPTY };
  const second = reader.read();
  const isWhole = (await soon(second))?.done === true;
  return { first, second, isSoon: true, whole: isWhole ? toBytes(begun.value) : null };
}

/** In how many turns of the microtask queue a stream hands out what it has: 5 at most, measured. */
const TURNS = 8;

/** What was read, if it is there without waiting for anything outside; else `null`. */
async function soon<T>(reading: Promise<T>): Promise<T | null> {
  let result: T | null = null;
  reading.then((read) => result = read, () => {});
  for (let turn = 0; result === null && turn < TURNS; turn++) await null;
  return result;
}

const encoder = new TextEncoder();

/** Bun lets streams carry texts and buffers too. */
function toBytes(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === "string") return encoder.encode(value);
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  throw new TypeError(`Expected bytes from the body of the response, got ${typeof value}`);
}

/** The `content-length` of the headers; `null` if it is none. */
function lengthOf({ headers }: Response): number | null {
  const length = headers.get("content-length");
  return length !== null && /^\d{1,15}$/.test(length) ? Number(length) : null;
}

/** What the runtime's own server would add; `null` for nothing. */
function typeOf({ headers }: Response, whole: Uint8Array | null): string | null {
  if (!runtimeHttp.hidesTextType || whole === null || whole.byteLength === 0) return null;
  return headers.has("content-type") || !isText(whole) ? null : "text/plain;charset=utf-8";
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function isText(bytes: Uint8Array): boolean {
  try {
    decoder.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** False for a body that `fetch` has unpacked, whose headers still say how it was packed. */
function startsPacked({ url, headers }: Response, bytes: Uint8Array): boolean {
  const encoding = headers.get("content-encoding");
  if (url === "" || encoding === null) return true;
  const magic = MAGIC[encoding.trim().toLowerCase()];
  return magic !== undefined && magic.every((byte, at) => bytes[at] === byte);
}

function writeHead(
  response: Response,
  message: ServerResponse,
  length: number | null,
  type: string | null = null,
  isPacked = true,
): void {
  const { status, statusText } = response;
  const headers: string[] = [];
  for (const [name, value] of response.headers) {
    if (FRAMING.has(name) || !isPacked && name === "content-encoding") continue;
    // It would keep a connection that the client asks to close.
    if (name === "connection" && !/\bclose\b/i.test(value)) continue;
    headers.push(name, value);
  }
  if (type !== null) headers.push("content-type", type);
  if (length !== null && !BODILESS.has(status)) headers.push("content-length", String(length));
  if (statusText === "") message.writeHead(status, headers);
  else message.writeHead(status, statusText, headers);
}

/** Resolves when there is room again, or nobody to have it. */
function drained(message: ServerResponse): Promise<void> {
  if (isGone(message)) return Promise.resolve();
  return new Promise((resolve) => {
    const settle = () => {
      message.off("drain", settle);
      message.off("close", settle);
      resolve();
    };
    message.once("drain", settle);
    message.once("close", settle);
  });
}
