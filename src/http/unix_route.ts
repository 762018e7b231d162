/**
 * The route over Unix sockets, which Bun's `fetch` connects to instead of a server: one for each
 * origin, because nothing on the connection tells which server it is for. So redirects are followed
 * here.
 *
 * The sockets are abstract: no file, no permission. They serve this process alone, which the kernel
 * vouches for. They cannot be reset: an answer that has no end but that of its connection seems whole
 * when it is aborted.
 *
 * @module
 */

import { randomUUID } from "node:crypto";
import process from "node:process";
import type { ClientTlsOptions, RuntimeFetch } from "../../ffi/http.ts";
import { runtimeHttp } from "../../ffi/runtime_http.ts";
import type { Stream } from "../poll/fd.ts";
import { listenOnName, type LocalListener, peerPid } from "./local_listener.ts";
import { followRedirects } from "./redirect.ts";
import { type Dialer, Relays, type Route } from "./route.ts";

/** {@linkcode Route} over Unix sockets. */
export class UnixRoute implements Route {
  readonly #dialer: Dialer;
  readonly #runtime: RuntimeFetch;
  readonly #tunnels = new Map<string, Tunnel>();
  #refed = false;

  constructor(dialer: Dialer, tls: ClientTlsOptions) {
    this.#dialer = dialer;
    this.#runtime = runtimeHttp.createFetch(tls, null);
  }

  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    return followRedirects(input, init, (url, input, init) => this.#fetchOnce(url, input, init));
  }

  setRef(refed: boolean): void {
    this.#refed = refed;
    for (const tunnel of this.#tunnels.values()) tunnel.setRef(refed);
  }

  async close(): Promise<void> {
    const closing = Array.from(this.#tunnels.values(), (tunnel) => tunnel.close());
    this.#tunnels.clear();
    await Promise.all(closing);
  }

  async #fetchOnce(url: URL, input: RequestInfo | URL, init: RequestInit): Promise<Response> {
    const tunnel = this.#tunnelTo(url);
    tunnel.requests++;
    try {
      const settling = tunnel.settle();
      if (settling !== null) await settling;
      return await this.#runtime.fetch(input, init, tunnel.path);
    } finally {
      tunnel.requests--;
      this.#tidy(url.origin, tunnel);
    }
  }

  #tunnelTo(url: URL): Tunnel {
    const known = this.#tunnels.get(url.origin);
    if (known !== undefined) return known;
    const tunnel = new Tunnel(url, this.#dialer, () => this.#tidy(url.origin, tunnel));
    tunnel.setRef(this.#refed);
    this.#tunnels.set(url.origin, tunnel);
    return tunnel;
  }

  /** Closes a tunnel that nobody uses: there may be many origins. */
  #tidy(origin: string, tunnel: Tunnel): void {
    if (!tunnel.isIdle || this.#tunnels.get(origin) !== tunnel) return;
    this.#tunnels.delete(origin);
    void tunnel.close();
  }
}

/** The way to one origin. */
class Tunnel {
  /** Requests that have no answer yet. */
  requests = 0;
  /** As Bun wants it: the zero byte makes it abstract. */
  readonly path: string;
  readonly #hostname: string;
  readonly #port: number;
  readonly #dialer: Dialer;
  readonly #onIdle: () => void;
  readonly #relays = new Relays();
  readonly #listener: LocalListener;

  constructor(url: URL, dialer: Dialer, onIdle: () => void) {
    this.#hostname = url.hostname.replace(/^\[|\]$/g, "");
    this.#port = portOf(url);
    this.#dialer = dialer;
    this.#onIdle = onIdle;
    const name = `mptcp-fetch-${randomUUID()}`;
    this.path = `\0${name}`;
    this.#listener = listenOnName(name, (stream) => void this.#serve(stream));
  }

  get isIdle(): boolean {
    return this.requests === 0 && this.#relays.isEmpty;
  }

  setRef(refed: boolean): void {
    this.#listener.setRef(refed);
    this.#relays.setRef(refed);
  }

  /** As {@linkcode Relays.settle}. */
  settle(): Promise<unknown> | null {
    return this.#relays.settle();
  }

  close(): Promise<void> {
    this.#listener.close();
    return this.#relays.close();
  }

  async #serve(local: Stream): Promise<void> {
    try {
      if (peerPid(local) === process.pid) {
        const dial = () => this.#dialer.dial(this.#hostname, this.#port);
        await this.#relays.run(local, await dial(), dial);
      }
    } catch {
      // `fetch` learns it by the connection's end, and the client keeps why.
    }
    if (local.fd >= 0) local.close();
    this.#onIdle();
  }
}

/** The port of a URL of HTTP. */
export function portOf({ port, protocol }: URL): number {
  if (port !== "") return Number(port);
  return protocol === "https:" ? 443 : 80;
}
