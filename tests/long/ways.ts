/**
 * Every way in which a raw connection is used and ends.
 *
 * @module
 */

import { connectMptcp, type MptcpConn } from "../../mod.ts";
import { answerOf, encodeOrder, type Order, type Route } from "./servers.ts";
import type { Durations } from "./samples.ts";
import { Checker, receive, send } from "./stamps.ts";

/** What a way needs. */
export interface Call {
  readonly route: Route;
  /** The server's address, and one that nobody has. */
  readonly hostname: string;
  readonly nobody: string;
  readonly netns: string | undefined;
  /** The number of this connection's stream. */
  readonly stream: number;
  readonly times: { readonly connect: Durations; readonly roundTrip: Durations };
  random(): number;
  /** Counts a connection. */
  onConnected(): void;
}

/** One way; `weight` says how often it is chosen. */
export interface Way {
  readonly weight: number;
  /** Whether a route will do; all without a timeout by default. */
  fits?(route: Route): boolean;
  run(call: Call): Promise<void>;
}

/** What should not have happened. */
export class Surprise extends Error {
  readonly code = "SURPRISE";
}

async function connect(call: Call, linger?: number): Promise<MptcpConn> {
  const { route: { port, protocol }, hostname, netns } = call;
  const began = performance.now();
  const conn = await connectMptcp({
    hostname,
    port,
    mptcp: protocol === "tcp" ? "off" : "require",
    ...(netns !== undefined && { netns }),
    ...(linger !== undefined && { socketOptions: { linger } }),
  });
  call.times.connect.add(performance.now() - began);
  call.onConnected();
  if (conn.protocol !== protocol) {
    const { protocol: got, fallback } = conn;
    conn.close();
    throw new Surprise(`${got} instead of ${protocol}: ${fallback?.reason}`);
  }
  return conn;
}

/** Connects and sends an order. */
async function begin(
  call: Call,
  order: Omit<Order, "stream">,
  linger?: number,
): Promise<MptcpConn> {
  const conn = await connect(call, linger);
  try {
    await conn.write(encodeOrder({ stream: call.stream, ...order }));
    return conn;
  } catch (error) {
    conn[Symbol.dispose]();
    throw error;
  }
}

/** Mostly little, sometimes much. */
function length(call: Call): number {
  const most = call.random() < 0.03 ? 200_000 : call.random() < 0.2 ? 20_000 : 1000;
  return Math.floor(call.random() * most);
}

function mustBe(what: string, got: number, expected: number): void {
  if (got !== expected) throw new Surprise(`${what}: ${got} bytes instead of ${expected}`);
}

/** Runs what is to fail with one of these codes; another failure, or none, is a surprise. */
async function failsWith(codes: readonly string[], action: Promise<unknown>): Promise<void> {
  try {
    await action;
  } catch (error) {
    const { code = "", name = "" } = error as { code?: string; name?: string };
    if (codes.includes(code) || codes.includes(name)) return;
    throw error;
  }
  throw new Surprise(`no error, where ${codes.join(" or ")} was expected`);
}

/** Both directions at once. */
async function exchange(
  conn: MptcpConn,
  call: Call,
  up: number,
  down: number,
  closes = false,
): Promise<void> {
  const sending = send(conn, call.stream, up);
  sending.catch(() => {});
  mustBe("answer", await receive(conn, answerOf(call.stream), down), down);
  await sending;
  if (closes) await conn.closeWrite();
}

async function wait(call: Call): Promise<void> {
  using conn = await begin(call, { kind: "idle", up: 0, down: 4 });
  await receive(conn, answerOf(call.stream));
}

/** By their names. */
export const WAYS: Readonly<Record<string, Way>> = {
  "closes after an exchange": {
    weight: 20,
    async run(call) {
      const [up, down] = [length(call), length(call)];
      using conn = await begin(call, { kind: "answer", up, down });
      await exchange(conn, call, up, down);
    },
  },
  "half-closes and reads to the end": {
    weight: 15,
    async run(call) {
      const [up, down] = [length(call), length(call)];
      using conn = await begin(call, { kind: "answer", up, down });
      await exchange(conn, call, up, down, true);
      mustBe("behind the end", await receive(conn, answerOf(call.stream)), 0);
    },
  },
  "the server closes first": {
    weight: 10,
    async run(call) {
      const [up, down] = [length(call), length(call)];
      using conn = await begin(call, { kind: "close", up, down });
      await exchange(conn, call, up, down);
      mustBe("behind the end", await receive(conn, answerOf(call.stream)), 0);
    },
  },
  "round trips": {
    weight: 10,
    async run(call) {
      const size = 64;
      using conn = await begin(call, { kind: "echo", up: size, down: 0 });
      for (let i = 0; i < 4; i++) {
        const began = performance.now();
        await send(conn, call.stream + i, size);
        mustBe("echo", await receive(conn, call.stream + i, size), size);
        call.times.roundTrip.add(performance.now() - began);
      }
    },
  },
  "closes silently": {
    weight: 5,
    async run(call) {
      (await connect(call)).close();
    },
  },
  "resets in the middle of a download": {
    weight: 10,
    async run(call) {
      using conn = await begin(call, { kind: "break", up: 0, down: 200_000 }, 0);
      const some = Math.floor(call.random() * 30_000);
      mustBe("answer", await receive(conn, answerOf(call.stream), some), some);
    },
  },
  "closes with bytes unread": {
    weight: 5,
    async run(call) {
      using conn = await begin(call, { kind: "break", up: 0, down: 100_000 });
      mustBe("answer", await receive(conn, answerOf(call.stream), 1000), 1000);
    },
  },
  "resets in the middle of an upload": {
    weight: 5,
    async run(call) {
      const up = 1000 + length(call);
      using conn = await begin(call, { kind: "break", up: 10_000_000, down: 0 }, 0);
      await send(conn, call.stream, up);
    },
  },
  "the server resets": {
    weight: 10,
    async run(call) {
      const down = length(call);
      using conn = await begin(call, { kind: "reset", up: 0, down });
      await failsWith(["ECONNRESET"], receive(conn, answerOf(call.stream)));
    },
  },
  "aborts a pipe": {
    weight: 5,
    async run(call) {
      const controller = new AbortController();
      const { signal } = controller;
      using conn = await begin(call, { kind: "abort", up: 0, down: 500_000 });
      const checker = new Checker(answerOf(call.stream));
      const sink = new WritableStream<Uint8Array>({
        write(chunk) {
          checker.check(chunk);
          if (checker.count > 10_000) controller.abort();
        },
      });
      await failsWith(["AbortError"], conn.readable.pipeTo(sink, { signal }));
    },
  },
  "closes while it reads": {
    weight: 5,
    async run(call) {
      const conn = await begin(call, { kind: "answer", up: 0, down: 4 });
      mustBe("answer", await receive(conn, answerOf(call.stream), 4), 4);
      const reading = conn.read(new Uint8Array(1));
      reading.catch(() => {});
      await Promise.resolve();
      conn.close();
      await failsWith(["Interrupted"], reading);
    },
  },
  "gives up while connecting": {
    weight: 5,
    async run(call) {
      const { route: { port, protocol }, hostname, netns } = call;
      const controller = new AbortController();
      const connecting = connectMptcp({
        hostname,
        port,
        mptcp: protocol === "tcp" ? "off" : "require",
        signal: controller.signal,
        ...(netns !== undefined && { netns }),
      });
      // In the same turn or later: it may be connected by then.
      if (call.random() < 0.5) await Promise.resolve();
      controller.abort();
      call.onConnected();
      const conn = await connecting.catch((error) => error);
      if (conn.name !== "AbortError") conn.close();
    },
  },
  "has nobody to connect to": {
    weight: 1,
    async run(call) {
      const { route: { port }, nobody, netns } = call;
      const signal = AbortSignal.timeout(20);
      await failsWith(
        ["TimeoutError", "EHOSTUNREACH", "ENETUNREACH"],
        connectMptcp({ hostname: nobody, port, signal, ...(netns !== undefined && { netns }) }),
      );
    },
  },
  "is idle until the proxy ends it": {
    weight: 3,
    fits: ({ hasTimeout }) => hasTimeout,
    async run(call) {
      // On a busy machine that may be before the answer.
      await failsWith(["ECONNRESET", "EPIPE"], wait(call));
    },
  },
};
