/**
 * Other programs, for tests: Python peers, namespaces, this runtime in a process of its own.
 *
 * @module
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { runtime } from "./harness.ts";

/** The top folder of the checkout. */
export const ROOT: string = fileURLToPath(new URL("..", import.meta.url));

/** Why a program cannot be run here; `null` if it can. */
export function missingProgram(name: string): string | null {
  const folders = (process.env.PATH ?? "").split(":");
  const found = folders.some((folder) => existsSync(`${folder}/${name}`));
  return found ? null : `${name} is not installed`;
}

/**
 * A command as it runs in the network of the machine, with its name servers: the tests of root run in a
 * namespace of their own, see run.ts.
 */
export function outside(command: readonly string[]): string[] {
  const runner = process.env.MPTCP_TEST_OUTSIDE;
  if (runner === undefined) return [...command];
  return ["nsenter", "--target", runner, "--net", "--mount", ...command];
}

/** Why there can be no network namespaces here; `null` if there can. */
export function missingNamespaces(): string | null {
  if (process.getuid?.() !== 0) return "network namespaces need root";
  return missingProgram("ip");
}

/** A network namespace with its loopback up, removed when disposed of. */
export function createNetns(label: string, sysctls: Record<string, number> = {}): Netns {
  const name = `mp-test-${process.pid}-${label}`;
  run("ip", ["netns", "add", name]);
  run("ip", ["-n", name, "link", "set", "lo", "up"]);
  for (const [key, value] of Object.entries(sysctls)) {
    run("ip", ["netns", "exec", name, "sysctl", "-qw", `${key}=${value}`]);
  }
  return { name, [Symbol.dispose]: () => run("ip", ["netns", "delete", name]) };
}

/** A namespace that {@linkcode createNetns} made. */
export interface Netns extends Disposable {
  readonly name: string;
}

/**
 * Runs a program to its end, with a text on its standard input, and gives its output; throws unless
 * it succeeds.
 */
export function run(command: string, args: string[], input = ""): string {
  const settings = { encoding: "utf8", input, cwd: ROOT } as const;
  const { status, stdout, stderr, error } = spawnSync(command, args, settings);
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(" ")}: status ${status}: ${stderr}${error ?? ""}`);
}

/** A process that prints lines, killed when disposed of. */
export class LineProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #exited: Promise<unknown[]>;

  /** Starts `command`, with a text on its standard input, in the checkout's top folder or another. */
  constructor([command, ...args]: string[], input = "", cwd: string = ROOT) {
    this.#child = spawn(command!, args, { cwd, stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdin!.end(input);
    this.#exited = once(this.#child, "exit");
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** The process. */
  get pid(): number {
    return this.#child.pid!;
  }

  /** The next line. */
  async nextLine(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("The process ended before it printed what is expected of it");
    return value;
  }

  /** The next line, which is JSON. */
  async next<T>(): Promise<T> {
    return JSON.parse(await this.nextLine()) as T;
  }

  /** Ends the process by a signal, SIGKILL unless another is given. */
  async kill(signal: "SIGKILL" | "SIGTERM" | "SIGINT" = "SIGKILL"): Promise<void> {
    this.#child.kill(signal);
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill();
    await this.#lines.return?.();
  }
}

/** `tests/peer.py` with these arguments. */
export function pythonPeer(...args: (string | number)[]): LineProcess {
  return new LineProcess(["python3", `${ROOT}tests/peer.py`, ...args.map(String)]);
}

/**
 * The command that runs a program on the runtime under test. A shell finds it in the environment,
 * because Deno's `node:child_process` gives all permissions to a command that it recognises as Deno.
 */
export function runtimeCommand(permissions: string[] = ["-A"]): string[] {
  process.env.RUNTIME_UNDER_TEST = process.execPath;
  const flags = {
    deno: ["run", "--no-check", "--quiet", ...permissions],
    bun: ["run"],
    node: ["--disable-warning=ExperimentalWarning", "--import", `${ROOT}tests/node_hooks.ts`],
  }[runtime];
  return ["sh", "-c", 'exec "$RUNTIME_UNDER_TEST" "$@"', "sh", ...flags];
}

/** What a finished process left. */
export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** From start to end, in milliseconds. */
  readonly milliseconds: number;
}

/** How {@linkcode runToEnd} is to run a command. */
export interface RunOptions {
  /** Its standard input, closed behind it; empty by default. */
  input?: string | Uint8Array;
  /** Beside the environment of this process. */
  env?: Record<string, string>;
  /** Where it runs: the checkout's top folder by default. */
  cwd?: string;
}

/** Runs a command to its end, whatever its status. */
export async function runToEnd(
  [program, ...args]: readonly string[],
  { input = "", env, cwd = ROOT }: RunOptions = {},
): Promise<Finished> {
  const started = performance.now();
  const child = spawn(program!, args, { cwd, env: { ...process.env, ...env } });
  // It may end without reading all.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
  const [status] = await once(child, "close");
  const milliseconds = performance.now() - started;
  return { status: status as number | null, stdout, stderr, milliseconds };
}

/** How a program is to run. */
export interface ProgramOptions {
  /** Flags of Deno. */
  permissions?: string[];
  /** Beside the environment of this process. */
  env?: Record<string, string>;
  /** A command that runs the rest as another user, or elsewhere. */
  prefix?: string[];
}

/** Runs a program text on the runtime under test. */
export function runProgram(text: string, options: ProgramOptions = {}): Promise<Finished> {
  const { prefix = [], permissions, env = {} } = options;
  return runToEnd([...prefix, ...runtimeCommand(permissions), ...STDIN], { input: text, env });
}

/** How the runtime is told to take TypeScript from standard input. */
export const STDIN: string[] = {
  deno: ["--ext=ts", "-"],
  bun: ["-"],
  node: ["--input-type=module-typescript", "-"],
}[runtime];
