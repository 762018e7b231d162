/**
 * What `serveMptcp` was given, in whichever of its forms, checked.
 *
 * @module
 */

import type { NamedTlsOptions, TlsOptions } from "../../ffi/http.ts";
import { runtimeHttp } from "../../ffi/runtime_http.ts";
import { checkSignal } from "../net/options.ts";
import { show } from "../show.ts";
import type { ServeMptcpBunOptions, ServeMptcpHandler, ServeMptcpOptions } from "./types.ts";

/** What is to be served, and how. */
export interface ServeRequest {
  readonly options: ServeMptcpOptions;
  readonly handler: ServeMptcpHandler;
  readonly tls: TlsOptions | null;
  /** Options for the runtime's own server. */
  readonly native: Readonly<Record<string, unknown>>;
}

/** Options of `listenMptcp`. */
const LISTEN_OPTIONS = [
  "fd",
  "hostname",
  "port",
  "mptcp",
  "tcpBacklog",
  "reusePort",
  "ipv6Only",
  "netns",
  "socketOptions",
] as const;
/** Options that only the node engine has. */
export const NODE_OPTIONS = ["maxConnections", "headersTimeout", "requestTimeout"] as const;
const SERVE_OPTIONS = [
  "cert",
  "key",
  "tls",
  "signal",
  "onListen",
  "onError",
  "error",
  "engine",
  ...NODE_OPTIONS,
  "nativeOptions",
  "handler",
  "fetch",
  "transport",
  "keyFormat",
] as const;
const KNOWN: readonly string[] = [...LISTEN_OPTIONS, ...SERVE_OPTIONS];

/** Options of the runtimes' own servers that would not use our socket, and why. */
const IMPOSSIBLE: Readonly<Record<string, string>> = {
  unix: "this server only listens on TCP and MPTCP",
  path: "this server only listens on TCP and MPTCP",
  http3: "HTTP/3 runs over UDP",
  h3: "HTTP/3 runs over UDP",
  hostname: "it is an option of serveMptcp itself",
  port: "it is an option of serveMptcp itself",
};

const ENGINES: readonly unknown[] = ["auto", "native", "node"];

/** Takes the forms of `serveMptcp` apart, and checks what they have. */
export function toServeRequest(
  first: ServeMptcpOptions | ServeMptcpBunOptions | ServeMptcpHandler,
  second: ServeMptcpHandler | undefined,
): ServeRequest {
  if (typeof first === "function") return toServeRequest({}, first);
  if (typeof first !== "object" || first === null) {
    throw new TypeError(`Invalid options: expected an object or a handler, got ${show(first)}`);
  }
  const given = first as unknown as ServeMptcpOptions & Record<string, unknown>;
  const { native, options } = separate(given);
  return {
    handler: handlerOf(given, second),
    tls: tlsOf(given),
    native: { ...native, ...nativeOptionsOf(given.nativeOptions) },
    options: { ...options, ...onErrorOf(given) },
  };
}

/** Options of our own, and those that the runtime's server takes. */
function separate(
  given: Readonly<Record<string, unknown>>,
): { options: ServeMptcpOptions; native: Record<string, unknown> } {
  const native: Record<string, unknown> = {};
  const options: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (Object.hasOwn(IMPOSSIBLE, name) && !KNOWN.includes(name)) throw impossible(name);
    if (name === "port") options[name] = toPort(value);
    else if (KNOWN.includes(name)) options[name] = value;
    else if (runtimeHttp.optionNames.includes(name)) native[name] = value;
    else throw new TypeError(`Invalid options: serveMptcp has no option "${name}"`);
  }
  const { engine, signal, transport } = given;
  if (engine !== undefined && !ENGINES.includes(engine)) {
    throw new TypeError(`Invalid engine: expected "auto", "native" or "node", got ${show(engine)}`);
  }
  if (transport !== undefined && transport !== "tcp") {
    throw new TypeError(
      `Invalid transport: this server only listens on TCP and MPTCP, got ${show(transport)}`,
    );
  }
  if (given.keyFormat !== undefined && given.keyFormat !== "pem") {
    throw new TypeError(`Invalid keyFormat: expected "pem", got ${show(given.keyFormat)}`);
  }
  for (const name of NODE_OPTIONS) {
    const value = given[name];
    if (value === undefined || Number.isInteger(value) && Number(value) > 0) continue;
    throw new TypeError(
      `Invalid ${name}: expected a whole number of at least 1, got ${show(value)}`,
    );
  }
  for (const name of ["onListen", "onError", "error"]) {
    const value = given[name];
    if (value === undefined || typeof value === "function") continue;
    throw new TypeError(`Invalid ${name}: expected a function, got ${show(value)}`);
  }
  checkSignal(signal);
  // The kernel does not hand this one on to accepted connections, and it is not us who accept.
  if (Object.hasOwn(Object(given.socketOptions), "priority")) {
    throw new TypeError("Invalid socketOptions: priority has no effect on an HTTP server");
  }
  return { options: options as ServeMptcpOptions, native };
}

/** A port that is digits as a number; `listenMptcp` refuses any other text. */
function toPort(port: unknown): unknown {
  return typeof port === "string" && /^\d+$/.test(port) ? Number(port) : port;
}

function handlerOf(
  { handler, fetch, routes }: Readonly<Record<string, unknown>>,
  second: ServeMptcpHandler | undefined,
): ServeMptcpHandler {
  const handlers = [second, handler, fetch].filter((value) => value !== undefined);
  if (handlers.length > 1) {
    throw new TypeError(
      "Invalid handler: pass exactly one, as an argument, as handler or as fetch",
    );
  }
  const [given] = handlers;
  if (given === undefined && routes !== undefined) return notFound;
  if (typeof given !== "function") {
    throw new TypeError(
      `Invalid handler: expected a function that takes a Request, got ${show(given)}`,
    );
  }
  return given as ServeMptcpHandler;
}

/** What `Bun.serve` answers where no route matches. */
function notFound(): Response {
  return new Response("Not Found", { status: 404 });
}

function onErrorOf({ onError, error }: Readonly<Record<string, unknown>>): ServeMptcpOptions {
  if (error === undefined) return {};
  if (onError !== undefined) {
    throw new TypeError("Invalid error: onError is the same option, give one of them");
  }
  return { onError: error as NonNullable<ServeMptcpOptions["onError"]> };
}

function tlsOf({ cert, key, tls }: Readonly<Record<string, unknown>>): TlsOptions | null {
  if (tls === undefined) {
    return cert === undefined && key === undefined ? null : toTls({ cert, key });
  }
  if (cert !== undefined || key !== undefined) {
    throw new TypeError("Invalid tls: cert and key are given as well, use one or the other");
  }
  return toTls(tls);
}

/** One certificate, or several of which the first is for all names that no other is for. */
export function toTls(tls: unknown): TlsOptions {
  if (!Array.isArray(tls)) return pair(tls);
  const [first, ...others] = tls.map(pair);
  if (first === undefined) throw new TypeError("Invalid tls: expected at least one certificate");
  for (const { serverName } of others) {
    if (typeof serverName === "string" && serverName !== "") continue;
    throw new TypeError("Invalid tls: every certificate but the first needs a serverName");
  }
  return others.length === 0 ? first : { ...first, byName: others as NamedTlsOptions[] };
}

/** A certificate and its key: without both there would be no HTTPS, and nobody would be told. */
function pair(tls: unknown): TlsOptions {
  if (typeof tls !== "object" || tls === null) {
    throw new TypeError(`Invalid tls: expected an object with cert and key, got ${show(tls)}`);
  }
  const { cert, key } = tls as Record<string, unknown>;
  if (cert === undefined || key === undefined) {
    throw new TypeError("Invalid cert and key: HTTPS needs both");
  }
  for (const [name, value] of Object.entries({ cert, key })) {
    if (typeof value === "string") continue;
    throw new TypeError(`Invalid ${name}: expected PEM text, got ${show(value)}`);
  }
  return tls as TlsOptions;
}

function nativeOptionsOf(value: unknown): Record<string, unknown> {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`Invalid nativeOptions: expected an object, got ${show(value)}`);
  }
  const options = value as Record<string, unknown>;
  for (const [name, given] of Object.entries(options)) {
    if (Object.hasOwn(IMPOSSIBLE, name)) throw impossible(`nativeOptions.${name}`, name);
    if (name === "transport" && given !== "tcp") {
      throw impossible("nativeOptions.transport", "unix");
    }
    if (name === "fd") throw impossible("nativeOptions.fd", "port");
  }
  return options;
}

function impossible(shown: string, name: string = shown): TypeError {
  return new TypeError(`Invalid ${shown}: ${IMPOSSIBLE[name]}`);
}
