/**
 * The program as a process that goes on, for tests.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { type CliOptions, mptcpCommand } from "./cli.ts";
import { ROOT } from "./processes.ts";

/** A running command. Its output is kept; disposing of it kills it. */
export class CliProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown[]>;
  stdout = "";
  stderr = "";

  constructor(args: readonly string[], options: CliOptions = {}) {
    const [program, ...rest] = mptcpCommand(args, options);
    this.#child = spawn(program!, rest, { cwd: ROOT, env: { ...process.env, ...options.env } });
    this.#closed = once(this.#child, "close");
    this.#child.stdin!.end(options.input ?? "");
    this.#child.stdout!.setEncoding("utf8").on("data", (text) => this.stdout += text);
    this.#child.stderr!.setEncoding("utf8").on("data", (text) => this.stderr += text);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Waits until an output has a text, and gives what matched. */
  async until(output: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> {
    const late = performance.now() + 15_000;
    for (;;) {
      const found = pattern.exec(this[output]);
      if (found !== null) return found;
      if (performance.now() > late || this.#child.exitCode !== null) {
        throw new Error(`No ${pattern} in ${output}:\n${this.stdout}\n${this.stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Waits for the end of it, and gives the status. */
  async status(): Promise<number | null> {
    return (await this.#closed)[0] as number | null;
  }

  /** Sends a signal and gives the status. */
  kill(signal: "SIGINT" | "SIGTERM" | "SIGKILL"): Promise<number | null> {
    // Deno has a child that was sent a signal by its own `kill` end by that, whatever its status.
    process.kill(this.pid, signal);
    return this.status();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#closed;
  }
}
