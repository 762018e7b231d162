/**
 * The server of the live page: the page, and what it shows as server-sent events.
 *
 * @module
 */

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { clearInterval, setInterval } from "node:timers";
import { type ServerSentEventMessage, ServerSentEventStream } from "../../std_http_sse.ts";
import { isShortage, MptcpError } from "../../../error.ts";
import { type MptcpServer, serveMptcp } from "../../../http/mod.ts";
import {
  type ManagedPaths,
  type MptcpEvents,
  MptcpPathManager,
} from "../../../path_manager/mod.ts";
import { eventText } from "../event_line.ts";
import { PAGE } from "./page.ts";
import { SCRIPT } from "./page_script.ts";
import { MachineWatch } from "./state.ts";

/** What a demonstration adds to the page: buttons, and a line of text. */
export interface DemoControls {
  /** What the page shows now. */
  state(): DemoState;
  /** A button was pressed. */
  press(path: number, action: string): Promise<void>;
}

/** The buttons of each path, and a message. */
export interface DemoState {
  readonly gap: string;
  readonly paths: readonly {
    readonly path: number;
    readonly actions: readonly {
      readonly name: string;
      readonly label: string;
      readonly pressed: boolean;
    }[];
  }[];
}

/** What {@linkcode serveLivePage} takes. */
export interface LivePageOptions {
  readonly hostname: string;
  readonly port: number;
  /** The namespace to watch. */
  readonly netns?: string | undefined;
  /** Milliseconds from one look to the next. */
  readonly interval: number;
  readonly demo?: DemoControls;
  /** Paths that this program manages: the decisions about them are shown. */
  readonly paths?: Pick<ManagedPaths, "decisions">;
}

/** The page, served. */
export interface LivePage {
  /** Where it is, with the token that it asks for. */
  readonly url: string;
  close(): Promise<void>;
}

/** Whether a host is this machine and nothing else. */
export function isLoopback(hostname: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(hostname);
}

/**
 * Serves the live page. Except on loopback it requires a token, which is in `url`.
 *
 * @throws {MptcpError} what `listenMptcp` throws.
 */
export function serveLivePage(options: LivePageOptions): LivePage {
  const { hostname, port, demo } = options;
  const token = isLoopback(hostname) ? null : randomBytes(16).toString("hex");
  const feed = new Feed(options);
  const handler = (request: Request): Response | Promise<Response> =>
    refusal(request, token) ?? answer(request, feed, demo);
  let server: MptcpServer;
  try {
    server = serveMptcp({ hostname, port, onError: () => text(500, "Internal error") }, handler);
  } catch (error) {
    feed.close();
    throw error;
  }
  const { addr } = server;
  const host = addr.hostname.includes(":") ? `[${addr.hostname}]` : addr.hostname;
  return {
    url: `http://${host}:${addr.port}/${token === null ? "" : `?token=${token}`}`,
    async close() {
      feed.close();
      await server.shutdown();
    },
  };
}

/** Refuses requests without the token, and those that a foreign page makes to this machine. */
function refusal(request: Request, token: string | null): Response | null {
  const { hostname, searchParams, origin } = new URL(request.url);
  if (token === null) {
    // A name that leads to loopback by another's name server would let any page in.
    const bare = hostname.replace(/^\[|\]$/g, "");
    if (!isLoopback(bare)) return text(403, "This page is only served on loopback addresses");
  } else if (!isSame(searchParams.get("token") ?? "", token)) {
    return text(403, "The token of this page is missing: use the URL that mptcp monitor printed");
  }
  const from = request.headers.get("origin");
  return from !== null && from !== origin
    ? text(403, "Only this page may make this request")
    : null;
}

function isSame(given: string, token: string): boolean {
  const [one, other] = [given, token].map((text) => createHash("sha256").update(text).digest());
  return timingSafeEqual(one!, other!);
}

const POLICY =
  "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; " +
  `script-src 'sha256-${createHash("sha256").update(SCRIPT).digest("base64")}'; ` +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

async function answer(
  request: Request,
  feed: Feed,
  demo: DemoControls | undefined,
): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (request.method === "POST" && pathname === "/demo" && demo !== undefined) {
    return await press(request, feed, demo);
  }
  if (request.method !== "GET") return text(405, "Only GET");
  if (pathname === "/events") return feed.subscribe();
  if (pathname !== "/") return text(404, "Not found");
  return new Response(PAGE, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": POLICY,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    },
  });
}

async function press(request: Request, feed: Feed, demo: DemoControls): Promise<Response> {
  const { path, name } = await request.json() as { path: unknown; name: unknown };
  if (typeof path !== "number" || typeof name !== "string") return text(400, "No such button");
  try {
    await demo.press(path, name);
  } catch (error) {
    return text(500, error instanceof Error ? error.message : String(error));
  }
  feed.sendDemo();
  return new Response(null, { status: 204 });
}

function text(status: number, body: string): Response {
  return new Response(`${body}\n`, { status, headers: { "content-type": "text/plain" } });
}

type Subscriber = ReadableStreamDefaultController<ServerSentEventMessage>;

/** Messages that a slow browser may leave unread before it misses some. */
const KEPT_MESSAGES = 64;

/** What is sent to all pages; looks at the machine only while there is one. */
class Feed {
  readonly #options: LivePageOptions;
  readonly #watch: MachineWatch;
  readonly #subscribers = new Set<Subscriber>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #events: MptcpEvents | null = null;

  constructor(options: LivePageOptions) {
    this.#options = options;
    this.#watch = new MachineWatch(options.netns, options.paths);
  }

  subscribe(): Response {
    let subscriber: Subscriber;
    const messages = new ReadableStream<ServerSentEventMessage>({
      start: (controller) => {
        subscriber = controller;
        this.#add(controller);
      },
      cancel: () => this.#remove(subscriber),
    }, { highWaterMark: KEPT_MESSAGES });
    return new Response(messages.pipeThrough(new ServerSentEventStream()), {
      headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
    });
  }

  sendDemo(): void {
    const { demo } = this.#options;
    if (demo !== undefined) this.#send("demo", demo.state());
  }

  close(): void {
    for (const subscriber of this.#subscribers) subscriber.close();
    this.#subscribers.clear();
    this.#rest();
  }

  #add(subscriber: Subscriber): void {
    this.#subscribers.add(subscriber);
    if (this.#subscribers.size === 1) this.#begin();
    this.#tick();
  }

  #remove(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    if (this.#subscribers.size === 0) this.#rest();
  }

  #begin(): void {
    this.#timer = setInterval(() => this.#tick(), this.#options.interval);
    void this.#follow();
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#events?.[Symbol.dispose]();
    this.#events = null;
  }

  #tick(): void {
    try {
      this.#send("state", this.#watch.look());
    } catch (error) {
      // Without a descriptor for netlink now: the next look may have one.
      if (!isShortage(error)) throw error;
      this.#send("note", { time: Date.now(), text: (error as Error).message });
    }
    this.sendDemo();
  }

  async #follow(): Promise<void> {
    const { netns } = this.#options;
    try {
      using paths = new MptcpPathManager(netns === undefined ? {} : { netns });
      const events = this.#events = paths.events();
      for await (const event of events) {
        this.#send("note", { time: Date.now(), text: eventText(event) });
      }
    } catch (error) {
      if (!(error instanceof MptcpError)) throw error;
      const note = error.code === "EPERM" ? "Events need CAP_NET_ADMIN." : error.message;
      this.#send("note", { time: Date.now(), text: note });
    }
  }

  #send(event: string, data: unknown): void {
    const message = { event, data: JSON.stringify(data) };
    for (const subscriber of this.#subscribers) {
      // A page that does not read gets the next state instead of all that it has missed.
      if ((subscriber.desiredSize ?? 0) > 0) subscriber.enqueue(message);
    }
  }
}
