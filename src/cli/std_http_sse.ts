/**
 * `@std/http/server-sent-event-stream`, as far as the program uses it, with types: the npm package that
 * the import map of this repository has in its place has none, and what is published imports
 * `jsr:@std/http`.
 *
 * @module
 */

import * as std from "@std/http/server-sent-event-stream";

/** A message. */
export interface ServerSentEventMessage {
  /** The name of the event. */
  event?: string;
  /** Its data. */
  data?: string;
}

/** Turns messages into the bytes of `text/event-stream`. */
export const ServerSentEventStream: new () => TransformStream<
  ServerSentEventMessage,
  Uint8Array<ArrayBuffer>
> = std.ServerSentEventStream;
