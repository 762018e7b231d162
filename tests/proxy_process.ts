/**
 * `mptcp proxy` as a process of its own, for tests.
 *
 * @module
 */

import { assert } from "@std/assert";
import { mkdtempSync, readdirSync, readlinkSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectMptcp } from "../mod.ts";
import type { ProxyStats } from "../src/proxy/types.ts";
import type { ConnectMptcpOptions, MptcpConn } from "../src/types.ts";
import { type CliOptions, mptcpCommand } from "./cli.ts";
import { LineProcess, run } from "./processes.ts";
import { delay } from "./sockets.ts";

/** `mptcp proxy` as a process, with standard error among its lines. */
export class ProxyProcess implements AsyncDisposable {
  readonly process: LineProcess;
  /** The ports that it listens on. */
  readonly ports: number[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "mptcp-proxy-"));
  /** The socket of `--status`. */
  readonly status: string = join(this.#folder, "status");

  private constructor(args: readonly string[], options: CliOptions) {
    const command = mptcpCommand(["proxy", ...args, "--status", this.status], options);
    this.process = new LineProcess(["sh", "-c", 'exec "$@" 2>&1', "sh", ...command]);
  }

  /** Starts it, and waits until it listens on so many fronts. */
  static async start(
    args: readonly string[],
    { fronts = 1, ...options }: CliOptions & { fronts?: number } = {},
  ): Promise<ProxyProcess> {
    const proxy = new ProxyProcess(args, options);
    for (let i = 0; i < fronts; i++) {
      const line = await proxy.line();
      const port = /front=\S+:(\d+) |"port":(\d+)/.exec(line);
      assert(port !== null, line);
      proxy.ports.push(Number(port[1] ?? port[2]));
    }
    return proxy;
  }

  /** Starts it with `--quiet`; where it listens is known from its status. */
  static async startQuiet(
    args: readonly string[],
    options: CliOptions = {},
  ): Promise<ProxyProcess> {
    const proxy = await ProxyProcess.start([...args, "-q"], { fronts: 0, ...options });
    // The mode is what is set last.
    while (proxy.statusMode() !== "600") await delay(20);
    proxy.ports.push(proxy.stats().fronts[0]!.addr.port);
    return proxy;
  }

  /** The mode of the socket of `--status`; empty while there is none. */
  statusMode(): string {
    const stat = statSync(this.status, { throwIfNoEntry: false });
    return stat === undefined ? "" : (stat.mode & 0o777).toString(8);
  }

  get port(): number {
    return this.ports[0]!;
  }

  line(): Promise<string> {
    return this.process.nextLine();
  }

  /** The next line about a connection. */
  async connection(): Promise<string> {
    for (;;) {
      const line = await this.line();
      if (line.includes(" connection ")) return line;
    }
  }

  connect(options: Partial<ConnectMptcpOptions> = {}): Promise<MptcpConn> {
    return connectMptcp({ hostname: "127.0.0.1", port: this.port, ...options });
  }

  /** What `--status` says. */
  stats(path = "/"): ProxyStats & { memory: number } {
    const args = ["-sS", "--unix-socket", this.status, `http://proxy${path}`];
    return JSON.parse(run("curl", args));
  }

  /** The number of its sockets and pipes: Deno opens files of its cache at any time. */
  fds(): number {
    const folder = `/proc/${this.process.pid}/fd`;
    return readdirSync(folder).filter((fd) => {
      try {
        return /^(socket|pipe):/.test(readlinkSync(join(folder, fd)));
      } catch {
        // Closed meanwhile.
        return false;
      }
    }).length;
  }

  /** Waits until it has no more than so many: that of `--status` is closed a little later. */
  async untilFds(count: number): Promise<void> {
    for (let tries = 0; this.fds() > count; tries++) {
      assert(tries < 100, `${this.fds()} descriptors, more than ${count}`);
      await delay(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }
}
