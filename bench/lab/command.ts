/**
 * Runs the tools of the system.
 *
 * @module
 */

import { type ChildProcess, spawn, type SpawnOptions, spawnSync } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { text } from "node:stream/consumers";

/** How a command is run. */
export interface RunOptions {
  /** What it reads on stdin; nothing by default. */
  input?: string;
  /** Milliseconds until it is killed, 30 000 by default. */
  timeout?: number;
}

/** A command that failed, or could not be started. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  /** What it wrote to stderr; if nothing, how it ended. */
  readonly stderr: string;

  constructor(command: readonly string[], stderr: string) {
    super(`${command.join(" ")}: ${stderr.trim()}`);
    this.stderr = stderr.trim();
  }
}

/** The environment of every command: users other than root often lack the folder of `ip` in PATH. */
export function toolEnvironment(): Record<string, string | undefined> {
  return { ...process.env, PATH: `${process.env.PATH ?? "/usr/bin:/bin"}:/usr/sbin:/sbin` };
}

/**
 * Runs a command to its end and gives what it wrote to stdout. It has a session of its own, for Ctrl-C
 * in a terminal would stop it half-way, and with it what cleans up.
 *
 * @throws {CommandError} when it fails.
 */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const { input = "", timeout = 30_000 } = options;
  const child = start(command, { detached: true, timeout, killSignal: "SIGKILL" });
  // A command that ends without reading all of its input is no failure of this process.
  child.stdin!.on("error", () => {}).end(input);
  const [stdout, stderr, [status, signal]] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    once(child, "close"),
  ]);
  if (status === 0) return stdout;
  throw new CommandError(command, stderr || describeEnd(status, signal));
}

/** The same at once, with the event loop standing still. */
export function runSync(command: readonly string[]): string {
  const [file, ...args] = command;
  const settings = { env: toolEnvironment(), timeout: 30_000, encoding: "utf8" } as const;
  const { status, signal, stdout, stderr, error } = spawnSync(file!, args, settings);
  if (status === 0) return stdout;
  throw new CommandError(command, stderr || (error?.message ?? describeEnd(status, signal)));
}

function describeEnd(status: number | null, signal: string | null): string {
  return status === null ? `killed by ${signal}` : `it ended with status ${status}`;
}

/** Starts a command that is to go on. */
export function start(command: readonly string[], options: SpawnOptions = {}): ChildProcess {
  return spawn(command[0]!, command.slice(1), { env: toolEnvironment(), ...options });
}

/** Kills a command that was started, and waits for its end. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

/**
 * Runs `ip` or `tc` on many lines in one process.
 *
 * @throws {CommandError} that names the line that failed.
 */
export async function runBatch(
  command: readonly string[],
  lines: readonly string[],
): Promise<void> {
  if (lines.length === 0) return;
  try {
    await run([...command, "-batch", "-"], { input: lines.join("\n") + "\n" });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const failed = /^Command failed -:(\d+)\s*/m.exec(error.stderr);
    if (failed === null) throw error;
    const line = lines[Number(failed[1]) - 1]!;
    throw new CommandError([...command, line], error.stderr.replace(failed[0], ""));
  }
}
