/**
 * `@std/http/status`, as far as the program uses it, with types: the npm package that the import map of
 * this repository has in its place has none, and what is published imports `jsr:@std/http`.
 *
 * @module
 */

import * as std from "@std/http/status";

/** The numbers of statuses, by their names. */
export const STATUS_CODE: {
  readonly OK: 200;
  readonly MovedPermanently: 301;
  readonly BadRequest: 400;
  readonly NotFound: 404;
  readonly MethodNotAllowed: 405;
  readonly RequestTimeout: 408;
  readonly RangeNotSatisfiable: 416;
  readonly TooManyRequests: 429;
  readonly InternalServerError: 500;
  readonly BadGateway: 502;
  readonly ServiceUnavailable: 503;
  readonly GatewayTimeout: 504;
} = std.STATUS_CODE;

/** The usual texts of statuses. */
export const STATUS_TEXT: Readonly<Record<number, string>> = std.STATUS_TEXT;
