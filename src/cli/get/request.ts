/**
 * What `get` asks a server for.
 *
 * @module
 */

/** A request. */
export interface GetRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | null;
}

/** A URL as it may be shown: without a password. */
export function shownUrl(url: URL): string {
  const shown = new URL(url);
  [shown.username, shown.password] = ["", ""];
  return shown.href;
}
