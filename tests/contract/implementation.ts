/**
 * What the contract is run against: the runtime's own sockets, and this module's in each mode.
 *
 * @module
 */

import { isNode, pretendUnsupported } from "../../ffi/runtime.ts";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport } from "../../mod.ts";
import type { ConnectMptcpOptions, ListenMptcpOptions, MptcpConn } from "../../src/types.ts";
import type { MptcpListener } from "../../src/types.ts";
import type { TestOptions } from "../harness.ts";
import { assert, assertEquals } from "@std/assert";

/** The members of `Deno.TcpConn`. */
export type Conn = Omit<
  MptcpConn,
  "fd" | "protocol" | "fallback" | "info" | "subflows" | "detach"
>;

/** The members of `Deno.TcpListener`. */
export type Listener =
  & Omit<MptcpListener, "accept" | "fd" | "protocol" | "fallback" | "detach">
  & { accept(): Promise<Conn> };

/** Two functions that make sockets, and what is to be known of them. */
export interface Implementation {
  readonly name: string;
  /** What its connections speak on the wire. */
  readonly protocol: "mptcp" | "tcp";
  /** True for `Deno.listen` and `Deno.connect`, from which some rows differ on purpose. */
  readonly native: boolean;
  /** True where the sockets underneath are Deno's, whatever is around them. */
  readonly deno: boolean;
  /** Where it can be tested. */
  readonly options: TestOptions;
  listen(options: Pick<ListenMptcpOptions, "hostname" | "port">): Listener;
  connect(
    options: Pick<ConnectMptcpOptions, "hostname" | "port" | "signal">,
  ): Promise<Conn>;
}

/** Does something as on a platform without MPTCP. Which it is, is asked before anything is awaited. */
export function unsupported<T>(action: () => T): T {
  const before = pretendUnsupported("the test says so");
  try {
    return action();
  } finally {
    pretendUnsupported(before);
  }
}

interface Deno {
  listen: Implementation["listen"];
  connect: Implementation["connect"];
}

const { Deno } = globalThis as unknown as { Deno?: Deno };

/** All of them, by name. */
export const implementations: Readonly<Record<string, Implementation>> = {
  deno: {
    name: "Deno's own TCP",
    protocol: "tcp",
    native: true,
    deno: true,
    options: { only: { runtime: "deno", reason: "it is Deno's" } },
    listen: (options) => Deno!.listen(options),
    connect: (options) => Deno!.connect(options),
  },
  mptcp: {
    name: "MPTCP",
    protocol: "mptcp",
    native: false,
    deno: false,
    options: { skip: mptcpSupport().fallback?.detail ?? null },
    listen: (options) => listenMptcp(options),
    connect: (options) => connectMptcp(options),
  },
  tcp: {
    name: "MPTCP switched off",
    protocol: "tcp",
    native: false,
    deno: false,
    options: {},
    listen: (options) => listenMptcp({ ...options, mptcp: "off" }),
    connect: (options) => connectMptcp({ ...options, mptcp: "off" }),
  },
  runtime: {
    name: "the runtime's TCP in place of MPTCP",
    protocol: "tcp",
    native: false,
    deno: Deno !== undefined,
    options: {
      place: isNode ? "node:net listens in a later turn, a listener at once" : null,
    },
    listen: (options) => unsupported(() => listenMptcp(options)),
    connect: (options) => unsupported(() => connectMptcp(options)),
  },
};

/** An implementation on one loopback address. */
export interface Subject extends Implementation {
  /** Its key in {@linkcode implementations}. */
  readonly key: string;
  readonly hostname: string;
}

/** A listener on a port of its own. */
export function listen(subject: Subject): Listener {
  return subject.listen({ hostname: subject.hostname, port: 0 });
}

/** A connection to the listener. */
export function connectTo(subject: Subject, listener: Pick<Listener, "addr">): Promise<Conn> {
  return subject.connect({ hostname: subject.hostname, port: listener.addr.port });
}

/** Two ends of a connection; disposing of it closes both. */
export interface Pair extends Disposable {
  readonly client: Conn;
  readonly server: Conn;
}

/** Two ends, both of the subject. */
export async function pairOf(subject: Subject): Promise<Pair> {
  using listener = listen(subject);
  const [client, server] = await Promise.all([connectTo(subject, listener), listener.accept()]);
  if (!subject.native) {
    const protocols = [client, server].map((conn) => (conn as MptcpConn).protocol);
    assertEquals(protocols, [subject.protocol, subject.protocol]);
  }
  return pair(client, server);
}

/** Two ends as a pair. */
export function pair(client: Conn, server: Conn): Pair {
  return {
    client,
    server,
    [Symbol.dispose]() {
      client[Symbol.dispose]();
      server[Symbol.dispose]();
    },
  };
}

/** What an error has to be. */
export interface ExpectedError {
  readonly name: string;
  /** The native error may have none. */
  readonly code?: string;
  readonly message?: string;
}

/** "Bad resource ID": what is closed. */
export const CLOSED: ExpectedError = {
  name: "BadResource",
  code: "EBADF",
  message: "Bad resource ID",
};
/** What becomes of waiting operations when their connection is closed. */
export const INTERRUPTED: ExpectedError = {
  name: "Interrupted",
  code: "EINTR",
  message: "operation canceled",
};
export const CONNECTION_RESET: ExpectedError = { name: "ConnectionReset", code: "ECONNRESET" };
export const BROKEN_PIPE: ExpectedError = { name: "BrokenPipe", code: "EPIPE" };

/** Throws unless the action throws, or rejects, as expected. */
export async function assertFails(
  subject: Subject,
  action: (() => unknown) | PromiseLike<unknown>,
  expected: ExpectedError,
): Promise<void> {
  const error = await failureOf(action) as Partial<MptcpError>;
  assertEquals(error.name, expected.name);
  if (expected.message !== undefined) assertEquals(error.message, expected.message);
  if (expected.code === undefined) return;
  if (!subject.native) assert(error instanceof MptcpError);
  if (!subject.native || error.code !== undefined) assertEquals(error.code, expected.code);
}

/** Throws unless the connection is closed. */
export async function assertClosed(subject: Subject, conn: Conn): Promise<void> {
  await assertFails(subject, () => conn.close(), CLOSED);
}

/** What the action throws or rejects with. */
export async function failureOf(action: (() => unknown) | PromiseLike<unknown>): Promise<unknown> {
  let value;
  try {
    value = await (typeof action === "function" ? action() : action);
  } catch (error) {
    return error;
  }
  throw new Error(`It gave ${value} where it should have failed`);
}

/** What the promise gives, or "pending" if that takes longer than so many milliseconds. */
export async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | "pending"> {
  let timer;
  const late = new Promise<"pending">((resolve) => {
    timer = setTimeout(resolve, milliseconds, "pending");
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
