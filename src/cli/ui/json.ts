/**
 * Values as JSON, one on a line.
 *
 * @module
 */

/** A value as JSON. */
export function toJson(value: unknown): string {
  return JSON.stringify(value);
}
