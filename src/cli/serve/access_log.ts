/**
 * The access log: a line for each answer that has ended.
 *
 * @module
 */

import type { ServeMptcpInfo } from "../../http/mod.ts";

/** What is known of an answer. */
export interface Access {
  readonly time: Date;
  readonly remote: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Bytes of the body that were sent. */
  readonly bytes: number;
  readonly seconds: number;
  /** Whether the whole body was sent. */
  readonly complete: boolean;
  readonly protocol: ServeMptcpInfo["protocol"];
  readonly subflows: number;
  readonly referrer: string;
  readonly agent: string;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/**
 * The Common Log Format, with the protocol and the number of subflows behind it:
 * `10.0.0.1 - - [21/Nov/2026:09:30:47 +0000] "GET /a HTTP/1.1" 200 6 mptcp 2`.
 */
export function commonLine(access: Access): string {
  const { time, remote, method, path, status, bytes, protocol, subflows } = access;
  const [date, clock] = time.toISOString().slice(0, 19).split("T") as [string, string];
  const [year, month, day] = date.split("-") as [string, string, string];
  const stamp = `${day}/${MONTHS[Number(month) - 1]}/${year}:${clock} +0000`;
  const request = `${method} ${path} HTTP/1.1`.replace(/["\\]/g, "\\$&");
  return `${remote} - - [${stamp}] "${request}" ${status} ${bytes || "-"} ${protocol} ${subflows}`;
}

/**
 * Hands an answer on, and tells once it has ended: when the last byte went to the system, or the
 * client was gone. The connection is looked at both at the beginning and at the end, where it may
 * have more subflows, or be gone.
 */
export function logged(
  request: Request,
  info: ServeMptcpInfo,
  response: Response,
  log: (access: Access) => void,
): Response {
  const started = performance.now();
  const { pathname, search } = new URL(request.url);
  const before = { protocol: info.protocol, subflows: info.subflows().length };
  const known = {
    time: new Date(),
    remote: info.remoteAddr.hostname,
    method: request.method,
    path: `${pathname}${search}`,
    status: response.status,
    referrer: request.headers.get("referer") ?? "",
    agent: request.headers.get("user-agent") ?? "",
  };
  let isOver = false;
  const end = (bytes: number, complete: boolean) => {
    if (isOver) return;
    isOver = true;
    const { protocol } = info;
    log({
      ...known,
      bytes,
      complete,
      seconds: (performance.now() - started) / 1000,
      protocol: protocol === "unknown" ? before.protocol : protocol,
      subflows: info.subflows().length || before.subflows,
    });
  };
  if (response.body === null) {
    end(0, true);
    return response;
  }
  const { status, headers } = response;
  return new Response(counted(response.body, end), { status, headers });
}

/** A stream that tells how many bytes were taken from it, once. */
function counted(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  end: (bytes: number, complete: boolean) => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  let bytes = 0;
  return new ReadableStream({
    async pull(controller) {
      try {
        const { value, done } = await reader.read();
        if (done) {
          end(bytes, true);
          return controller.close();
        }
        bytes += value.byteLength;
        controller.enqueue(value);
      } catch (error) {
        end(bytes, false);
        throw error;
      }
    },
    async cancel(reason) {
      end(bytes, false);
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}
