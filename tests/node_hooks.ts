/**
 * What Node.js is told by `--import` before a test: the names that `deno.json` maps to files.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import module from "node:module";

interface Hooks {
  resolve(
    specifier: string,
    context: unknown,
    next: (specifier: string, context: unknown) => unknown,
  ): unknown;
}

const root = new URL("..", import.meta.url);
const { imports } = JSON.parse(readFileSync(new URL("deno.json", root), "utf8")) as {
  imports: Record<string, string>;
};

// The types of Node that are installed are older.
const { registerHooks } = module as unknown as { registerHooks(hooks: Hooks): void };

registerHooks({
  resolve(specifier, context, next) {
    const mapped = imports[specifier];
    const isFile = mapped !== undefined && mapped.startsWith("./");
    return next(isFile ? new URL(mapped, root).href : mapped ?? specifier, context);
  },
});
