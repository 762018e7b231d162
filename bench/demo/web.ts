/**
 * The live page on a lab: `deno task demo --web`.
 *
 * Two hosts, two paths and a transfer between them, in namespaces; the page is served outside of them.
 *
 * @module
 */

import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseAddress } from "../../mod.ts";
import { isLoopback, serveLivePage } from "../../src/cli/monitor/web/server.ts";
import { start } from "../lab/command.ts";
import { createLab, labUnavailable } from "../lab/lab.ts";
import { inUserNamespace } from "../lab/rights.ts";
import { LabControls } from "./controls.ts";
import { programCommand } from "./program.ts";
import { EndlessTransfer } from "./transfer.ts";

const RATE = 40;
const DELAYS = [5, 15];
const INTERVAL = 250;
const DEFAULT_ADDRESS = "127.0.0.1:8080";

/** Tells the process in the user namespace where to take connections: the path of a socket. */
const RELAY = "--relay=";

/** Shows the lab on a page until `signal` is aborted. */
export async function showOnPage(args: readonly string[], signal: AbortSignal): Promise<void> {
  const relay = args.find((arg) => arg.startsWith(RELAY))?.slice(RELAY.length);
  const [address = DEFAULT_ADDRESS] = args.filter((arg) => !arg.startsWith("--"));
  if (relay === undefined && labUnavailable(["tc", "nft"]) !== null) {
    return await inNamespaceOfItsOwn(address, signal);
  }
  await showLab(relay === undefined ? address : "127.0.0.1:0", relay, signal);
}

async function showLab(
  address: string,
  relay: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const hasDelay = labUnavailable(["tc", "nft", "cc"]) === null;
  const delays = hasDelay ? DELAYS : [];
  await using lab = await createLab({
    paths: [0, 1].map((i) => ({ rate: RATE, ...hasDelay && { delay: DELAYS[i]! } })),
  });
  using transfer = await EndlessTransfer.start(lab);
  const { hostname, port = 0 } = parseAddress(address);
  const page = serveLivePage({
    hostname: hostname || "127.0.0.1",
    port,
    netns: lab.client.name,
    interval: INTERVAL,
    demo: new LabControls(lab, transfer, 2, delays),
  });
  try {
    const url = new URL(page.url);
    const socket = relay === undefined ? null : await relayTo(relay, Number(url.port));
    if (socket === null) announce(page.url);
    else console.log("ready");
    await aborted(signal);
    socket?.close();
  } finally {
    await page.close();
  }
}

function announce(url: string): void {
  console.log(`Open ${url} in a browser. Ctrl-C ends it.`);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}

/** Passes connections of a socket in the file system on to a port of this namespace. */
async function relayTo(path: string, port: number): Promise<Server> {
  const server = passOn(() => connect({ host: "127.0.0.1", port }));
  server.listen(path);
  await once(server, "listening");
  return server;
}

function passOn(dial: () => ReturnType<typeof connect>): Server {
  return createServer((near) => {
    const far = dial();
    near.pipe(far).pipe(near);
    for (const [one, other] of [[near, far], [far, near]] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
}

/** Runs this again where it may make namespaces, and brings the page out of there. */
async function inNamespaceOfItsOwn(address: string, signal: AbortSignal): Promise<void> {
  const { hostname, port = 0 } = parseAddress(address);
  if (hostname !== "" && !isLoopback(hostname)) {
    throw new Error(`${address} is no loopback address: without root the page is for this machine`);
  }
  const folder = mkdtempSync(join(tmpdir(), "mptcp-demo-"));
  const path = join(folder, "page");
  const server = passOn(() => connect({ path }));
  try {
    server.listen(port, hostname || "127.0.0.1");
    await once(server, "listening");
    const program = programCommand("bench/demo.ts", "-A", "--web", RELAY + path);
    const child = start(inUserNamespace(program), { stdio: ["ignore", "pipe", "inherit"] });
    signal.addEventListener("abort", () => child.kill("SIGTERM"));
    const exited = once(child, "exit");
    child.stdout!.once("data", () => announce(urlOf(server)));
    const [status] = await exited;
    if (!signal.aborted) process.exitCode = status ?? 1;
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function urlOf(server: Server): string {
  const { address, port, family } = server.address() as {
    address: string;
    port: number;
    family: string;
  };
  return `http://${family === "IPv6" ? `[${address}]` : address}:${port}/`;
}
