/**
 * Records `mptcp get` in a terminal while a path is cut, as an animated SVG:
 *
 *     deno task recording
 *
 * Two hosts, two paths of 40 Mbit/s, a file over both; path 2 is cut and healed. Needs root and tmux.
 *
 * @module
 */

import { once } from "node:events";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programCommand } from "./demo/program.ts";
import { runSync } from "./lab/command.ts";
import { drop } from "./lab/firewall.ts";
import { createLab, type Lab } from "./lab/lab.ts";
import { inNamespace } from "./lab/namespaces.ts";
import { type Frame, toSvg } from "./recording/svg.ts";

const OUTPUT = new URL("../docs/plots/get.svg", import.meta.url);
const FILE_BYTES = 60 * 1024 * 1024;
const PORT = 8000;
const SIZE = { columns: 100, rows: 7 };
/** Milliseconds from one look at the terminal to the next. */
const INTERVAL = 200;
/** Milliseconds from the start. */
const CUT_AT = 3000;
const HEAL_AT = 7000;
const CUT_PATH = 2;
const COMMAND = "mptcp get http://server:8000/file.bin";

const folder = mkdtempSync(join(tmpdir(), "mptcp-recording-"));

async function serveFile(lab: Lab): Promise<void> {
  const file = join(folder, "file.bin");
  writeFileSync(file, "");
  truncateSync(file, FILE_BYTES);
  const address = `0.0.0.0:${PORT}`;
  const command = programCommand("src/cli/mod.ts", "-A", "serve", "-l", address, folder);
  const server = lab.server.spawn(command, { stdio: ["ignore", "ignore", "pipe"] });
  await once(server.stderr!, "data");
}

async function record(lab: Lab): Promise<Frame[]> {
  const url = `http://${lab.server.address()}:${PORT}/file.bin`;
  const get = programCommand("src/cli/mod.ts", "-A", "get", "-o", join(folder, "got"), url);
  const terminal = new Terminal(inNamespace(lab.client.name, get));
  try {
    const frames: Frame[] = [];
    const started = performance.now();
    let isCut: boolean | null = false;
    while (terminal.isAlive) {
      const time = performance.now() - started;
      const screen = terminal.screen().replaceAll(lab.server.address(), "server");
      const caption = time < CUT_AT ? "" : time < HEAL_AT ? "path 2 is cut" : "path 2 is back";
      frames.push({ time, lines: [`$ ${COMMAND}`, ...screen.split("\n")], caption });
      if (isCut === false && time > CUT_AT) {
        isCut = true;
        await lab.client.addRules(...drop(CUT_PATH));
      } else if (isCut && time > HEAL_AT) {
        isCut = null;
        await lab.client.clearRules();
      }
      await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    }
    return frames;
  } finally {
    terminal.close();
  }
}

/** A program in a terminal of its own, by tmux. */
class Terminal {
  readonly #socket = `mptcp-recording-${process.pid}`;

  constructor(command: readonly string[]) {
    const { columns, rows } = SIZE;
    const size = ["-x", String(columns), "-y", String(rows)];
    // The last screen stays for a moment.
    const line = `${command.map((word) => `'${word}'`).join(" ")}; sleep 2`;
    this.#tmux("-f", "/dev/null", "new-session", "-d", ...size, "sh", "-c", line);
    this.#tmux("set", "-g", "status", "off");
  }

  get isAlive(): boolean {
    try {
      this.#tmux("has-session");
      return true;
    } catch {
      return false;
    }
  }

  screen(): string {
    try {
      return this.#tmux("capture-pane", "-p").trimEnd();
    } catch {
      return "";
    }
  }

  close(): void {
    if (this.isAlive) this.#tmux("kill-server");
  }

  #tmux(...args: string[]): string {
    return runSync(["tmux", "-L", this.#socket, ...args]);
  }
}

try {
  await using lab = await createLab({ paths: [{ rate: 40 }, { rate: 40 }] });
  await serveFile(lab);
  writeFileSync(OUTPUT, toSvg(await record(lab), SIZE));
  console.log(`Written to ${OUTPUT.pathname}`);
} finally {
  rmSync(folder, { recursive: true });
}
process.exit(0);
