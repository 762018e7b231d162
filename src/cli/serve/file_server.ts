/**
 * Answers requests by the files of a folder.
 *
 * @module
 */

import { createFileResponse } from "@remix-run/response/file";
import { STATUS_CODE, STATUS_TEXT } from "../std_http_status.ts";
import { type Entry, type Folder, partsOf } from "./folder.ts";
import { listingPage } from "./listing.ts";
import { OpenFile } from "./open_file.ts";

/** What of a folder is served beside its files. */
export interface ServeFolderOptions {
  /** Instead of a folder its index.html. */
  readonly index?: boolean;
  /** Instead of a folder a page that lists it. */
  readonly listing?: boolean;
}

/** Answers a request by a file of a folder, its index.html, or the list of what is in it. */
export async function serveFolder(
  request: Request,
  folder: Folder,
  { index = true, listing = true }: ServeFolderOptions = {},
): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return refusal(request, STATUS_CODE.MethodNotAllowed, { allow: "GET, HEAD" });
  }
  const { pathname, search } = new URL(request.url);
  const parts = partsOf(pathname);
  if (parts === null) return refusal(request, STATUS_CODE.BadRequest);
  const entry = await folder.find(parts);
  const isFolder = entry?.stats.isDirectory() ?? false;
  if (entry === null || (!isFolder && pathname.endsWith("/"))) return notFound(request);
  if (!isFolder) return await serveFile(request, entry);
  if (!pathname.endsWith("/")) {
    // Normalized, because a browser takes "//host" for another server.
    const location = `/${parts.map((part) => `${encodeURIComponent(part)}/`).join("")}${search}`;
    return refusal(request, STATUS_CODE.MovedPermanently, { location });
  }
  const page = index ? await folder.find([...parts, "index.html"]) : null;
  if (page?.stats.isFile()) return await serveFile(request, page);
  if (!listing) return notFound(request);
  return answer(request, STATUS_CODE.OK, listingPage(parts, await folder.list(parts)), {
    "content-type": "text/html; charset=utf-8",
  });
}

async function serveFile(request: Request, { path }: Entry): Promise<Response> {
  await using file = await OpenFile.open(path);
  if (file === null) return notFound(request);
  // Strong, as those of nginx are: a part of a file is asked for on the condition of one (If-Range).
  const options = {
    acceptRanges: true,
    etag: "strong",
    digest: ({ tag }: OpenFile) => Promise.resolve(tag),
  } as const;
  const response = await createFileResponse(file, withOneRange(request, file.size), options);
  const isEmpty = request.method === "GET" && !request.headers.has("if-range") &&
    EMPTY_RANGE.test(request.headers.get("range") ?? "");
  if (!isEmpty || response.status !== STATUS_CODE.OK) return response;
  await response.body?.cancel();
  return refusal(request, STATUS_CODE.RangeNotSatisfiable, {
    "content-range": `bytes */${file.size}`,
    "accept-ranges": "bytes",
  });
}

/** The last no bytes, which no file has. */
const EMPTY_RANGE = /^bytes=-0+$/;

/** What else is asked for in ranges, several or none, is answered by the whole: RFC 9110, 14.2. */
function withOneRange(request: Request, size: number): Request {
  const range = request.headers.get("range");
  if (range === null || (size > 0 && isOneRange(range))) return request;
  const headers = new Headers(request.headers);
  headers.delete("range");
  return new Request(request.url, { method: request.method, headers });
}

function isOneRange(range: string): boolean {
  const found = /^bytes=(\d*)-(\d*)$/.exec(range);
  if (found === null || EMPTY_RANGE.test(range)) return false;
  const [, first = "", last = ""] = found;
  return first === "" ? last !== "" : last === "" || Number(first) <= Number(last);
}

function notFound(request: Request): Response {
  return refusal(request, STATUS_CODE.NotFound);
}

/** An answer that says no more than its status. */
function refusal(
  request: Request,
  status: number,
  headers: Record<string, string> = {},
): Response {
  return answer(request, status, `${STATUS_TEXT[status]}\n`, headers);
}

function answer(
  request: Request,
  status: number,
  text: string,
  headers: Record<string, string> = {},
): Response {
  const body = new TextEncoder().encode(text);
  return new Response(request.method === "HEAD" ? null : body, {
    status,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "content-length": String(body.byteLength),
      ...headers,
    },
  });
}
