/**
 * A server of HTTP that says what it is told to.
 *
 * @module
 */

import { listenMptcp, type MptcpListener } from "../mod.ts";
import { bytesOf, delay, writeAll } from "./sockets.ts";

/** A server that says the same to everyone once it was asked, and then ends or resets or waits. */
export function scripted(
  answer: string | ((request: string) => string),
  then: "end" | "reset" | "wait",
  body: Uint8Array = new Uint8Array(0),
): { url: string; requests: string[] } & AsyncDisposable {
  const listener: MptcpListener = listenMptcp({
    hostname: "127.0.0.1",
    socketOptions: then === "reset" ? { linger: 0 } : {},
  });
  const requests: string[] = [];
  const open = new Set<Disposable>();
  const run = async () => {
    for await (const conn of listener) {
      open.add(conn);
      const buf = new Uint8Array(64 * 1024);
      const count = await conn.read(buf).catch(() => null);
      if (count === null) continue;
      const request = new TextDecoder().decode(buf.subarray(0, count));
      requests.push(request);
      await writeAll(conn, bytesOf(typeof answer === "string" ? answer : answer(request)));
      await writeAll(conn, body);
      if (then === "wait") continue;
      // What was sent is to be read first: a reset overtakes it, and so does an end in Bun's fetch.
      await delay(200);
      conn.close();
    }
  };
  const over = run().catch(() => {});
  return {
    url: `http://127.0.0.1:${listener.addr.port}/file.bin`,
    requests,
    async [Symbol.asyncDispose]() {
      for (const conn of open) conn[Symbol.dispose]();
      listener.close();
      await over;
    },
  };
}
