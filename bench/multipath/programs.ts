/**
 * The programs that transfer, and their processes.
 *
 * @module
 */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { isDeno } from "../../ffi/runtime.ts";
import { runSync, stop } from "../lab/command.ts";
import { compiled } from "../lab/compile.ts";
import type { Host } from "../lab/lab.ts";
import type { Program } from "./results.ts";

/** The commands of the programs that were asked for. */
export type Commands = ReadonlyMap<Program, readonly string[]>;

const BUN = fileURLToPath(new URL("../../node_modules/.bin/bun", import.meta.url));

/** Finds the programs, or compiles them. */
export async function findPrograms(programs: readonly Program[]): Promise<Commands> {
  const commands = new Map<Program, string[]>();
  for (const program of programs) commands.set(program, await findProgram(program));
  return commands;
}

async function findProgram(program: Program): Promise<string[]> {
  if (program === "c") return [await compiled(new URL("transfer.c", import.meta.url))];
  return commandOf(program, new URL("transfer.ts", import.meta.url));
}

/** The command that runs a file on a runtime. */
export function commandOf(runtime: "deno" | "bun", file: URL): string[] {
  const path = fileURLToPath(file);
  return runtime === "deno"
    ? [runtimePath(runtime), "run", "-A", "--no-check", path]
    : [runtimePath(runtime), path];
}

function runtimePath(runtime: "deno" | "bun"): string {
  if ((runtime === "deno") === isDeno) return process.execPath;
  return runtime === "bun" && existsSync(BUN) ? BUN : runtime;
}

/** The versions of what the programs run on, or are compiled by. */
export function versionOf(program: Program): string {
  const command = program === "c" ? "cc" : runtimePath(program);
  const [line] = runSync([command, "--version"]).split("\n");
  return program === "c" ? line! : /\d[\w.-]*/.exec(line!)![0];
}

/** One end of a transfer: a process that prints lines of JSON. */
export class Peer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #errors: Promise<string>;

  /** Starts it on a host. */
  constructor(host: Host, command: readonly string[]) {
    this.#child = host.spawn(command, { stdio: ["ignore", "pipe", "pipe"] });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
    this.#errors = text(this.#child.stderr!);
  }

  /** The next line. */
  async next<Line>(): Promise<Line> {
    const { value, done } = await this.#lines.next();
    if (!done) return JSON.parse(value) as Line;
    throw new Error((await this.#errors).trim() || "the program ended without a result");
  }

  /** The next line; `null` once it has ended. */
  async nextOrEnd<Line>(): Promise<Line | null> {
    const { value, done } = await this.#lines.next();
    return done ? null : JSON.parse(value) as Line;
  }

  /** Tells it to end. */
  terminate(): void {
    this.#child.kill("SIGTERM");
  }

  /** Waits for its end by itself. */
  async end(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      await once(this.#child, "exit");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.#child);
    await this.#errors;
  }
}
