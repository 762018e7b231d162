/**
 * `@std/assert`, as far as the tests use it, with types: the npm package that `deno.json` maps it to
 * has none. With `jsr:` in the map this file goes.
 *
 * @module
 */

import * as std from "deno-std/assert/mod.js";

/** A class, as `assertThrows` and `assertRejects` take it. */
// deno-lint-ignore no-explicit-any
type Class<T> = abstract new (...args: any[]) => T;

/** Throws unless the value is truthy. */
export function assert(value: unknown, message?: string): asserts value {
  std.assert(value, message);
}

/** Throws unless the two are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  std.assertEquals(actual, expected, message);
}

/** Throws if the two are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  std.assertNotEquals(actual, expected, message);
}

/** Throws unless the two are the same. */
export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): void {
  std.assertStrictEquals(actual, expected, message);
}

/** Throws unless the text has the other in it. */
export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  std.assertStringIncludes(actual, expected, message);
}

/** Throws unless the pattern matches the text. */
export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  std.assertMatch(actual, expected, message);
}

/** Throws unless the value is an instance of the class. */
export function assertInstanceOf<T>(
  actual: unknown,
  type: Class<T>,
  message?: string,
): asserts actual is T {
  std.assertInstanceOf(actual, type, message);
}

/** Throws unless the function throws the class, with the text in its message; gives the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  type: Class<E>,
  includes?: string,
): E {
  return std.assertThrows(fn, type, includes) as E;
}

/** Throws unless the promise rejects with the class, and the text in its message; gives the error. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  type: Class<E>,
  includes?: string,
): Promise<E> {
  return await std.assertRejects(fn, type, includes) as E;
}
