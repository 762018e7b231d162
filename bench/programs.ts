/**
 * The processes of the benchmarks: servers and the load generator.
 *
 * @module
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Result, Row } from "./rows.ts";

/** The runtimes that are compared, each with itself. */
export type Runtime = "deno" | "bun";

/**
 * `native` are the runtime's own TCP sockets and `tcp` and `mptcp` this module on either kind of
 * socket; `wrapper` is the native server under an LD_PRELOAD wrapper, MPTCP without this module.
 */
export type Implementation = "native" | "tcp" | "mptcp" | "wrapper";

/** All of them; each comes after the one that it is compared with. */
export const IMPLEMENTATIONS: readonly Implementation[] = ["native", "tcp", "wrapper", "mptcp"];

/** Whether clients of the implementation speak MPTCP to it. */
export function isMptcp(implementation: Implementation): boolean {
  return implementation === "mptcp" || implementation === "wrapper";
}

type Environment = Record<string, string | undefined>;

/** How a program is started. */
interface Command {
  readonly argv: readonly string[];
  readonly env?: Environment;
}

/** How long one run of the load takes, in seconds. */
export interface Times {
  readonly warmup: number;
  readonly seconds: number;
}

/** The load gives up sooner by itself, in milliseconds. */
const LOAD_TIMEOUT = 60_000;

/** What was found, or compiled, on this machine. */
export class Programs implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "mptcp-bench-"));
  readonly #compiler: string | null;
  readonly #runtimes: Record<Runtime, string | null> = {
    deno: ["deno"].find(runs) ?? null,
    bun: ["bun", sourcePath("../node_modules/.bin/bun")].find(runs) ?? null,
  };
  readonly #load: Command;
  readonly #wrapper: Command | null;

  /** Without the compiler the load generator is the TypeScript one. */
  constructor({ compiler }: { compiler: boolean }) {
    this.#compiler = compiler ? ["cc", "gcc", "clang"].find(runs) ?? null : null;
    this.#load = this.#findLoad();
    this.#wrapper = this.#findWrapper();
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }

  /** Why a runtime cannot be measured; `null` if it can. */
  missing(runtime: Runtime): string | null {
    return this.#runtimes[runtime] === null ? `${runtime} is not installed` : null;
  }

  /** The version of a runtime that is there. */
  version(runtime: Runtime): string {
    return execFileSync(this.#runtimes[runtime]!, ["--version"], { encoding: "utf8" })
      .replace(/^\w+ (?=\d)/, "").split(/\s/)[0]!;
  }

  /** What the load generator is. */
  get loadKind(): "C" | "TypeScript" {
    return this.#compiler === null ? "TypeScript" : "C";
  }

  /** Whether there is a wrapper. */
  get hasWrapper(): boolean {
    return this.#wrapper !== null;
  }

  /** Runs the load of a row once, against a server of its own. */
  async run(
    row: Row,
    runtime: Runtime,
    implementation: Implementation,
    times: Times,
  ): Promise<Result> {
    const server = await Server.start(this.#server(row, runtime, implementation));
    try {
      return await this.#runLoad(row, server, [
        ...["--warmup", String(times.warmup), "--seconds", String(row.seconds ?? times.seconds)],
        ...(isMptcp(implementation) ? ["--mptcp"] : []),
      ]);
    } finally {
      await server.stop();
    }
  }

  #server(row: Row, runtime: Runtime, implementation: Implementation): Command {
    const own = implementation === "tcp" || implementation === "mptcp";
    const program = sourcePath(`servers/${own ? "mptcp" : runtime}.ts`);
    const run = runtime === "deno" ? ["run", "--allow-all"] : [];
    const argv = [this.#runtimes[runtime]!, ...run, program, row.task, String(row.size)];
    if (own) argv.push(implementation === "tcp" ? "off" : "require");
    if (implementation !== "wrapper") return { argv };
    return { ...this.#wrapper, argv: [...this.#wrapper!.argv, ...argv] };
  }

  async #runLoad(row: Row, server: Server, options: readonly string[]): Promise<Result> {
    const { argv } = this.#load;
    const load = start({
      argv: [
        ...[...argv, row.mode, "127.0.0.1", String(server.port), "--pid", String(server.pid)],
        ...["--connections", String(row.connections), "--size", String(row.message || 64)],
        ...["--idle", String(row.idle ?? 0), "--pause", String(row.pause ?? 0)],
        ...options,
      ],
    });
    const timer = setTimeout(() => load.kill("SIGKILL"), LOAD_TIMEOUT);
    const [output, errors, [code]] = await Promise.all([
      text(load.stdout!),
      text(load.stderr!),
      once(load, "close"),
    ]);
    clearTimeout(timer);
    if (code !== 0) throw new Error(`${errors.trim() || "the load hung"}${server.errors}`);
    return JSON.parse(output);
  }

  #findLoad(): Command {
    if (this.#compiler === null) {
      return { argv: [this.#runtimes.deno!, "run", "--allow-all", sourcePath("load.ts")] };
    }
    return { argv: [this.#compile("load.c", "load")] };
  }

  #findWrapper(): Command | null {
    if (runs("mptcpize")) return { argv: ["mptcpize", "run"] };
    if (this.#compiler === null) return null;
    const library = this.#compile("mptcp_wrapper.c", "wrapper.so", "-shared", "-fPIC");
    return { argv: [], env: { LD_PRELOAD: library } };
  }

  #compile(source: string, target: string, ...options: string[]): string {
    const path = join(this.#directory, target);
    execFileSync(this.#compiler!, [...options, "-O2", "-o", path, sourcePath(source)]);
    return path;
  }
}

/** A server process that listens. */
class Server {
  readonly port: number;
  readonly pid: number;
  /** What it has said on standard error. */
  errors = "";
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.port = port;
    this.pid = child.pid!;
    this.#child = child;
    child.stderr!.on("data", (chunk: Uint8Array) => this.errors += `\nserver: ${chunk}`);
  }

  static async start(command: Command): Promise<Server> {
    const child = start(command);
    const [line] = await Promise.race([once(child.stdout!, "data"), once(child, "close")]);
    if (!(line instanceof Uint8Array)) {
      throw new Error(`${command.argv.join(" ")}: ${await text(child.stderr!)}`);
    }
    return new Server(child, Number(new TextDecoder().decode(line)));
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await closed;
  }
}

function start({ argv, env }: Command): ChildProcess {
  const [program, ...args] = argv;
  return spawn(program!, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
}

function sourcePath(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** Whether a program is there: by path, or on PATH. */
function runs(program: string): boolean {
  if (program.includes("/")) return existsSync(program);
  return (process.env.PATH ?? "").split(":").some((path) => existsSync(join(path, program)));
}
