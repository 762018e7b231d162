/**
 * Every way in which HTTP is used and a request ends.
 *
 * @module
 */

import { connectMptcp } from "../../mod.ts";
import { createMptcpClient, type MptcpClient } from "../../src/http/mod.ts";
import { Surprise } from "./ways.ts";
import { Checker, stamped } from "./stamps.ts";

/** What a way needs. */
export interface HttpCall {
  readonly hostname: string;
  readonly port: number;
  readonly netns: string | undefined;
  readonly stream: number;
  /** Shared by many requests. */
  readonly client: MptcpClient;
  random(): number;
  onConnected(): void;
}

type HttpWay = (call: HttpCall) => Promise<void>;

function urlOf({ hostname, port, stream }: HttpCall, path: string, length: number): string {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return `http://${host}:${port}${path}?stream=${stream}&length=${length}`;
}

async function checkBody(response: Response, stream: number, length: number): Promise<void> {
  if (response.status !== 200) throw new Surprise(`status ${response.status}`);
  const checker = new Checker(stream);
  for await (const chunk of response.body ?? []) checker.check(chunk);
  if (checker.count !== length) throw new Surprise(`${checker.count} bytes instead of ${length}`);
}

async function isAborted(action: Promise<unknown>, name: string): Promise<void> {
  try {
    await action;
  } catch (error) {
    if ((error as Error).name === name) return;
    throw error;
  }
  throw new Surprise(`no ${name}`);
}

const get: HttpWay = async (call) => {
  const length = 1 + Math.floor(call.random() * (call.random() < 0.2 ? 300_000 : 3000));
  const response = await call.client.fetch(urlOf(call, "/bytes", length));
  await checkBody(response, call.stream, length);
};

/** By their names, with their weights. */
export const HTTP_WAYS: Readonly<Record<string, readonly [weight: number, run: HttpWay]>> = {
  "GET": [20, get],
  "POST": [10, async (call) => {
    const length = 1 + Math.floor(call.random() * 50_000);
    const body = stamped(call.stream, length);
    const response = await call.client.fetch(urlOf(call, "/echo", length), {
      method: "POST",
      body,
    });
    await checkBody(response, call.stream, length);
  }],
  "GET with a client of its own": [5, async (call) => {
    const { netns } = call;
    await using client = createMptcpClient({
      mptcp: "require",
      ...(netns !== undefined && { netns }),
    });
    call.onConnected();
    await get({ ...call, client });
    if (client.connections().some(({ protocol }) => protocol !== "mptcp")) {
      throw new Surprise("a connection is not MPTCP");
    }
  }],
  "GET that is aborted": [2, async (call) => {
    const controller = new AbortController();
    const { signal } = controller;
    const response = await call.client.fetch(urlOf(call, "/bytes", 3_000_000), { signal });
    const checker = new Checker(call.stream);
    const reading = (async () => {
      for await (const chunk of response.body!) {
        checker.check(chunk);
        if (checker.count > 50_000) controller.abort();
      }
    })();
    await isAborted(reading, "AbortError");
  }],
  "GET whose body is cancelled": [2, async (call) => {
    const response = await call.client.fetch(urlOf(call, "/bytes", 3_000_000));
    await response.body!.cancel();
  }],
  "GET that takes too long": [1, async (call) => {
    const signal = AbortSignal.timeout(50);
    await isAborted(call.client.fetch(urlOf(call, "/slow", 0), { signal }), "TimeoutError");
  }],
  "raw GET that resets": [5, async (call) => {
    const { hostname, port, netns } = call;
    using conn = await connectMptcp({
      hostname,
      port,
      mptcp: "require",
      socketOptions: { linger: 0 },
      ...(netns !== undefined && { netns }),
    });
    call.onConnected();
    const head = `GET /bytes?stream=1&length=10000000 HTTP/1.1\r\nHost: x\r\n\r\n`;
    await conn.write(new TextEncoder().encode(head));
    const buf = new Uint8Array(65_536);
    for (let count = 0; count < 10_000;) count += await conn.read(buf) ?? Infinity;
  }],
};
