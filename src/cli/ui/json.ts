/**
 * Values as JSON, one on a line.
 *
 * @module
 */

/** A value as JSON. A `bigint` is a number, and a text where a number would not hold all of it. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, member) => {
    if (typeof member !== "bigint") return member;
    const number = Number(member);
    return Number.isSafeInteger(number) ? number : String(member);
  });
}
