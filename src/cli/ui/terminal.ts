/**
 * Where a command prints, and what ends it from outside.
 *
 * @module
 */

import process from "node:process";
import { setImmediate } from "node:timers";
import { LogOutput } from "./log_output.ts";
import { printable, PrintableBytes } from "./printable.ts";

/** A way to colour text; the same text where there are no colours. */
export type Style = (text: string) => string;

/** The standard streams of a command, and the signals that end it. */
export interface Terminal {
  /**
   * Prints a line, or lines, on standard output: what the command is for. Where that cannot be
   * written, the command ends.
   */
  print(text: string): void;
  /** Prints a line, or lines, on standard output that the command can do without. */
  log(text: string): void;
  /** Prints a line, or lines, on standard error, which every command can do without. */
  warn(text: string): void;
  /** Sends escape sequences to standard error. Texts of print, log and warn cannot have any. */
  control(sequence: string): void;
  /**
   * Writes bytes to standard output, and waits until they are taken: the buffer is free again then.
   * Rejects when they cannot be written, or a signal comes first. A terminal gets control characters
   * as escapes.
   *
   * @param raw Whether a terminal gets the bytes as they are.
   */
  write(bytes: Uint8Array, raw?: boolean): Promise<void>;
  /** Waits until what was logged is written, or cannot be. */
  flush(): Promise<void>;
  /** Whether standard output is a terminal. */
  readonly outIsTerminal: boolean;
  /** Whether standard error is a terminal. */
  readonly errorIsTerminal: boolean;
  /** The width of the terminal, 80 where there is none. */
  readonly columns: number;
  /** The height of the terminal, 24 where there is none. */
  readonly rows: number;
  /** Colours for standard output: none unless it is a terminal, never with `NO_COLOR`. */
  readonly styles: Styles;
  /** Colours for standard error, by the same rule. */
  readonly errorStyles: Styles;
  /** Aborted by SIGINT and SIGTERM, the signal's name being the reason. */
  readonly signal: AbortSignal;
}

/** Colours. */
export type Styles = Readonly<Record<"bold" | "dim" | "red" | "green" | "yellow" | "cyan", Style>>;

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

function stylesFor(coloured: boolean): Styles {
  const style = (code: number): Style => (text) =>
    coloured && text !== "" ? `\x1b[${code}m${text}\x1b[0m` : text;
  const entries = Object.entries(CODES).map(([name, code]) => [name, style(code)]);
  return Object.fromEntries(entries) as unknown as Styles;
}

function isColoured(isTerminal: boolean): boolean {
  // https://no-color.org: present and not empty.
  return isTerminal && !environmentVariable("NO_COLOR") && !isDumb();
}

/** Whether the terminal calls itself one that knows no escape sequences. */
export function isDumb(): boolean {
  return environmentVariable("TERM") === "dumb";
}

/** A variable that Deno does not allow to read counts as not set. */
function environmentVariable(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined;
  }
}

const STATUS = { SIGINT: 130, SIGTERM: 143 } as const;

/** The exit status of a command that was ended by the signal which aborted it. */
export function interruptedStatus(signal: AbortSignal): number {
  return STATUS[signal.reason as keyof typeof STATUS] ?? 1;
}

function writeAll(
  stream: NodeJS.WriteStream,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop);
    stream.write(bytes, (error) => {
      signal.removeEventListener("abort", stop);
      // The event of the same error comes behind the call, and is not to come to nobody.
      if (error) setImmediate(reject, error);
      else resolve();
    });
  });
}

/** Writes on standard error; where that fails, there is nobody to tell. */
function writeError(text: string): void {
  try {
    process.stderr.write(text);
  } catch {
    // Deno throws where standard error is a file on a full disk.
  }
}

function ignore(): void {}

/** The terminal of this process, and its end: the signals have their usual effect again. */
export function openTerminal(): Terminal & Disposable {
  const controller = new AbortController();
  const handlers = (Object.keys(STATUS) as (keyof typeof STATUS)[]).map((name) => {
    const handler = () => {
      // The second time the user means it.
      if (controller.signal.aborted) process.exit(STATUS[name]);
      controller.abort(name);
    };
    process.on(name, handler);
    return () => process.off(name, handler);
  });
  const { stdout, stderr } = process;
  let writes = 0;
  const gone = (error: Error & { code?: string }) => {
    // A reader that stops early, such as `head`, is not an error.
    if (error.code === "EPIPE") process.exit(0);
    if (writes > 0) return;
    writeError(`Cannot write standard output: ${error.message}\n`);
    process.exit(1);
  };
  stdout.on("error", gone);
  stderr.on("error", ignore);
  const outIsColoured = isColoured(stdout.isTTY === true);
  const errorIsColoured = isColoured(stderr.isTTY === true);
  const warn = (text: string) => writeError(`${printable(text, errorIsColoured)}\n`);
  const log = new LogOutput(warn);
  const bytesForTerminal = new PrintableBytes();
  return {
    print: (text) => void stdout.write(`${printable(text, outIsColoured)}\n`),
    log: (text) => log.add(printable(text)),
    warn,
    control: writeError,
    write: async (bytes, raw = false) => {
      writes++;
      const asTheyAre = raw || stdout.isTTY !== true;
      const out = asTheyAre ? bytes : bytesForTerminal.convert(bytes);
      await writeAll(stdout, out, controller.signal);
      writes--;
    },
    flush: () => log.flush(),
    outIsTerminal: stdout.isTTY === true,
    errorIsTerminal: stderr.isTTY === true,
    get columns() {
      return stdout.columns ?? stderr.columns ?? 80;
    },
    get rows() {
      return stdout.rows ?? stderr.rows ?? 24;
    },
    styles: stylesFor(outIsColoured),
    errorStyles: stylesFor(errorIsColoured),
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const remove of handlers) remove();
      stdout.off("error", gone);
      stderr.off("error", ignore);
    },
  };
}
