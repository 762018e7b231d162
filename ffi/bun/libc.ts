/**
 * libc through `bun:ffi`. The twin of `deno/libc.ts`: same names, same order.
 *
 * `bun:ffi` is reached by `process.getBuiltinModule`, synchronously and on first use: a static
 * import would fail in Deno, which loads this file too.
 *
 * @module
 */

import process from "node:process";
import { AF_INET6 } from "../linux/abi.ts";
import { createLibc, type CType, defineSymbols, type Symbols } from "../linux/calls.ts";
import { type Libc, LIBC_NAMES } from "../linux/libc.ts";
import { encodeSockaddr, parseIp } from "../linux/sockaddr.ts";

/** The parts of `bun:ffi` that this folder uses, so that Deno's type checker needs no Bun types. */
export interface BunFfi {
  dlopen(
    path: string,
    symbols: Record<string, SymbolDefinition>,
  ): { readonly symbols: Record<string, unknown> };
  ptr(view: Uint8Array): Pointer;
}

/** One C function as `bun:ffi` wants it described. */
export interface SymbolDefinition {
  readonly args: readonly ("i32" | "u32" | "buffer" | "ptr")[];
  readonly returns: "i32" | "u32" | "ptr" | "void";
}

/** An address as `bun:ffi` gives it: a number, or null. */
type Pointer = number;

/** `bun:ffi`, by the parts that are used here. */
export function bunFfi(): BunFfi {
  return process.getBuiltinModule("bun:ffi") as unknown as BunFfi;
}

// Lengths are 32-bit: the call path of bun:ffi that needs no BigInt. The registers are
// zero-extended. Where a pointer is NULL a number has to be allowed.
const TYPES = { size: "u32", null: "ptr", address: "ptr" } as const;

function typeOf<T extends CType>(type: T): Exclude<T, keyof typeof TYPES> | "u32" | "ptr" {
  return TYPES[type as keyof typeof TYPES] ?? type;
}

/** Opens libc. */
function dlopenLibc(symbols: Record<string, SymbolDefinition>): unknown {
  const ffi = bunFfi();
  const [glibc, musl] = LIBC_NAMES as [string, string];
  try {
    return ffi.dlopen(glibc, symbols).symbols;
  } catch {
    return ffi.dlopen(musl, symbols).symbols;
  }
}

/** Opens libc for the calling thread. */
export function loadLibc(): Libc {
  const symbols = defineSymbols((result, parameters): SymbolDefinition => ({
    args: parameters.map(typeOf) as SymbolDefinition["args"],
    returns: typeOf(result) as SymbolDefinition["returns"],
  }));
  const ffi = bunFfi();
  return createLibc(dlopenLibc(symbols) as Symbols<Pointer>, {
    // Bun keeps an environment of its own: what a program set in process.env is not in libc's.
    getenv: (name) => process.env[name] ?? null,
    addressOf: (buf) => BigInt(ffi.ptr(buf)),
    getaddrinfoAsync: lookup,
    pollAsync: null,
    toPointer: Number,
  });
}

/** What `Bun.dns` is used for; its "libc" backend runs `getaddrinfo` on Bun's thread pool. */
interface BunDns {
  lookup(
    hostname: string,
    options: { family: 0 | 4 | 6; backend: "libc" },
  ): Promise<{ address: string; family: 4 | 6 }[]>;
}

/** `EAI_*` results by the codes of Bun's DNS errors. */
const EAI: Readonly<Record<string, number>> = {
  DNS_ENOTFOUND: -2,
  DNS_ENODATA: -5,
  DNS_ESERVFAIL: -3,
  DNS_ETIMEOUT: -3,
  DNS_ENOMEM: -10,
};
const EAI_FAIL = -4;

async function lookup(hostname: string, family: number): Promise<Uint8Array[] | number> {
  const { dns } = (globalThis as unknown as { Bun: { dns: BunDns } }).Bun;
  const version = family === 0 ? 0 : family === AF_INET6 ? 6 : 4;
  try {
    const found = await dns.lookup(hostname, { family: version, backend: "libc" });
    return found.map(({ address }) => encodeSockaddr(parseIp(address)!.bytes, 0));
  } catch (error) {
    return EAI[(error as { code?: string }).code ?? ""] ?? EAI_FAIL;
  }
}
