/**
 * libc through `Deno.dlopen`. The twin of `bun/libc.ts`: same names, same order.
 *
 * Runs under `--allow-ffi` and under `--allow-ffi=<absolute path of libc>`. The latter forbids
 * `Deno.UnsafePointer` and its view, so addresses are plain integers here and memory that C owns is
 * copied out by C's own `memcpy`.
 *
 * @module
 */

import {
  createLibc,
  cString,
  type CType,
  defineSymbols,
  lookupHints,
  type RuntimeCalls,
  type Symbols,
  takeAddrinfo,
} from "../linux/calls.ts";
import { type Libc, LIBC_NAMES, LIBC_PATHS } from "../linux/libc.ts";
import { Limiter } from "../limiter.ts";

/** The parts of `Deno` that this folder uses, so that Bun's type checker needs no Deno types. */
export interface DenoFfi {
  dlopen(
    path: string,
    symbols: Record<string, SymbolDefinition>,
  ): { readonly symbols: Record<string, unknown> };
  permissions: {
    querySync(
      query:
        | { name: "ffi"; path?: string }
        | { name: "net"; host?: string }
        | { name: "env"; variable: string },
    ): { readonly state: "granted" | "denied" | "prompt" };
  };
}

/** One C function as `Deno.dlopen` wants it described. */
export interface SymbolDefinition {
  readonly name?: string;
  readonly parameters: readonly ("i32" | "u32" | "usize" | "buffer")[];
  readonly result: "i32" | "u32" | "usize" | "void";
  readonly nonblocking?: boolean;
}

/** `globalThis.Deno`, by the parts that are used here. */
export function denoFfi(): DenoFfi {
  return (globalThis as unknown as { Deno: DenoFfi }).Deno;
}

/** An address as Deno gives it: a bigint, or a number where that is exact. */
type Pointer = number | bigint;

// A usize is taken as a number too, though Deno's types say bigint.
const TYPES = { size: "usize", null: "buffer", address: "usize" } as const;

function typeOf<T extends CType>(type: T): Exclude<T, keyof typeof TYPES> | "usize" | "buffer" {
  return TYPES[type as keyof typeof TYPES] ?? type;
}

// The same functions as others in the table, called in other ways.
const OWN_SYMBOLS = {
  addressOf: { name: "memcpy", parameters: ["buffer", "buffer", "usize"], result: "usize" },
  getaddrinfoAsync: {
    name: "getaddrinfo",
    parameters: ["buffer", "buffer", "buffer", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  pollAsync: {
    name: "poll",
    parameters: ["buffer", "usize", "i32"],
    result: "i32",
    nonblocking: true,
  },
} as const satisfies Record<string, SymbolDefinition>;

interface OwnSymbols {
  addressOf(dest: Uint8Array, src: Uint8Array, count: number): Pointer;
  getaddrinfoAsync(
    node: Uint8Array,
    service: null,
    hints: Uint8Array,
    res: BigUint64Array,
  ): Promise<number>;
  pollAsync(fds: Uint8Array, count: number, timeout: number): Promise<number>;
}

/** Opens libc, under whichever form of `--allow-ffi` there is. */
function dlopenLibc(symbols: Record<string, SymbolDefinition>): unknown {
  const deno = denoFfi();
  const granted = (path?: string) =>
    deno.permissions.querySync(path ? { name: "ffi", path } : { name: "ffi" }).state === "granted";
  // A bare name under a scoped permission would be looked up in the working directory.
  const scoped = granted() ? undefined : LIBC_PATHS.find(granted);
  if (scoped !== undefined) return deno.dlopen(scoped, symbols).symbols;
  const [glibc, musl] = LIBC_NAMES as [string, string];
  try {
    return deno.dlopen(glibc, symbols).symbols;
  } catch (error) {
    // Where glibc's name is unknown Deno throws a plain Error; a refused permission goes through.
    if (!(error instanceof Error) || error.name !== "Error") throw error;
    return deno.dlopen(musl, symbols).symbols;
  }
}

/**
 * Look-ups at a time: each takes a thread of Deno's 32, which files and everything else that blocks
 * need too.
 */
const MAX_LOOKUPS = 8;

/** Opens libc for the calling thread. */
export function loadLibc(): Libc {
  const symbols = defineSymbols((result, parameters): SymbolDefinition => ({
    parameters: parameters.map(typeOf) as SymbolDefinition["parameters"],
    result: typeOf(result) as SymbolDefinition["result"],
  }));
  const c = dlopenLibc({ ...symbols, ...OWN_SYMBOLS }) as Symbols<Pointer> & OwnSymbols;
  const lookups = new Limiter(MAX_LOOKUPS);
  const own: RuntimeCalls<Pointer> = {
    // A copy of nothing: memcpy gives its destination back.
    addressOf: (buf) => BigInt(c.addressOf(buf, buf, 0)),
    getaddrinfoAsync: (hostname, family) =>
      lookups.run(async () => {
        const list = new BigUint64Array(1);
        const name = cString(hostname);
        const result = await c.getaddrinfoAsync(name, null, lookupHints(family), list);
        return result !== 0 ? result : takeAddrinfo(c, own, list[0]!);
      }),
    pollAsync: (fds, count, timeout) => c.pollAsync(fds, count, timeout),
    toPointer: (address) => address,
  };
  return createLibc(c, own);
}
