/**
 * `@std/http/server-sent-event-stream`, as far as the program uses it, with types: the npm package that
 * it comes from here has none. With `jsr:` in the import map this file goes.
 *
 * @module
 */

import * as std from "deno-std/http/server_sent_event_stream.js";

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
