/**
 * How values and addresses look in messages.
 *
 * @module
 */

/** A value as a program would write it; an object by its kind, as it may be long, or endless. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "object" && value !== null) {
    return Array.isArray(value) ? "an array" : "an object";
  }
  return typeof value === "function" ? "a function" : String(value);
}

/** "127.0.0.1:80", "[::1]:80". */
export function formatHostPort(hostname: string, port?: number): string {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return port === undefined ? host : `${host}:${port}`;
}
