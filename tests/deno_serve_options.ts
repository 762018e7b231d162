/**
 * The names of the options of `Deno.serve`, which the type test compares with its types.
 *
 * @module
 */

/** A name of an option. */
export type DenoServeOption =
  | "automaticCompression"
  | "cert"
  | "handler"
  | "hostname"
  | "key"
  | "keyFormat"
  | "onError"
  | "onListen"
  | "port"
  | "reusePort"
  | "signal"
  | "tcpBacklog"
  | "transport";

/** In the order of the alphabet. */
export const DENO_OPTIONS: readonly DenoServeOption[] = [
  "automaticCompression",
  "cert",
  "handler",
  "hostname",
  "key",
  "keyFormat",
  "onError",
  "onListen",
  "port",
  "reusePort",
  "signal",
  "tcpBacklog",
  "transport",
];
