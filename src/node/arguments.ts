/**
 * The forms of arguments that `net.connect` and `server.listen` take, as one object, and their checks.
 *
 * @module
 */

import { ADDRCONFIG, ALL, V4MAPPED } from "node:dns";
import { isIP } from "node:net";
import {
  badAddress,
  badPort,
  invalidType,
  invalidValue,
  missingArguments,
  notTcp,
  outOfRange,
} from "./errors.ts";
import type { CreateConnectionOptions, MptcpServerListenOptions } from "./types.ts";

/** What the callback of a form is. */
export type Callback = () => void;

/** Options that may be there, of any type, before they have been checked. */
type Loose = Record<string, unknown>;

/** Arguments in one of the forms: `(options)`, `(path)`, `(port[, host])`, each with a callback. */
export function normalizeArguments(args: readonly unknown[]): [options: Loose, Callback | null] {
  const last = args.at(-1);
  const callback = typeof last === "function" ? last as Callback : null;
  const [first, second] = args;
  if (typeof first === "object" && first !== null) return [first as Loose, callback];
  if (isPath(first)) return [{ path: first }, callback];
  return [{ port: first, ...(typeof second === "string" && { host: second }) }, callback];
}

/** A text that is no port. An empty one is a port that is out of range. */
function isPath(value: unknown): boolean {
  return typeof value === "string" && !(Number(value) >= 0);
}

/** The port as a number. */
export function checkedPort(value: unknown, name = "Port"): number {
  const isText = typeof value === "string" && value.trim() !== "";
  const port = isText || typeof value === "number" ? Number(value) : NaN;
  if (Number.isInteger(port) && port >= 0 && port <= 65535) return port;
  throw badPort(name, value);
}

/** Throws for streams of objects, which a socket is not. */
export function refuseObjectMode(options: object): void {
  for (const name of ["objectMode", "readableObjectMode", "writableObjectMode"]) {
    if (!(options as Loose)[name]) continue;
    throw invalidValue(`options.${name}`, "is not supported", (options as Loose)[name]);
  }
}

/** The options of a connection, checked as Node checks them. */
export function checkConnectOptions(options: Loose): CreateConnectionOptions {
  const { port, path, host, localAddress, localPort, lookup, noDelay } = options;
  if (path !== undefined && path !== null) {
    if (typeof path !== "string") throw invalidType("options.path", "of type string", path);
    throw notTcp("Unix sockets");
  }
  if (port === undefined) throw missingArguments('"options" or "port" or "path"');
  if (typeof port !== "number" && typeof port !== "string") {
    throw invalidType("options.port", "one of type number or string", port);
  }
  if (localAddress && isIP(String(localAddress)) === 0) throw badAddress(localAddress);
  if (localPort !== undefined && typeof localPort !== "number") {
    throw invalidType("options.localPort", "of type number", localPort);
  }
  if (lookup !== undefined && lookup !== null && typeof lookup !== "function") {
    throw invalidType("options.lookup", "of type function", lookup);
  }
  if (host && typeof host !== "string") throw invalidType("options.host", "of type string", host);
  checkLookupOptions(options);
  checkAttemptTimeout(options);
  checkInitialDelay(options);
  return {
    ...options,
    port: checkedPort(port),
    host: host || "localhost",
    lookup: lookup ?? undefined,
    ...(noDelay !== undefined && { noDelay: Boolean(noDelay) }),
  } as CreateConnectionOptions;
}

/** What `family` may be, as `dns.lookup` has it. */
const FAMILIES: readonly unknown[] = [undefined, null, 0, 4, 6, "IPv4", "IPv6"];

function checkLookupOptions({ family, hints }: Loose): void {
  if (!FAMILIES.includes(family)) {
    throw invalidValue("options.family", "must be one of: 0, 4, 6", family);
  }
  if (hints === undefined || hints === null) return;
  if (typeof hints !== "number") throw invalidType("options.hints", "of type number", hints);
  if ((hints & ~(ADDRCONFIG | ALL | V4MAPPED)) !== 0) {
    throw invalidValue("hints", "is invalid", hints);
  }
}

function checkInitialDelay({ keepAliveInitialDelay: delay }: Loose): void {
  if (delay === undefined || typeof delay === "number") return;
  throw invalidType("options.keepAliveInitialDelay", "of type number", delay);
}

function checkAttemptTimeout(options: Loose): void {
  const { autoSelectFamily, autoSelectFamilyAttemptTimeout: timeout } = options;
  if (autoSelectFamily !== undefined && typeof autoSelectFamily !== "boolean") {
    throw invalidType("options.autoSelectFamily", "of type boolean", autoSelectFamily);
  }
  if (timeout === undefined) return;
  if (typeof timeout !== "number") {
    throw invalidType("options.autoSelectFamilyAttemptTimeout", "of type number", timeout);
  }
  if (!Number.isInteger(timeout) || timeout < 1) {
    throw outOfRange("options.autoSelectFamilyAttemptTimeout", ">= 1", timeout);
  }
}

/** The options of a listener, whatever form they were given in. */
export function listenOptions(
  args: readonly unknown[],
): [options: MptcpServerListenOptions, Callback | null] {
  const [options, callback] = normalizeArguments(args);
  const { port, path, fd, _handle: handle } = options;
  if (handle !== undefined) throw notTcp("handles of node:net");
  if (typeof fd === "number" && port === undefined) return [options, callback];
  if (typeof path === "string") throw notTcp("Unix sockets");
  const isFirst = args.length === 0 || typeof args[0] === "function" || args[0] === undefined ||
    args[0] === null;
  if (isFirst || ("port" in options && (port === undefined || port === null))) {
    return [{ ...options, port: 0 }, callback];
  }
  if (typeof port !== "number" && typeof port !== "string") {
    throw invalidValue("options", 'must have the property "port" or "path"', options);
  }
  const backlog = args.find((value, i) => i > 0 && typeof value === "number");
  checkListenOptions(options);
  return [{
    ...options,
    port: checkedPort(port, "options.port"),
    ...(typeof backlog === "number" && { backlog }),
  }, callback];
}

function checkListenOptions({ signal, host }: Loose): void {
  if (host && typeof host !== "string") throw invalidType("options.host", "of type string", host);
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalidType("options.signal", "an instance of AbortSignal", signal);
  }
}

/** The milliseconds of a timeout, checked as Node checks them. */
export function checkTimeout(milliseconds: unknown, callback: unknown): number {
  if (typeof milliseconds !== "number") {
    throw invalidType("msecs", "of type number", milliseconds);
  }
  if (!(milliseconds >= 0 && Number.isFinite(milliseconds))) {
    throw outOfRange("msecs", "a non-negative finite number", milliseconds);
  }
  if (callback !== undefined && typeof callback !== "function") {
    throw invalidType("callback", "of type function", callback);
  }
  return Math.min(Math.ceil(milliseconds), 0x7fffffff);
}

/** The number of a descriptor, checked as Node checks it. */
export function checkFd(fd: unknown): number {
  if (typeof fd !== "number") throw invalidType("fd", "of type number", fd);
  if (Number.isInteger(fd) && fd >= 0 && fd <= 0x7fffffff) return fd;
  throw outOfRange("fd", ">= 0 && <= 2147483647", fd);
}
