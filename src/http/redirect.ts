/**
 * Redirects, as the Fetch standard has them followed.
 *
 * @module
 */

const STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const LIMIT = 20;

/** Headers about a body that is not sent again. */
const BODY_HEADERS = [
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-type",
];
/** Headers that are for one origin alone. */
const SECRET_HEADERS = ["authorization", "cookie", "host", "proxy-authorization"];

/** Makes one request, and follows nothing. */
export type FetchOnce = (
  url: URL,
  input: RequestInfo | URL,
  init: RequestInit,
) => Promise<Response>;

/** `fetch` by a function that follows nothing. */
export async function followRedirects(
  input: RequestInfo | URL,
  init: RequestInit | undefined,
  fetchOnce: FetchOnce,
): Promise<Response> {
  const given = input instanceof Request ? input : null;
  const mode = init?.redirect ?? given?.redirect ?? "follow";
  let url = new URL(given?.url ?? input as string | URL);
  // The body of a Request can be sent once, and nothing reveals whether it is a text or a stream.
  const spare = mode === "follow" && given !== null && init?.body == null && given.body !== null
    ? given.clone()
    : null;
  let response = await fetchOnce(url, input, { ...init, redirect: "manual" });
  if (mode === "manual") return response;

  let next: RequestInit = {
    ...init,
    method: (init?.method ?? given?.method ?? "GET").toUpperCase(),
    headers: new Headers(init?.headers ?? given?.headers),
    body: init?.body ?? null,
    signal: init?.signal ?? given?.signal ?? null,
    redirect: "manual",
  };
  for (let hops = 0;; hops++) {
    const target = locationOf(response, url);
    if (target === null) {
      if (hops === 0) await spare?.body?.cancel();
      return hops === 0 ? response : markRedirected(response);
    }
    await response.body?.cancel();
    if (mode === "error") {
      throw new TypeError(
        `fetch ${url}: the server redirects to ${target}, and redirect is "error"`,
      );
    }
    if (hops === LIMIT) throw new TypeError(`fetch ${url}: more than ${LIMIT} redirects`);
    if (hops === 0 && spare !== null) next.body = await spare.blob();
    next = follow(next, response.status, url, target);
    url = target;
    response = await fetchOnce(url, url, next);
  }
}

/** The response, and each clone of it, as one that redirects led to. */
function markRedirected(response: Response): Response {
  return Object.defineProperties(response, {
    redirected: { value: true },
    clone: { value: () => markRedirected(Response.prototype.clone.call(response)) },
  });
}

/** A header that was sent in UTF-8: `Headers` have a character for each byte. */
function decodeHeader(value: string): string {
  if (!/[\x80-\xff]/.test(value) || /[^\0-\xff]/.test(value)) return value;
  const bytes = Uint8Array.from(value, (char) => char.charCodeAt(0));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return value;
  }
}

/** Where a response redirects to; `null` if it does not. */
function locationOf(response: Response, url: URL): URL | null {
  const location = response.headers.get("location");
  if (!STATUSES.has(response.status) || location === null) return null;
  const target = new URL(decodeHeader(location), url);
  if (target.protocol !== "http:" && target.protocol !== "https:") {
    throw new TypeError(`fetch ${url}: cannot follow the redirect to ${target.protocol}`);
  }
  if (target.hash === "") target.hash = url.hash;
  return target;
}

/** The request that a redirect leads to. */
function follow(request: RequestInit, status: number, from: URL, to: URL): RequestInit {
  const headers = new Headers(request.headers);
  if (to.origin !== from.origin) {
    for (const name of SECRET_HEADERS) headers.delete(name);
  }
  if (becomesGet(status, request.method!)) {
    for (const name of BODY_HEADERS) headers.delete(name);
    return { ...request, method: "GET", headers, body: null };
  }
  if (request.body instanceof ReadableStream) {
    throw new TypeError(
      `fetch ${from}: cannot follow the redirect, because a stream can only be sent once`,
    );
  }
  return { ...request, headers };
}

function becomesGet(status: number, method: string): boolean {
  if (status === 303) return method !== "GET" && method !== "HEAD";
  return (status === 301 || status === 302) && method === "POST";
}
