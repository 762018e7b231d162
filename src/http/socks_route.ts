/**
 * The route by SOCKS (RFC 1928, RFC 1929), which Deno's `fetch` speaks: it names the server that each
 * connection is for, and does the rest, TLS and redirects too, by itself.
 *
 * The proxy listens on the loopback, where others of this machine can reach it: it serves only who has
 * the password, which is random.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { clearTimeout, setTimeout } from "../../ffi/event_loop.ts";
import type { ClientTlsOptions, RuntimeFetch } from "../../ffi/http.ts";
import { runtimeHttp } from "../../ffi/runtime_http.ts";
import { formatIp } from "../../ffi/linux/sockaddr.ts";
import { MptcpError } from "../error.ts";
import type { Stream } from "../poll/fd.ts";
import { listenOnLoopback, type LocalListener } from "./local_listener.ts";
import { type Dialer, Relays, type Route } from "./route.ts";

const VERSION = 5;
const CONNECT = 1;
const USERNAME = "mptcp";
const NO_METHOD = 0xff;
const BY_PASSWORD = 2;
const AUTH_VERSION = 1;
/** The kinds of addresses, and how long two of them are. */
const IPV4 = 1;
const DOMAIN = 3;
const IPV6 = 4;

/** What a connection that failed is answered with. */
const REPLIES: Readonly<Record<string, number>> = {
  ENETUNREACH: 3,
  EHOSTUNREACH: 4,
  ECONNREFUSED: 5,
};
/**
 * Connections without the password. `fetch` may begin more at once: a further one waits in the backlog
 * until there is room.
 */
const MAX_STRANGERS = 32;
/**
 * How long a connection may take to give the password: so many ticks of so many milliseconds. Ticks of
 * this event loop are counted, because a loop that is late is late for both ends.
 */
const TICK = 100;
const TICKS = 50;

const SUCCEEDED = 0;
const FAILED = 1;

/** A client that breaks the protocol. */
class ProtocolError extends Error {}

/** {@linkcode Route} by SOCKS. */
export class SocksRoute implements Route {
  readonly #dialer: Dialer;
  readonly #relays = new Relays();
  readonly #password = randomBytes(24).toString("base64url");
  readonly #listener: LocalListener;
  /** Connections that have not given the password yet, the oldest first. */
  readonly #strangers = new Set<Stream>();
  #onRoom: (() => void) | null = null;
  readonly #runtime: RuntimeFetch;

  constructor(dialer: Dialer, tls: ClientTlsOptions) {
    this.#dialer = dialer;
    const { listener, port } = listenOnLoopback((stream) => {
      void this.#serve(stream);
      return this.#waitForRoom();
    });
    this.#listener = listener;
    try {
      const proxy = { port, username: USERNAME, password: this.#password };
      this.#runtime = runtimeHttp.createFetch(tls, proxy);
    } catch (error) {
      listener.close();
      throw error;
    }
  }

  async fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    const settling = this.#relays.settle();
    if (settling !== null) await settling;
    return await this.#runtime.fetch(input, init);
  }

  setRef(refed: boolean): void {
    this.#listener.setRef(refed);
    this.#relays.setRef(refed);
  }

  close(): Promise<void> {
    this.#runtime.close();
    this.#listener.close();
    for (const stranger of this.#strangers) this.#dismiss(stranger);
    return this.#relays.close();
  }

  async #serve(local: Stream): Promise<void> {
    try {
      await this.#admit(local);
      const { hostname, port } = await readTarget(local);
      const remote = await this.#dial(local, hostname, port);
      await this.#relays.run(local, remote, () => this.#dialer.dial(hostname, port));
    } catch {
      // `fetch` learns it by the connection's end, and the client keeps why.
    }
    if (local.fd >= 0) local.close();
  }

  /** Lets in who has the password. Anybody else takes little, and not for long. */
  async #admit(local: Stream): Promise<void> {
    // What `fetch` waits for keeps the process alive by the listener.
    local.setRef(false);
    this.#strangers.add(local);
    let ticks = 0;
    const tick = () => {
      ticks++;
      if (ticks === TICKS) this.#dismiss(local);
      else timer = setTimeout(tick, TICK).unref();
    };
    let timer = setTimeout(tick, TICK).unref();
    try {
      await this.#authenticate(local);
    } finally {
      clearTimeout(timer);
      this.#forget(local);
    }
    local.setRef(true);
  }

  #dismiss(stranger: Stream): void {
    this.#forget(stranger);
    if (stranger.fd >= 0) stranger.close();
  }

  #forget(stranger: Stream): void {
    if (!this.#strangers.delete(stranger)) return;
    const onRoom = this.#onRoom;
    this.#onRoom = null;
    onRoom?.();
  }

  /** Resolves when there is room for a further stranger. */
  async #waitForRoom(): Promise<void> {
    if (this.#strangers.size < MAX_STRANGERS) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onRoom = resolve;
    await promise;
  }

  async #authenticate(local: Stream): Promise<void> {
    const [version, count] = await readExactly(local, 2);
    if (version !== VERSION) throw new ProtocolError();
    const methods = await readExactly(local, count!);
    if (!methods.includes(BY_PASSWORD)) {
      await local.write(new Uint8Array([VERSION, NO_METHOD]));
      throw new ProtocolError();
    }
    await local.write(new Uint8Array([VERSION, BY_PASSWORD]));
    const [, length] = await readExactly(local, 2);
    const username = await readText(local, length!);
    const [passwordLength] = await readExactly(local, 1);
    const password = await readText(local, passwordLength!);
    const isRight = username === USERNAME && password === this.#password;
    await local.write(new Uint8Array([AUTH_VERSION, isRight ? SUCCEEDED : FAILED]));
    if (!isRight) throw new ProtocolError();
  }

  async #dial(local: Stream, hostname: string, port: number) {
    try {
      const remote = await this.#dialer.dial(hostname, port);
      await local.write(reply(SUCCEEDED));
      return remote;
    } catch (error) {
      const code = error instanceof MptcpError ? REPLIES[error.code] : undefined;
      await local.write(reply(code ?? FAILED));
      throw error;
    }
  }
}

/** Without the address that the connection comes from: `fetch` has no use for it. */
function reply(code: number): Uint8Array {
  return new Uint8Array([VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0]);
}

async function readTarget(local: Stream): Promise<{ hostname: string; port: number }> {
  const [version, command, , kind] = await readExactly(local, 4);
  if (version !== VERSION || command !== CONNECT) throw new ProtocolError();
  const hostname = await readHostname(local, kind!);
  const [high, low] = await readExactly(local, 2);
  return { hostname, port: high! << 8 | low! };
}

async function readHostname(local: Stream, kind: number): Promise<string> {
  switch (kind) {
    case IPV4:
      return formatIp(await readExactly(local, 4));
    case IPV6:
      return formatIp(await readExactly(local, 16));
    case DOMAIN: {
      const [length] = await readExactly(local, 1);
      return await readText(local, length!);
    }
    default:
      throw new ProtocolError();
  }
}

async function readText(local: Stream, length: number): Promise<string> {
  return new TextDecoder().decode(await readExactly(local, length));
}

async function readExactly(local: Stream, length: number): Promise<Uint8Array> {
  const buf = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = await local.read(buf.subarray(at));
    if (count === null) throw new ProtocolError();
    at += count;
  }
  return buf;
}
