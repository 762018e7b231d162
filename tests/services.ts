/**
 * Servers from the system, for tests: each on a free port of loopback, with a folder of its own, ended
 * when disposed of.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { connectMptcp, listenMptcp } from "../mod.ts";
import { missingProgram, run } from "./processes.ts";
import { delay } from "./sockets.ts";

/** A server that runs. */
export interface Service extends AsyncDisposable {
  /** Its port on 127.0.0.1. */
  readonly port: number;
  /** Where its files are. */
  readonly folder: string;
}

/** How a server is started. */
interface Plan {
  /** The program, as it is looked for in PATH. */
  readonly program: string;
  /** The user that it runs as, where root must not. */
  readonly user?: string;
  /** Writes what it needs. */
  prepare?(folder: string, asUser: (command: string[]) => void): void;
  command(port: number, folder: string): string[];
}

const isRoot = process.getuid?.() === 0;

/** The folder of PostgreSQL's programs, which are not in PATH. */
function postgresFolder(): string {
  const base = "/usr/lib/postgresql";
  const versions = existsSync(base) ? readdirSync(base) : [];
  return versions.length === 0 ? "" : `${base}/${versions.at(-1)}/bin`;
}

/** The servers that can be started. */
export type ServiceName = "redis" | "postgres" | "mariadb" | "mosquitto" | "nats" | "sshd";

const PLANS: Readonly<Record<ServiceName, Plan>> = {
  redis: {
    program: "redis-server",
    command: (port, folder) => [
      ...["redis-server", "--port", `${port}`, "--bind", "127.0.0.1", "--save", ""],
      ...["--dir", folder],
    ],
  },
  postgres: {
    program: `${postgresFolder()}/postgres`,
    user: "postgres",
    prepare: (folder, asUser) =>
      asUser([
        ...[`${postgresFolder()}/initdb`, "-D", `${folder}/data`, "-A", "trust"],
        ...["-U", "postgres", "--no-sync", "--locale=C"],
      ]),
    command: (port, folder) => [
      ...[`${postgresFolder()}/postgres`, "-D", `${folder}/data`, "-p", `${port}`, "-k", folder],
      ...["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
    ],
  },
  mariadb: {
    program: "mariadbd",
    user: "mysql",
    command: (port, folder) => [
      ...["mariadbd", "--no-defaults", `--datadir=${folder}`, `--port=${port}`],
      ...["--bind-address=127.0.0.1", `--socket=${folder}/socket`, "--skip-grant-tables"],
      ...["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M"],
    ],
  },
  mosquitto: {
    program: "mosquitto",
    command: (port, folder) => {
      const lines = [`listener ${port} 127.0.0.1`, "allow_anonymous true", ""];
      writeFileSync(join(folder, "config"), lines.join("\n"));
      return ["mosquitto", "-c", join(folder, "config")];
    },
  },
  nats: {
    program: "nats-server",
    command: (port) => ["nats-server", "-a", "127.0.0.1", "-p", `${port}`],
  },
  sshd: {
    program: "sshd",
    prepare: (folder) => {
      for (const name of ["host", "key"]) {
        run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)]);
      }
      if (isRoot) mkdirSync("/run/sshd", { recursive: true });
    },
    // sshd wants to be called by its whole path.
    command: (port, folder) => [
      ...["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", `${port}`],
      ...["-h", join(folder, "host"), "-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none"],
      ...["-o", `AuthorizedKeysFile=${join(folder, "key.pub")}`, "-o", "StrictModes=no"],
      ...["-o", "UsePAM=no", "-o", "PermitRootLogin=yes"],
    ],
  },
};

/** Why a server cannot be started here; `null` if it can. */
export function missingService(name: ServiceName): string | null {
  const { program } = PLANS[name];
  if (program.startsWith("/")) return existsSync(program) ? null : `${name} is not installed`;
  return existsSync(`/usr/sbin/${program}`) ? null : missingProgram(program);
}

function as(user: string | undefined, command: string[]): string[] {
  if (!isRoot || user === undefined) return command;
  return ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups", ...command];
}

/** Starts a server and waits until it takes connections. */
export async function startService(name: ServiceName): Promise<Service> {
  const plan: Plan = PLANS[name];
  const folder = mkdtempSync(join(tmpdir(), `mptcp-${name}-`));
  if (isRoot && plan.user !== undefined) {
    const [uid, gid] = ["-u", "-g"].map((flag) => Number(run("id", [flag, plan.user!])));
    chownSync(folder, uid!, gid!);
    chmodSync(folder, 0o700);
  }
  plan.prepare?.(folder, (command) => {
    const [program, ...args] = as(plan.user, command);
    run(program!, args);
  });
  const port = freePort();
  const [program, ...args] = as(plan.user, plan.command(port, folder));
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  const child = spawn(program!, args, { cwd: folder, env, stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr!.on("data", (text) => errors += text);
  const service = new RunningService(child, port, folder);
  for (let tries = 0; tries < 400; tries++) {
    try {
      using _conn = await connectMptcp({ port, mptcp: "off" });
      return service;
    } catch {
      if (child.exitCode !== null) break;
      await delay(25);
    }
  }
  await service[Symbol.asyncDispose]();
  throw new Error(`${name} does not take connections: ${errors}`);
}

class RunningService implements Service {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly port: number;
  readonly folder: string;

  constructor(child: ChildProcess, port: number, folder: string) {
    this.#child = child;
    this.#exited = once(child, "close");
    this.port = port;
    this.folder = folder;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function freePort(): number {
  using listener = listenMptcp({ hostname: "127.0.0.1", mptcp: "off" });
  return listener.addr.port;
}
