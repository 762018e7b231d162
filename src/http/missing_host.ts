/**
 * Requests that have no `Host`, as those of HTTP/1.0.
 *
 * Deno's server puts the address at which it listens into their URLs; on a socket of this module that
 * is one that nobody knows.
 *
 * @module
 */

/** Gives a request, or one that differs from it in its URL alone. */
export type MendUrl = (request: Request) => Request;

/**
 * Mends the URLs of requests without a `Host`: `shown` takes the place of `hidden`, both of which are an
 * origin. Every other request stays what it is.
 */
export function mendMissingHost(hidden: string, shown: string): MendUrl {
  const prefix = `${hidden}/`;
  const mended = requestsWith((url) =>
    url.startsWith(prefix) ? shown + url.slice(hidden.length) : url
  );
  return (request) => {
    if (!request.url.startsWith(prefix) || request.headers.get("host")) return request;
    return Object.setPrototypeOf(request, mended);
  };
}

/** The members of a `Request` with another URL. A new one would not be good for a WebSocket. */
function requestsWith(toUrl: (url: string) => string): object {
  const usual = Request.prototype;
  const members = {
    url: {
      get(this: Request): string {
        return toUrl(Reflect.get(usual, "url", this));
      },
      enumerable: true,
      configurable: true,
    },
    clone: {
      value(this: Request): Request {
        return Object.setPrototypeOf(usual.clone.call(this), mended);
      },
      writable: true,
      configurable: true,
    },
  };
  const mended: object = Object.create(usual, members);
  return mended;
}
