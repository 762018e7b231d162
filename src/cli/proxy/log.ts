/**
 * What `mptcp proxy` prints: a line for each event, of `name=value` pairs or of JSON.
 *
 * @module
 */

import { formatHostPort } from "../../show.ts";
import type { NetAddr } from "../../types.ts";
import type {
  ProxyBackend,
  ProxyFront,
  ProxyReport,
  ProxySide,
  ProxyStats,
} from "../../proxy/types.ts";
import type { Terminal } from "../ui/terminal.ts";

/** What is told beside connections. */
export type ProxyEvent =
  | { readonly event: "listening" } & ProxyFront
  | { readonly event: "backend" } & ProxyBackend
  | { readonly event: "error"; readonly error: unknown }
  | { readonly event: "draining"; readonly signal: string; readonly active: number }
  | { readonly event: "stopped"; readonly cut: number };

/** Prints events as they come. */
export class ProxyLog {
  readonly #terminal: Terminal;
  readonly #json: boolean;
  readonly #quiet: boolean;

  constructor(terminal: Terminal, { json, quiet }: { json: boolean; quiet: boolean }) {
    this.#terminal = terminal;
    this.#json = json;
    this.#quiet = quiet;
  }

  /** Prints an event: failures on standard error, even when quiet. */
  print(event: ProxyEvent): void {
    const isFailure = event.event === "error" || (event.event === "backend" && !event.isUp);
    if (this.#quiet && !isFailure) return;
    const line = this.#line(event.event, this.#json ? plain(event) : pairsOf(event));
    if (isFailure && !this.#json) this.#terminal.warn(line);
    else this.#terminal.log(line);
  }

  /** Prints a connection that is over. */
  connection(report: ProxyReport): void {
    const fields = this.#json ? plain({ ...report }) : pairsOfReport(report);
    this.#terminal.log(this.#line("connection", fields));
  }

  /** Prints counters on standard error. */
  counters(stats: ProxyStats): void {
    const fields = plain({ ...stats });
    if (this.#json) return this.#terminal.warn(this.#line("counters", fields));
    this.#terminal.warn(
      [
        this.#line("counters", pairsOfStats(stats)),
        ...stats.backends.map((backend) => this.#line("counters", pairsOfBackend(backend))),
      ].join("\n"),
    );
  }

  #line(event: string, fields: Fields): string {
    const time = new Date().toISOString();
    if (this.#json) return JSON.stringify({ time, ...fields, event });
    const pairs = Object.entries(fields).filter(([, value]) => value !== null);
    return [time, event, ...pairs.map(([name, value]) => `${name}=${quoted(value)}`)].join(" ");
  }
}

type Fields = Record<string, unknown>;

/** A value in a line; with spaces or quotes it is a text of JSON. */
function quoted(value: unknown): string {
  const text = String(value);
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

/** An object for JSON: errors by their parts, which JSON leaves out. */
export function plain(object: object): Fields {
  const convert = (_key: string, value: unknown) => value instanceof Error ? errorOf(value) : value;
  return JSON.parse(JSON.stringify(object, convert));
}

function errorOf(error: Error & { code?: string; errors?: unknown[] }): Fields {
  const { name, message, code, errors } = error;
  return { name, message, ...(code !== undefined && { code }), ...(errors && { errors }) };
}

function pairsOf(event: ProxyEvent): Fields {
  switch (event.event) {
    case "listening": {
      const { addr, protocol, fallback } = event;
      return { front: where(addr), protocol, why: fallback?.detail ?? null };
    }
    case "backend":
      return pairsOfBackend(event);
    case "error":
      return { error: messageOf(event.error) };
    case "draining":
      return { signal: event.signal, active: event.active };
    case "stopped":
      return { cut: event.cut };
  }
}

function pairsOfBackend(backend: ProxyBackend): Fields {
  const { address, isUp, active, total, failures, retryIn, error } = backend;
  return {
    backend: address,
    state: isUp ? "up" : "down",
    active,
    total,
    failures,
    ...(!isUp && { retry: seconds(retryIn), error: messageOf(error) }),
  };
}

function pairsOfReport(report: ProxyReport): Fields {
  const { client, front, back, backend, bytesIn, bytesOut, milliseconds, end, error } = report;
  const isNamed = where(client) !== where(front.remoteAddr);
  return {
    client: where(client),
    // By another proxy, if it says who the client is.
    by: isNamed ? where(front.remoteAddr) : null,
    front: speech(front),
    backend: backend ?? "none",
    back: back && speech(back),
    in: bytesIn,
    out: bytesOut,
    seconds: seconds(milliseconds),
    end,
    error: error === null ? null : messageOf(error),
  };
}

function pairsOfStats(stats: ProxyStats): Fields {
  const { active, total, peak, limited, exhausted, bytesIn, bytesOut, ends } = stats;
  const ended = Object.entries(ends).filter(([, count]) => count > 0);
  return {
    active,
    total,
    peak,
    limited,
    exhausted,
    in: bytesIn,
    out: bytesOut,
    ...Object.fromEntries(ended),
  };
}

/** "mptcp/2": what it speaks, and by how many paths. */
function speech({ protocol, subflows }: ProxySide): string {
  return `${protocol}/${subflows}`;
}

function where({ hostname, port }: NetAddr): string {
  return formatHostPort(hostname, port);
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(3);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
