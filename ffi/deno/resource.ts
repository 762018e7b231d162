/**
 * A descriptor as a resource of Deno, which `Deno.startTls` needs. The ways there are private to Deno:
 * each is looked for, and refused with a sentence where it is missing.
 *
 * @module
 */

import process from "node:process";

/** The parts of Deno's insides that are used here. */
interface Insides {
  readonly core?: { readonly internalRidSymbol?: unknown };
}

/** What `node:net` has in Deno beside its own. */
interface Net {
  readonly Socket: new (options: { fd: number }) => {
    readonly _handle?: { takeStream?: () => number };
    destroy(): void;
  };
}

/** The member by which Deno asks its own connections for their resource; `null` if unknown. */
export function resourceSymbol(): symbol | null {
  const { Deno } = globalThis as unknown as {
    Deno: { internal: symbol } & Record<symbol, Insides>;
  };
  const symbol = Deno[Deno.internal]?.core?.internalRidSymbol;
  return typeof symbol === "symbol" ? symbol : null;
}

/** Makes a resource of a connected descriptor, which it owns from then on. */
export function toResource(fd: number): number {
  const { Socket } = process.getBuiltinModule("node:net") as unknown as Net;
  const socket = new Socket({ fd });
  const take = socket._handle?.takeStream;
  if (typeof take === "function") return take.call(socket._handle);
  socket.destroy();
  throw new TypeError(
    "This version of Deno cannot take over the descriptor: use node:tls with detach()",
  );
}
