/**
 * libc through `node:ffi`, which Node.js has since version 26. The twin of `deno/libc.ts`: same names,
 * same order.
 *
 * @module
 */

import process from "node:process";
import { AF_INET6 } from "../linux/abi.ts";
import { createLibc, type CType, defineSymbols, type Symbols } from "../linux/calls.ts";
import { type Libc, LIBC_NAMES } from "../linux/libc.ts";
import { encodeSockaddr, parseIp } from "../linux/sockaddr.ts";

/** The parts of `node:ffi` that this folder uses: no types of it are published yet. */
export interface NodeFfi {
  dlopen(
    path: string,
    symbols: Record<string, SymbolDefinition>,
  ): { readonly functions: Record<string, unknown> };
  getRawPointer(view: ArrayBufferView): Pointer;
}

/** One C function as `node:ffi` wants it described. */
export interface SymbolDefinition {
  readonly arguments: readonly ("i32" | "u32" | "pointer")[];
  readonly return: "i32" | "u32" | "pointer" | "void";
}

/** An address as `node:ffi` gives it. */
type Pointer = bigint;

/**
 * `node:ffi`, by the parts that are used here.
 *
 * @throws {Error} where this Node.js has none.
 */
export function nodeFfi(): NodeFfi {
  const ffi = process.getBuiltinModule?.("node:ffi") as unknown as NodeFfi | undefined;
  if (ffi !== undefined) return ffi;
  throw new Error(
    `@multipath/mptcp needs Node.js 26 or later, for its module node:ffi; this is ${process.version}. ` +
      "Deno 2.6 and Bun 1.3 or later work too.",
  );
}

// Lengths are 32-bit: the call path that needs no BigInt. The registers are zero-extended.
const TYPES = { size: "u32", null: "pointer", address: "pointer", buffer: "pointer" } as const;

function typeOf<T extends CType>(type: T): Exclude<T, keyof typeof TYPES> | "u32" | "pointer" {
  return TYPES[type as keyof typeof TYPES] ?? type;
}

/** Opens libc. */
function dlopenLibc(symbols: Record<string, SymbolDefinition>): unknown {
  const ffi = nodeFfi();
  const [glibc, musl] = LIBC_NAMES as [string, string];
  try {
    return ffi.dlopen(glibc, symbols).functions;
  } catch {
    return ffi.dlopen(musl, symbols).functions;
  }
}

/** Opens libc for the calling thread. */
export function loadLibc(): Libc {
  const symbols = defineSymbols((result, parameters): SymbolDefinition => ({
    arguments: parameters.map(typeOf) as SymbolDefinition["arguments"],
    return: typeOf(result) as SymbolDefinition["return"],
  }));
  const ffi = nodeFfi();
  return createLibc(dlopenLibc(symbols) as Symbols<Pointer>, {
    // What a program set in process.env may not be in libc's environment, as in a Worker.
    getenv: (name) => process.env[name] ?? null,
    addressOf: (buf) => ffi.getRawPointer(buf),
    getaddrinfoAsync: lookup,
    pollAsync: null,
    toPointer: (address) => address,
  });
}

/** `EAI_*` results by the codes of Node's DNS errors. */
const EAI: Readonly<Record<string, number>> = {
  ENOTFOUND: -2,
  EAI_AGAIN: -3,
  ENODATA: -5,
  ENOMEM: -10,
};
const EAI_FAIL = -4;

/** `getaddrinfo` on Node's thread pool. */
async function lookup(hostname: string, family: number): Promise<Uint8Array[] | number> {
  const dns = process.getBuiltinModule("node:dns/promises");
  const version = family === 0 ? 0 : family === AF_INET6 ? 6 : 4;
  try {
    const found = await dns.lookup(hostname, { family: version, all: true, order: "verbatim" });
    return found.map(({ address }) => encodeSockaddr(parseIp(address)!.bytes, 0));
  } catch (error) {
    return EAI[(error as { code?: string }).code ?? ""] ?? EAI_FAIL;
  }
}
