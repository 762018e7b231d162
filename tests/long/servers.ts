/**
 * What connections of a long run go to: listeners, proxies, both HTTP engines.
 *
 * @module
 */

import { listenMptcp, type MptcpConn } from "../../mod.ts";
import { type MptcpServer, serveMptcp } from "../../src/http/mod.ts";
import { type MptcpProxy, proxyMptcp } from "../../src/proxy/mod.ts";
import { resetOnClose } from "../../src/poll/socket.ts";
import type { MptcpListener } from "../../src/types.ts";
import { receive, send, stamped } from "./stamps.ts";
import { modeOf } from "../proxy.ts";

/** What a client asks of the server behind a connection: 4 words ahead of its bytes. */
export interface Order {
  /** The number of its stream; the server's is {@linkcode answerOf} it. */
  readonly stream: number;
  readonly kind: OrderKind;
  /** Bytes that the client sends, and that it wants. */
  readonly up: number;
  readonly down: number;
}

/** What the server does, by its number in the order. */
export const ORDERS = [
  "answer",
  "echo",
  "close",
  "reset",
  "break",
  "idle",
  "abort",
  "victim",
] as const;
export type OrderKind = (typeof ORDERS)[number];
const ORDER_BYTES = 16;

/** Orders whose client leaves before its time. */
const BREAKING: ReadonlySet<OrderKind> = new Set(["break", "idle", "abort", "victim", "reset"]);

/** The stream of the server. */
export function answerOf(stream: number): number {
  return ~stream >>> 0;
}

/** An order as it is sent. */
export function encodeOrder({ stream, kind, up, down }: Order): Uint8Array {
  return new Uint8Array(Uint32Array.of(stream, ORDERS.indexOf(kind), up, down).buffer);
}

/** Where raw connections go. */
export interface Route {
  readonly name: string;
  readonly port: number;
  /** Of the client's side. */
  readonly protocol: "mptcp" | "tcp";
  /** Whether all of it is TCP. */
  readonly isPlain: boolean;
  /** Whether a proxy with an idle timeout is on the way. */
  readonly hasTimeout: boolean;
}

/** Milliseconds without a byte after which one of the proxies ends a connection. */
const IDLE_TIMEOUT = 300;

/** Milliseconds that a connection of a client has that is going to be killed. */
const VICTIM_TIMEOUT = 4000;

/** See the module's documentation. Tells `onError` of everything that should not have happened. */
export class Servers implements AsyncDisposable {
  readonly routes: readonly Route[];
  readonly http: readonly MptcpServer[];
  readonly proxies: readonly MptcpProxy[];
  readonly #listeners: readonly MptcpListener[];
  readonly #onError: (where: string, error: unknown) => void;
  /** Raw connections that are open here. */
  active = 0;
  /** Connections of clients that were killed. */
  victims = 0;

  constructor(netns: string | undefined, onError: (where: string, error: unknown) => void) {
    this.#onError = onError;
    const at = { hostname: "::", port: 0, ...(netns !== undefined && { netns }) };
    const mptcp = listenMptcp({ ...at, mptcp: "require" });
    const tcp = listenMptcp({ ...at, mptcp: "off" });
    this.#listeners = [mptcp, tcp];
    for (const listener of this.#listeners) void this.#accept(listener);
    const back = { mptcp: mptcp.addr.port, tcp: tcp.addr.port };
    const proxy = (from: Protocol, to: Protocol, idleTimeout: number) =>
      proxyMptcp({
        front: { ...at, mptcp: modeOf(from) },
        back: {
          hostname: "::1",
          port: back[to],
          mptcp: modeOf(to),
          ...(netns !== undefined && { netns }),
        },
        idleTimeout,
        onError: (error) => onError(`proxy ${from} to ${to}`, error),
      });
    const pairs: [Protocol, Protocol, number][] = [
      ["mptcp", "tcp", 0],
      ["tcp", "mptcp", 0],
      ["mptcp", "mptcp", 0],
      ["tcp", "tcp", 0],
      ["mptcp", "tcp", IDLE_TIMEOUT],
    ];
    this.proxies = pairs.map((pair) => proxy(...pair));
    this.routes = [
      route("mptcp", mptcp.addr.port, "mptcp"),
      route("tcp", tcp.addr.port, "tcp", true),
      ...pairs.map(([from, to, timeout], i) =>
        route(
          `proxy ${from} to ${to}${timeout > 0 ? " with a timeout" : ""}`,
          this.proxies[i]!.fronts[0]!.addr.port,
          from,
          from === "tcp" && to === "tcp",
          timeout > 0,
        )
      ),
    ];
    this.http = (["native", "node"] as const).map((engine) =>
      serveMptcp(
        {
          ...at,
          engine,
          mptcp: "require",
          onError: (error) => {
            if (!isAboutLeaving(error)) onError(`${engine} engine`, error);
            return new Response("failed", { status: 500 });
          },
        },
        answerRequest,
      )
    );
  }

  /** Everything that is open, as far as it is known. */
  get open(): number {
    return this.proxies.reduce((sum, proxy) => sum + proxy.stats().active, this.active);
  }

  async #accept(listener: MptcpListener): Promise<void> {
    for await (const conn of listener) void this.#serve(conn);
  }

  async #serve(conn: MptcpConn): Promise<void> {
    this.active++;
    let order: Order | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      order = await readOrder(conn);
      if (order?.kind === "victim") {
        this.victims++;
        timer = setTimeout(() => giveUp(conn), VICTIM_TIMEOUT);
      }
      if (order !== null) await obey(conn, order);
    } catch (error) {
      const { code = "" } = error as { code?: string };
      const isBroken = conn.fd < 0 || ["ECONNRESET", "EPIPE", "ENOTCONN"].includes(code);
      if (!isBroken || (order !== null && !BREAKING.has(order.kind))) {
        this.#onError(`server, ${order?.kind ?? "no order"}`, error);
      }
    } finally {
      clearTimeout(timer);
      if (conn.fd >= 0) conn.close();
      this.active--;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    await Promise.all(this.proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
    await Promise.all(this.http.map((server) => server[Symbol.asyncDispose]()));
  }
}

/** A socket does not notice that an MPTCP peer is gone: so does who uses it, after a time. */
function giveUp(conn: MptcpConn): void {
  resetOnClose(conn.fd);
  conn.close();
}

type Protocol = "mptcp" | "tcp";

function route(
  name: string,
  port: number,
  protocol: Protocol,
  isPlain = false,
  hasTimeout = false,
): Route {
  return { name, port, protocol, isPlain, hasTimeout };
}

async function readOrder(conn: MptcpConn): Promise<Order | null> {
  const bytes = new Uint8Array(ORDER_BYTES);
  for (let at = 0; at < ORDER_BYTES;) {
    const count = await conn.read(bytes.subarray(at));
    if (count === null) return null;
    at += count;
  }
  const [stream, kind, up, down] = new Uint32Array(bytes.buffer);
  return { stream: stream!, kind: ORDERS[kind!]!, up: up!, down: down! };
}

async function obey(conn: MptcpConn, { stream, kind, up, down }: Order): Promise<void> {
  const sending = send(conn, answerOf(stream), kind === "echo" ? 0 : down);
  // What fails first is told; the other must not be unhandled.
  sending.catch(() => {});
  if (kind === "echo") return await echo(conn, up);
  const got = await receive(conn, stream, up);
  await sending;
  if (got < up && !BREAKING.has(kind)) throw new Error(`${got} of ${up} bytes came`);
  if (kind === "reset") resetOnClose(conn.fd);
  if (kind === "close" || kind === "reset") return;
  await receive(conn, stream);
}

/** Messages of one size, each sent back when it has come. */
async function echo(conn: MptcpConn, size: number): Promise<void> {
  const buf = new Uint8Array(size);
  for (let at = 0;;) {
    const count = await conn.read(buf.subarray(at));
    if (count === null) return;
    at += count;
    if (at < size) continue;
    for (let sent = 0; sent < size;) sent += await conn.write(buf.subarray(sent));
    at = 0;
  }
}

function isAboutLeaving(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: string };
  return name === "AbortError" ||
    ["ECONNRESET", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE"].includes(code!);
}

async function answerRequest(request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const [stream, length] = ["stream", "length"].map((name) => Number(searchParams.get(name)));
  switch (pathname) {
    case "/bytes":
      return new Response(
        length! < 65_536 ? stamped(stream!, length!) : streamOf(stream!, length!),
      );
    case "/echo":
      return new Response(request.body);
    case "/slow":
      await new Promise((resolve) => setTimeout(resolve, 500));
      return new Response("late");
    default:
      return new Response("not found", { status: 404 });
  }
}

function streamOf(stream: number, length: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  const size = 32 * 1024;
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      // Else Bun pulls for ever, whatever the client takes, in the turn it began.
      await new Promise((resolve) => setTimeout(resolve, 0));
      const count = Math.min(size, length - at);
      controller.enqueue(stamped(stream + at / 4, count));
      at += count;
      if (at === length) controller.close();
    },
  });
}
