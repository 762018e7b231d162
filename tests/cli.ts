/**
 * The program, for tests: as a process, and in a real terminal.
 *
 * @module
 */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import {
  type Finished,
  missingProgram,
  ROOT,
  run,
  type RunOptions,
  runtimeCommand,
  runToEnd,
} from "./processes.ts";
import { concat, delay } from "./sockets.ts";

/** How the program is to run. */
export interface CliOptions extends RunOptions {
  /** A command that runs the rest elsewhere, as `ip netns exec`. */
  prefix?: string[];
  /** Flags of Deno, `-A` by default. */
  permissions?: string[];
}

/** The command line that runs the program on the runtime under test. */
export function mptcpCommand(args: readonly string[], options: CliOptions = {}): string[] {
  const { prefix = [], permissions } = options;
  return [...prefix, ...runtimeCommand(permissions), `${ROOT}src/cli/mod.ts`, ...args];
}

/** Runs the program to its end. */
export function mptcp(args: readonly string[], options: CliOptions = {}): Promise<Finished> {
  return runToEnd(mptcpCommand(args, options), options);
}

/** The program while it runs, with its standard streams; killed when disposed of. */
export class RunningCli implements AsyncDisposable {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #errorLines: AsyncIterator<string>;
  readonly #output: Uint8Array[] = [];
  readonly #closed: Promise<unknown[]>;

  /** Starts it. With `paused` nothing is read of its standard output before {@linkcode finish}. */
  constructor(args: readonly string[], options: CliOptions & { paused?: boolean } = {}) {
    const [program, ...rest] = mptcpCommand(args, options);
    this.child = spawn(program!, rest, { cwd: ROOT, env: { ...process.env, ...options.env } });
    this.#closed = once(this.child, "close");
    this.#errorLines = createInterface({ input: this.child.stderr })[Symbol.asyncIterator]();
    if (!options.paused) this.#read();
  }

  #read(): void {
    if (this.child.stdout.listenerCount("data") > 0) return;
    this.child.stdout.on("data", (chunk: Uint8Array) => this.#output.push(chunk));
  }

  /** The next line on standard error. */
  async errorLine(): Promise<string> {
    const { value, done } = await this.#errorLines.next();
    if (done) throw new Error("The program ended before it printed what is expected of it");
    return value;
  }

  /** The next line on standard error that is JSON with this event, past others. */
  async event(name: string): Promise<Record<string, unknown>> {
    for (;;) {
      const event = JSON.parse(await this.errorLine());
      if (event.event === name) return event;
    }
  }

  /** Sends a signal. Deno's `child.kill` would forget the exit status. */
  signal(name: "SIGINT" | "SIGTERM" | "SIGUSR1"): void {
    process.kill(this.child.pid!, name);
  }

  /** Waits for its end, and gives the status and all that it printed on standard output. */
  async finish(): Promise<{ status: number | null; output: Uint8Array; text: string }> {
    this.#read();
    const [status] = await this.#closed;
    const output = concat(this.#output);
    return { status: status as number | null, output, text: new TextDecoder().decode(output) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    this.#read();
    await this.#closed;
    await this.#errorLines.return?.();
  }
}

/** Why there can be no terminal here; `null` if there can. */
export const noTerminal: string | null = missingProgram("tmux");

/** A command in a terminal of its own (tmux), killed when disposed of. */
export class TerminalSession implements Disposable {
  readonly #socket = `mp-test-${process.pid}-${crypto.randomUUID()}`;

  /** Starts a command in a terminal of 100 columns and 30 rows. */
  constructor(command: readonly string[], env: Record<string, string> = {}) {
    const words = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const line = ["env", ...words, ...command].map(quote).join(" ");
    // The shell stays, so that the last screen and the status can be read; Ctrl-C is for it too.
    const script = `trap : INT; cd ${quote(ROOT)}; ${line}; echo "status $?"; sleep 1000`;
    const size = ["-x", "100", "-y", "30"];
    this.#tmux("-f", "/dev/null", "new-session", "-d", ...size, "sh", "-c", script);
  }

  #tmux(...args: string[]): string {
    return run("tmux", ["-L", this.#socket, ...args]);
  }

  /** What is on the screen; `colours` keeps the escape sequences. */
  screen(options: { colours?: boolean } = {}): string {
    return this.#tmux("capture-pane", "-p", ...options.colours ? ["-e"] : []);
  }

  /** Presses a key, as "C-c", or types a text. */
  press(key: string): void {
    this.#tmux("send-keys", key);
  }

  /** Gives the terminal another size. */
  resize(columns: number, rows: number): void {
    this.#tmux("resize-window", "-x", String(columns), "-y", String(rows));
  }

  /** What tmux knows of the terminal, as "#{alternate_on}" for whether another screen is shown. */
  query(format: string): string {
    return this.#tmux("display-message", "-p", format).trim();
  }

  /** Waits until the screen has a text, and gives the screen. */
  async until(pattern: RegExp, milliseconds = 15_000): Promise<string> {
    const late = performance.now() + milliseconds;
    for (;;) {
      const screen = this.screen();
      if (pattern.test(screen)) return screen;
      if (performance.now() > late) throw new Error(`No ${pattern} in:\n${screen}`);
      await delay(50);
    }
  }

  [Symbol.dispose](): void {
    this.#tmux("kill-server");
  }
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
