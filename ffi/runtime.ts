/**
 * Chooses between the twins: which runtime this is, its libc, its waker, its permissions.
 *
 * @module
 */

import process from "node:process";
import type { Libc } from "./linux/libc.ts";
import { loadLibc as loadForBun } from "./bun/libc.ts";
import { denoFfi, loadLibc as loadForDeno } from "./deno/libc.ts";
import { loadLibc as loadForNode, nodeFfi } from "./node/libc.ts";
import { closeOrphans as closeLeft, markOwner } from "./linux/owner.ts";
import { resourceSymbol as symbolOfDeno, toResource as toDenoResource } from "./deno/resource.ts";
import type { Tcp } from "./tcp.ts";
import { runtimeTcp as tcpOfBun } from "./bun/tcp.ts";
import { runtimeTcp as tcpOfDeno } from "./deno/tcp.ts";
import { runtimeTcp as tcpOfNode } from "./node/tcp.ts";
import type { Waker } from "./waker.ts";
import { createWaker as createForBun } from "./bun/waker.ts";
import { createWaker as createForDeno } from "./deno/waker.ts";
import { createWaker as createForNode } from "./node/waker.ts";

/** True under Deno. */
export const isDeno: boolean = "Deno" in globalThis;

/** True under Node.js, which sets neither name. */
export const isNode: boolean = !isDeno && !("Bun" in globalThis);

// At import: a program should not learn at its first connection that nothing can work here.
if (isNode && process.platform === "linux") nodeFfi();

/** Whether the program is reloaded in the same process when its files change, as with `bun --hot`. */
export const reloadsInPlace: boolean = !isDeno && !isNode && process.execArgv.includes("--hot");

/** What each runtime fills the contracts in with. */
const TWINS = {
  deno: { loadLibc: loadForDeno, createWaker: createForDeno, runtimeTcp: tcpOfDeno },
  bun: { loadLibc: loadForBun, createWaker: createForBun, runtimeTcp: tcpOfBun },
  node: { loadLibc: loadForNode, createWaker: createForNode, runtimeTcp: tcpOfNode },
} as const;

const chosen = TWINS[isDeno ? "deno" : isNode ? "node" : "bun"];

let loaded: Libc | undefined;

/**
 * The system calls of this thread, loaded on first use.
 *
 * @throws what the runtime throws when it may not, or cannot, open libc.
 */
export function libc(): Libc {
  return loaded ??= chosen.loadLibc();
}

/** Puts another implementation in place and returns the one before: how tests inject faults. */
export function replaceLibc(replacement: Libc): Libc {
  const before = libc();
  loaded = replacement;
  return before;
}

/** Makes a waker of an epoll, which a write to `eventfd` interrupts. */
export type CreateWaker = (
  libc: Libc,
  epfd: number,
  eventfd: number,
  wake: () => void,
) => Waker;

/**
 * What interrupts the epolls of this program on this thread, whichever copies of this module have made
 * them. An epoll itself may have two descriptors.
 */
function livingEventfds(): Set<number> {
  const key = Symbol.for("@multipath/mptcp eventfds");
  const holder = globalThis as unknown as Record<symbol, Set<number> | undefined>;
  return holder[key] ??= new Set();
}

/**
 * Closes the sockets of Workers that have ended without closing them, and in Deno of a program that
 * was run before on this thread, as `--watch` does; says whether there were any.
 */
export function closeOrphans(): boolean {
  const living = livingEventfds();
  return closeLeft(libc(), (eventfd) => isDeno && !living.has(eventfd)) > 0;
}

/** The runtime's waker, of an epoll that is marked as this thread's. */
const createOwnWaker: CreateWaker = (libc, epfd, eventfd, wake) => {
  livingEventfds().add(eventfd);
  markOwner(libc, epfd, eventfd);
  closeOrphans();
  return chosen.createWaker(libc, epfd, eventfd, wake);
};

let makeWaker: CreateWaker = createOwnWaker;

/** Makes the waker of `epfd`, which a write to `eventfd` interrupts. */
export function createWaker(epfd: number, eventfd: number, wake: () => void): Waker {
  return makeWaker(libc(), epfd, eventfd, wake);
}

/** Has wakers made in another way and returns the one before: how tests bring an event loop of theirs. */
export function replaceCreateWaker(replacement: CreateWaker): CreateWaker {
  const before = makeWaker;
  makeWaker = replacement;
  return before;
}

let pretended: string | null = null;

/**
 * Has {@linkcode unsupportedPlatform} give a reason though there is none, or with `null` the truth
 * again, and returns the previous value. Tests use it to get the runtime's own TCP.
 */
export function pretendUnsupported(reason: string | null): string | null {
  const before = pretended;
  pretended = reason;
  return before;
}

/** Why this machine has no libc that this module can use; `null` where it should have one. */
export function unsupportedPlatform(): string | null {
  if (pretended !== null) return pretended;
  if (process.platform !== "linux") return `the operating system is ${process.platform}, not Linux`;
  if (process.arch !== "x64" && process.arch !== "arm64") {
    return `the processor is ${process.arch}, not x64 or arm64`;
  }
  return null;
}

/** The runtime's own TCP, for an unsupported platform. */
export function runtimeTcp(): Tcp {
  return chosen.runtimeTcp();
}

/**
 * The member by which the runtime's own functions ask a connection for what it is inside, and how to
 * make that of a descriptor; `null` where there is no such thing.
 */
export function runtimeResource(): { symbol: symbol; take: (fd: number) => number } | null {
  const symbol = isDeno ? symbolOfDeno() : null;
  return symbol === null ? null : { symbol, take: toDenoResource };
}

/**
 * A variable of the process's environment. libc gives it without a permission; where there is none, a
 * variable that Deno may not read counts as not set.
 */
export function getenv(name: string): string | null {
  if (unsupportedPlatform() === null) return libc().getenv(name);
  const allowed = !isDeno ||
    denoFfi().permissions.querySync({ name: "env", variable: name }).state === "granted";
  return allowed ? process.env[name] ?? null : null;
}

/**
 * True where `--deny-net` names the host. FFI bypasses Deno's network permission: what was denied
 * has to be refused here. Addresses that were merely not granted are covered by `--allow-ffi`.
 */
export function isNetDenied(hostname: string, port: number): boolean {
  if (!isDeno) return false;
  const { permissions } = denoFfi();
  const bare = hostname.replace(/^\[|\]$|%.*/gs, "");
  const host = bare.includes(":") ? `[${bare}]` : bare;
  try {
    return permissions.querySync({ name: "net", host: `${host}:${port}` }).state === "denied";
  } catch {
    // Deno's permissions cannot name every host that libc looks up; only a denial of all has this one.
    return permissions.querySync({ name: "net" }).state === "denied";
  }
}
